"""One thing that was looked at, and whether it is as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        name: What was looked at.
        verdict: Whether it holds; `open` where the run does not promise it.
        detail: Numbers, or why it is open.
        kind: `files`, whose failure is damage, or `identities`, whose failure is a wrong result.
    """

    name: str
    verdict: Literal["ok", "FAILED", "open"]
    detail: str
    kind: Literal["files", "identities"] = "files"

    @classmethod
    def bounded(cls, name: str, values: np.ndarray, bound: float, judged: str = "") -> Finding:
        """A residual against its bound.

        Args:
            name: What was looked at.
            values: Residuals, those that are not numbers left out.
            bound: Largest that is accepted.
            judged: Why it is not to be judged; empty where it is.

        Returns:
            The finding.
        """
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
        """A fact about files: FAILED with what is wrong, else ok with what is right."""
        return cls(name, "FAILED", wrong) if wrong else cls(name, "ok", right)
