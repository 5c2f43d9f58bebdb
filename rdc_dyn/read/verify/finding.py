"""The result of one check of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked.
        verdict: Whether it holds; `open` if the run does not promise it.
        detail: Numbers, or why it is open.
        kind: `files`, whose failure is damage, or `identities`, whose failure is a wrong result.
    """

    name: str
    verdict: Literal["ok", "FAILED", "open"]
    detail: str
    kind: Literal["files", "identities"] = "files"

    @classmethod
    def bounded(cls, name: str, values: np.ndarray, bound: float, judged: str = "") -> Finding:
        """Compare the largest residual, NaN left out, with its bound; `judged`, if not empty, is why it stays open."""
        numbers = np.abs(values[~np.isnan(values)])
        if not numbers.size:
            return cls(name, "open", judged or "no values", "identities")
        detail = f"{numbers.max():.1e}"
        if judged:
            return cls(name, "open", f"{detail}, {judged}", "identities")
        verdict: Literal["ok", "FAILED"] = "ok" if numbers.max() <= bound else "FAILED"
        return cls(name, verdict, f"{detail}, bound {bound:.1e}", "identities")

    @classmethod
    def of(cls, name: str, wrong: str, right: str) -> Finding:
        """A fact about files: FAILED with what is wrong, or else ok with what is right."""
        return cls(name, "FAILED", wrong) if wrong else cls(name, "ok", right)
