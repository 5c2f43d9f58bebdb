"""What a run needs, and what it knows at a point of its path, with the free energy lost on the way there."""

import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import (
    Approach,
    Corrector,
    Curve,
    CurvePoint,
    Integrator,
    Known,
    Memory,
    Minimiser,
    Monitor,
    Process,
    ResponseModel,
    Stability,
    State,
    StepSize,
    SurfacePoint,
)
from rdc_dyn.dynamics.responses.base import Response, free_energy_hessian
from rdc_dyn.linalg import Preconditioner
from rdc_dyn.linalg.base import Controls, Vector

#: Called with (phase, step, J, |∇J|) while the start is equilibrated.
Watch = Callable[[str, int, float, float], None]


@dataclass(frozen=True)
class Problem:
    """Everything a run needs.

    Attributes:
        response: Gives θ_c and M.
        integrator: The predictor.
        minimiser: Finds the first equilibrium, and the next one beyond a fold.
        start: θ and controls from which the first equilibrium is sought.
        adam_steps: Adam steps before the minimiser.
        learning_rate: Adam's largest learning rate.
        on_fold: Where a branch of minima ends: stop there, relax to the minimum that takes over, or follow the branch.
        monitor: Watches for singular points ahead; None leaves them to be found by steps that fail.
        aims: Whether the process is only the way to the equilibrium at which a geodesic is to aim.
        slope: dD/dR of the geodesic, where it has aimed.
        adam_batch: Data of each part in an Adam minibatch; None takes all of them.
        drop_every: Steps after which Adam's learning rate drops to a tenth; None anneals it to zero instead.
        seed: Seed of Adam's minibatches.
        baumgarte: Rate κ at which the vector field pulls held functionals back, ḣ = −κ (h − h⁰).
        preconditioners: Those that its parts use, each once.
        began: `time.perf_counter()` when the run began.
    """

    free_energy: FreeEnergy
    process: Process
    response: ResponseModel
    integrator: Integrator
    corrector: Corrector
    minimiser: Minimiser
    step_size: StepSize
    start: State
    adam_steps: int
    learning_rate: float
    on_fold: Literal["stop", "relax", "follow"]
    monitor: Monitor | None
    aims: bool = False
    slope: float | None = None
    adam_batch: int | None = None
    drop_every: int | None = None
    seed: int = 0
    baumgarte: float = 0.0
    preconditioners: tuple[Preconditioner, ...] = ()
    began: float = field(default_factory=clock.perf_counter)

    @property
    def precision(self) -> float:
        """Precision ρ of the weight prior."""
        return self.free_energy.objective.weight_prior_precision

    @property
    def forward(self) -> float:
        """1 where the clock runs up, −1 where it runs down."""
        return 1.0 if self.process.span[1] > self.process.span[0] else -1.0

    def weights(self, like: torch.Tensor) -> torch.Tensor:
        """Weights of the held functionals, shape (m, 3)."""
        return like.new_tensor(self.process.held).reshape(-1, 3)


@dataclass(frozen=True)
class Walk:
    """Where a path stands that is followed by pseudo-arclength.

    Attributes:
        travel: Change of (λ, γ, t) in the last step, by which a turn is noticed.
        index: Number of negative eigenvalues of A.
        length: Arclength of the next step.
    """

    curve: Curve
    here: CurvePoint
    travel: Float[torch.Tensor, "3"]
    index: int | None
    length: float


@dataclass(frozen=True)
class Training:
    """The start of a run after some steps of Adam, with all that its further steps depend on.

    Attributes:
        step: Number of steps so far.
        mean: Adam's running mean of ∇J.
        square: That of its square.
        draws: State of the generator of minibatches.
    """

    step: int
    theta: Vector
    mean: Vector
    square: Vector
    draws: Tensor


@dataclass(frozen=True)
class Point:
    """A point of the path on (or, without a corrector, near) the surface.

    Attributes:
        time: Process clock.
        at: Linearisation of ∇J there.
        response: θ_c and M there.
        step_size: Length of the step that led here; zero at the start.
        first_step: Step with which an adaptive method should go on.
        held_values: h⁰ of the functionals that the process holds.
        index: Number of steps accepted so far.
        stability: Distance to the next singular point of the surface, where it is monitored.
        singularities: Distances to the zeros of what the process divides by.
        jump: Changes by name in the step that led here, if it relaxed onto another branch; otherwise empty.
        morse_index: Number of negative eigenvalues of A on a branch that is followed; None where it was not counted.
        trace: J and ‖∇J‖ in the course of the correction that led here, where the corrector reports it.
        size: Length of the next segment; None for the problem's own first.
        walk: Where the path stands on the curve that it follows; None where it is a graph over the clock.
        memory: What the corrector has learned from minibatches; None where it keeps nothing.
        notes: What the correction that led here reports of itself, by name.
        growth: Factor by which the next step may be longer, where the corrector has judged that.
        dissipation: ∫ D dλ + C dγ + ∂_tF dt − (F − F₀) from the start to here, in nats.
        dissipation_error: Error of that from quadrature and noise, in nats.
    """

    time: float
    at: Linearisation
    response: Response
    step_size: float
    first_step: float | None
    held_values: Float[torch.Tensor, "m"]
    index: int
    stability: Stability = field(default_factory=Stability)
    singularities: tuple[Approach, ...] = ()
    jump: Mapping[str, float] = field(default_factory=dict)
    morse_index: int | None = None
    trace: tuple[tuple[float, float], ...] = ()
    size: StepSize | None = None
    walk: Walk | None = None
    memory: Memory | None = None
    notes: Mapping[str, float] = field(default_factory=dict)
    growth: float | None = None
    dissipation: float = 0.0
    dissipation_error: float = 0.0

    @property
    def state(self) -> State:
        """θ and controls."""
        return State(self.at.theta, self.at.controls)

    @property
    def ahead(self) -> Approach:
        """The nearest singular point, of the surface or of the process."""
        return min((self.stability.approach, *self.singularities), key=lambda a: a.reach)

    def towards(self, target: float) -> Known:
        """The point as the beginning of a step to the clock `target`, with θ_c extrapolated linearly."""
        response, before = self.response, self.response.before
        directions = response.directions
        if before is None or self.step_size == 0.0:
            return Known(self.state, response, directions)
        ratio = abs(target - self.time) / self.step_size
        return Known(self.state, response, directions + ratio * (directions - before))

    @property
    def here(self) -> SurfacePoint:
        """The part of the point that a process may look at."""
        rate = float(self.response.functionals[0])
        return SurfacePoint(self.at.controls, self.response.matrix, self.response.forces, rate)


def with_dissipation(problem: Problem, before: Point, after: Point) -> Point:
    """The point with the free energy dissipated on the way to it, and the error of that.

    The work of a step follows the trapezoidal rule. Where Hess F is solved for, or estimated with an error, it corrects
    the work (Hermite's rule, of fifth order). The error is that of the estimate, or else the size of the correction;
    rounding and the noise of (D, C) are added in quadrature.
    """
    move = after.at.controls - before.at.controls
    work = float(0.5 * (before.at.forces + after.at.forces) @ move)
    correction, doubt = _bend(before.response, after.response, move)
    if math.isfinite(correction) and (problem.response.tangent or after.response.estimate is not None):
        work += correction / 12
    lost = work - (after.at.value - before.at.value)
    rounding = torch.finfo(after.at.theta.dtype).eps * (abs(after.at.value) + abs(work))
    error = math.hypot(doubt / 12 if math.isfinite(doubt) else 0.1 * abs(work), _noise(before, after), 10 * rounding)
    return replace(
        after, dissipation=before.dissipation + lost, dissipation_error=math.hypot(before.dissipation_error, error)
    )


def _bend(before: Response, after: Response, move: Controls) -> tuple[float, float]:
    """Δc·(Hess F(before) − Hess F(after)) Δc and its error, which is the value itself unless Hess F is estimated."""
    if before.estimate is not None and after.estimate is not None:
        return after.estimate.bend(before.estimate, move)
    value = float((torch.outer(move, move) * (free_energy_hessian(before) - free_energy_hessian(after))).sum())
    return value, value


def _noise(before: Point, after: Point) -> float:
    """Error of the work from the standard errors of (D, C, ∂_tF) at both ends."""
    move, found = after.at.controls - before.at.controls, 0.0
    for estimate in (before.response.estimate, after.response.estimate):
        if estimate is not None:
            found = math.hypot(found, 0.5 * float((estimate.errors * move).norm()))
    return found
