"""Distance δ = min_v vᵀAv / (−vᵀ(dA/ds)v) in process time to where A + δ dA/ds is singular, to first order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch

from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.linalg.base import Vector
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.linalg.ritz import largest_ratio
from rdc_dyn.status import Status

#: Share of the predicted distance to a singular point that one step may cover.
_SAFETY = 0.75


@dataclass(frozen=True)
class Approach:
    """A quantity g that goes to zero along the path, and the first-order distance δ = −g/(dg/ds) to its zero.

    Where g is linear in the true distance x, δ = x; where it goes as √x, δ = 2x. So δ itself bounds x, and the rate at
    which δ falls tells the two apart.

    Attributes:
        distance: δ in process time; infinite if g is not going to zero.
        rate: −dδ/ds since the last point: 1 if g is linear, 2 if it goes as √x; 2, the cautious choice, if unknown.
        status: How a run ends that reaches the zero; None if the rate tells.
        name: What g is.
    """

    distance: float = math.inf
    rate: float = 2.0
    status: Status | None = None
    name: str = "an eigenvalue of A"

    @property
    def reach(self) -> float:
        """Longest step that stays on this side of the zero."""
        return _SAFETY * self.distance / self.rate

    @property
    def ends_as(self) -> Status:
        """Status at the zero: for an eigenvalue of A, a fold (√x) or a branch point (x)."""
        return self.status or (Status.FOLD if self.rate > 1.5 else Status.BRANCH_POINT)

    def after(self, before: Approach | None, elapsed: float) -> Approach:
        """The same approach with its rate, from δ at the last point; `elapsed` is positive."""
        if before is None or not math.isfinite(before.distance) or not math.isfinite(self.distance):
            return self
        return replace(self, rate=min(2.0, max(1.0, (before.distance - self.distance) / elapsed)))


def approach(name: str, status: Status, before: float, now: float, elapsed: float) -> Approach:
    """The approach of a quantity known at two points, with δ by the secant; `elapsed` is positive."""
    fallen = (abs(before) - abs(now)) / elapsed
    return Approach(abs(now) / fallen if fallen > 0 else math.inf, 2.0, status, name)


@dataclass(frozen=True)
class Stability:
    """How far an equilibrium is from the next singular point of the surface.

    Attributes:
        approach: Of the eigenvalue that becomes critical.
        vector: Its eigenvector, normalised in A.
    """

    approach: Approach = field(default_factory=Approach)
    vector: Vector | None = None


@dataclass(frozen=True)
class Monitor:
    """Watches for an eigenvalue of A that goes to zero along the path.

    Attributes:
        preconditioner: An approximate inverse of A.
        rtol: Relative accuracy of δ.
        max_iterations: Maximum number of iterations of the search at one point.
    """

    preconditioner: Preconditioner
    rtol: float = 1e-2
    max_iterations: int = 25

    def look(
        self, at: Linearisation, velocity: Vector, rates: torch.Tensor, before: Stability | None, elapsed: float
    ) -> Stability:
        """Find δ at a point of the path, with θ̇ and the rates of the controls in the direction of travel.

        If A has a negative eigenvalue, so that θ is not a minimum, this raises `NumericalFailure` with INDEFINITE.
        """
        if not bool(velocity.any() or rates.any()):
            return Stability()
        self.preconditioner.prepare(at)
        start = [velocity, self._random(at)] if before is None or before.vector is None else [velocity, before.vector]
        pair = largest_ratio(
            at.drift(-velocity, -rates).mm, at.mm, at.kernel, self.preconditioner, torch.stack(start),
            rtol=self.rtol, max_iterations=self.max_iterations,
        )  # fmt: skip
        found = Approach(1.0 / pair.value if pair.value > 0 else math.inf)
        return Stability(found.after(None if before is None else before.approach, elapsed), pair.vector)

    @staticmethod
    def _random(at: Linearisation) -> Vector:
        noise = torch.randn(at.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return noise.to(at.theta)
