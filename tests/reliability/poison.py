"""An objective of which one thing alone is not finite: J, R, D, C, ∇J, A or ∂²J/∂c², from some λ on.

Run as a program, it prints for many runs how they ended: a test starts it with and without assertions.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

import rdc_dyn
from rdc_dyn.dynamics.integrator import ADAPTIVE
from rdc_dyn.objective import FiniteLatent, LinearGaussian
from rdc_dyn.scenario.sections.integrators import METHODS
from tests.tiny import images, linear_gaussian

_HUGE = 1.5e308
#: What alone is not finite, as a term that is otherwise zero: of θ, λ and γ and of their own values without a graph.
KINDS = ("value", "rate", "distortion", "classification_loss", "gradient", "curvature", "controls")
FIRST_ORDER = KINDS[:5]
#: λ from which it is so: at the start, or between the first step and the second.
PLACES = {"start": 0.0, "step": 1.07}
CORRECTORS = ("none", "gradient", "newton_krylov", "quasi_newton", "variance_reduced")
RESPONSES: dict[str, dict[str, Any]] = {
    "linear_response": {"kind": "linear_response"},
    "finite_difference": {"kind": "finite_difference"},
    "finite_difference with a reference": {"kind": "finite_difference", "reference": True, "predictor": True},
    "secant from a guess": {"kind": "secant"},
    "secant from a solve": {"kind": "secant", "start": "linear_response"},
    "none": {"kind": "none"},
}
#: Variables that are NaN, or a distance that is infinite, where a run has no value for them.
UNKNOWN = frozenset(
    {"accuracy", "constraint_residual", "krylov_residual", "smallest_eigenvalue", "morse_index", "singular_distance"}
)


def poison(kind: str, theta: Tensor, lam: Tensor, gamma: Tensor) -> Tensor:
    """Zero, but for what its kind says."""
    x, d, c = theta[0] - theta[0].detach(), lam - lam.detach(), gamma - gamma.detach()
    if kind == "value":
        return torch.full_like(d, torch.inf)
    if kind == "rate":  # D and C are finite, λD + γC is not
        return _HUGE * (d + c)
    root = {"distortion": d, "classification_loss": c, "gradient": x}.get(kind)
    return ((x if kind == "curvature" else d) ** 1.5) if root is None else root.sqrt()


class Poisoned:
    """Poisons all objectives of some kinds from some λ on, until it is left."""

    def __init__(self, kind: str, place: float) -> None:
        self._kind, self._place = kind, place

    def __enter__(self) -> None:
        self._sound = sound, block = LinearGaussian.free_energy, FiniteLatent.block_energy
        kind, place = self._kind, self._place

        def with_poison(value: Tensor, theta: Tensor, lam: Tensor, gamma: Tensor) -> Tensor:
            return value + poison(kind, theta, lam, gamma) if float(lam.detach()) > place else value

        def free_energy(self: Any, theta: Tensor, lam: Tensor, gamma: Tensor, *rest: Any) -> Tensor:
            return with_poison(sound(self, theta, lam, gamma, *rest), theta, lam, gamma)

        def block_energy(self: Any, part: Any, theta: Tensor, lam: Tensor, gamma: Tensor, *rest: Any) -> Tensor:
            return with_poison(block(self, part, theta, lam, gamma, *rest), theta, lam, gamma)

        LinearGaussian.free_energy = free_energy  # type: ignore[method-assign, assignment]
        FiniteLatent.block_energy = block_energy  # type: ignore[method-assign, assignment]

    def __exit__(self, *_: object) -> None:
        LinearGaussian.free_energy, FiniteLatent.block_energy = self._sound  # type: ignore[method-assign]


def scenario(method: str, rtol: float | None, corrector: str, response: str, process: str) -> dict[str, Any]:
    """A small run; λ goes from 1 to 1.2, or where what is held takes it."""
    sections: dict[str, Any] = {
        "integrator": {"method": method, "step_size": 0.1} | ({} if rtol is None else {"rtol": rtol}),
        "corrector": {"method": corrector} | ({"steps": 20} if corrector == "gradient" else {}),
        "response": dict(RESPONSES[response]),
    }
    if corrector == "variance_reduced":  # it needs a sum over data
        sections["corrector"] = {"method": corrector, "batch": 20, "steps": 4, "tolerance": 1e-3, "epochs": 400}
        ends = {"start": {"lam": 1.0}, "process": {"path": {"lam": 1.2}}}
        return images(**ends, **sections)
    made = linear_gaussian(**sections)
    if process == "iso_classification":
        made["process"] = {"kind": process, "span": [0.0, 0.4]}
    return made


def cases(*, few: bool = False) -> Iterator[tuple[str, ...]]:
    """(kind, place, method, rtol, corrector, response, process) of each run."""
    methods = [(m, r) for m in METHODS for r in ("", "1e-6") if not (r and m not in ADAPTIVE)]
    usual = ("newton_krylov", "linear_response")
    if few:
        methods = [("rk4", ""), ("dopri5", "1e-6")]
    for kind, place, (method, rtol) in itertools.product(KINDS, PLACES, methods):
        yield (kind, place, method, rtol, *usual, "prescribed")
    for kind, place in itertools.product(KINDS, PLACES):
        yield (kind, place, "heun2", "", *usual, "iso_classification")
    if few:
        return
    for kind, place, corrector, response in itertools.product(KINDS, PLACES, CORRECTORS, RESPONSES):
        if corrector != "none" or response == "linear_response":  # else θ never moves
            yield (kind, place, "euler", "", corrector, response, "prescribed")


def bad_numbers(run: xr.Dataset, response: str) -> list[str]:
    """Variables that are not finite and should be."""
    unknown = UNKNOWN | ({"response"} if response == "none" else set())
    numbers = {name: np.asarray(run[name].values) for name in run.variables if run[name].dtype.kind == "f"}
    return [str(name) for name, values in numbers.items() if name not in unknown and not np.isfinite(values).all()]


def wrong(case: tuple[str, ...], folder: Path) -> str:
    """What a run did that it should not, or nothing.

    A second derivative that is not finite does no harm to a run that never takes it.
    """
    kind, place, method, rtol, corrector, response, process = case
    began = time.process_time()  # the machine may be busy with other things
    with Poisoned(kind, PLACES[place]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = scenario(method, float(rtol) if rtol else None, corrector, response, process)
        status = rdc_dyn.run(tree, folder).attrs["status"]
    seconds = time.process_time() - began
    allowed = {"NON_FINITE"}
    if kind not in FIRST_ORDER and response != "linear_response":
        allowed.add("COMPLETED")
    if status not in allowed:
        return f"ended as {status}"
    kept = rdc_dyn.open_run(folder)
    if place == "step" and kept.sizes["time"] < 1:
        return "nothing is left of what was sound"
    if place == "start" and status == "NON_FINITE" and kept.sizes["time"]:
        return "kept a point"
    names = bad_numbers(kept, response)
    if names:
        return f"has {', '.join(names)} that are not finite"
    return "" if seconds < 10 else f"took {seconds:.1f} s"


def main(arguments: list[str]) -> None:
    print("optimised" if not __debug__ else "plain")
    torch.set_num_threads(1)
    for number, case in enumerate(cases(few="few" in arguments)):
        with tempfile.TemporaryDirectory() as folder:
            print(number, wrong(case, Path(folder) / "run") or "right", *case, sep="\t", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
