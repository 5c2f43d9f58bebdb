"""Integrate d(λ, γ, t)/ds = rates on the exact surface: the path of a process without θ, accurate to about 1e-12."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rdc_dyn.scenario import Scenario

if TYPE_CHECKING:
    from torch import Tensor

    from rdc_dyn.dynamics import Process, SurfacePoint
    from rdc_dyn.objective.closed_form import ClosedForm, ExactPoint

#: Tolerance of the integration, and a looser one whose path shows how accurate the first is.
_TIGHT, LOOSER = 1e-13, 1e-11
_PROJECTIONS = 8


class ExactPathError(Exception):
    """The process has no direction on the exact surface, or what it holds cannot be restored."""


@dataclass
class ExactPath:
    """The exact path in the process clock, integrated as far as it has been asked for.

    DOP853 integrates from one clock value to the next, and Newton's method in the process's own free directions then
    restores what the process holds, so that nothing drifts and nothing is interpolated.

    Attributes:
        process: The very object that a run uses.
        start: (λ, γ, t) at the start of the span.
        rtol: Relative tolerance of the integration; atol is a tenth of it.
        known: Points computed so far, by clock value.
    """

    surface: ClosedForm
    process: Process
    start: np.ndarray
    rtol: float = _TIGHT
    known: dict[float, ExactPoint] = field(default_factory=dict)

    def points(self, clock: np.ndarray) -> list[ExactPoint]:
        """The path at clock values within the span; raises ExactPathError if it ends before one of them."""
        self.known.setdefault(self.process.span[0], self._prescribed(self.process.span[0], self.start))
        for s in clock.tolist():
            if s not in self.known:
                forward = np.sign(self.process.span[1] - self.process.span[0])
                before = max((k for k in self.known if forward * (s - k) > 0), key=lambda k: forward * k)
                self.known[s] = self._segment(before, s)
        return [self.known[s] for s in clock.tolist()]

    def losses_and_multipliers(self, clock: np.ndarray) -> np.ndarray:
        """(λ, γ, R, D, C) at clock values within the span, one row per value."""
        return np.array([np.concatenate([p.controls[:2], p.losses]) for p in self.points(clock)]).reshape(-1, 5)

    def pitchforks(self) -> list[tuple[float, float]]:
        """Clock intervals within which the number of active codes changes, so that F changes branch."""
        forward = np.sign(self.process.span[1] - self.process.span[0])
        ordered = sorted(self.known, key=lambda k: forward * k)
        return [(a, b) for a, b in pairwise(ordered) if self.known[a].active != self.known[b].active]

    def _segment(self, s0: float, s1: float) -> ExactPoint:
        from scipy.integrate import solve_ivp

        from rdc_dyn.status import NumericalFailure

        before = self.known[s0]
        try:
            if self.process.prescribed(s1, _tensor(before.controls)) is not None:
                return self._prescribed(s1, before.controls)
            found = solve_ivp(
                self._rates, (s0, s1), before.controls, method="DOP853", rtol=self.rtol, atol=0.1 * self.rtol
            )
            if not found.success:
                raise ExactPathError(f"at clock {s0:g}: {found.message}")
            return self._projected(found.y[:, -1])
        except NumericalFailure as failure:
            raise ExactPathError(f"at clock {s0:g}: {failure}") from None

    def _prescribed(self, s: float, controls: np.ndarray) -> ExactPoint:
        given = self.process.prescribed(s, _tensor(controls))
        return self.surface.at(controls if given is None else given.numpy())

    def _rates(self, s: float, controls: np.ndarray) -> np.ndarray:
        return self.process.velocity(s, surface_point(self.surface.at(controls))).numpy()

    def _projected(self, controls: np.ndarray) -> ExactPoint:
        """Solve w·(R, D, C) = h⁰ by Newton's method in the free directions, starting next to the solution."""
        weights = np.array(self.process.held).reshape(-1, 3)
        point = self.surface.at(controls)
        aim = weights @ self.known[self.process.span[0]].losses
        for _ in range(_PROJECTIONS):
            missing = aim - weights @ point.losses
            if np.abs(missing).max(initial=0.0) <= 4 * np.finfo(float).eps * np.abs(point.losses).max():
                break
            directions = self.process.free_directions(surface_point(point)).numpy()
            amount = np.linalg.lstsq(weights @ point.matrix @ directions.T, missing, rcond=None)[0]
            point = self.surface.at(point.controls + amount @ directions)
        return point


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.tensor(values, dtype=torch.float64)


def surface_point(point: ExactPoint) -> SurfacePoint:
    """A point of the exact surface in the form that a process takes."""
    from rdc_dyn.dynamics import SurfacePoint

    return SurfacePoint(_tensor(point.controls), _tensor(point.matrix), _tensor(point.gradient), point.rate)


def closed_form(scenario: Scenario) -> ClosedForm | None:
    """The closed form of a scenario's objective, or None if the objective has none."""
    return scenario.objective.optimum("mixture" if scenario.data is None else scenario.data.path)


def exact_path(scenario: Scenario, surface: ClosedForm, start: np.ndarray) -> ExactPath:
    """The exact path of a scenario's process, where `start` is (λ, γ, t) at the first recorded point."""
    import torch

    from rdc_dyn.dynamics import State

    def losses(*controls: float) -> np.ndarray:
        return surface.at(np.array(controls)).losses

    begin = State(torch.zeros(0, dtype=torch.float64), _tensor(start))
    return ExactPath(surface, scenario.process.on_surface(begin, losses), start)
