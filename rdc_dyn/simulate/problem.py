"""What a run needs, and what it knows at a point of its path."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from rdc_dyn.dynamics import (
    Approach,
    Corrector,
    Curve,
    CurvePoint,
    Departure,
    Integrator,
    Known,
    Memory,
    Minimiser,
    Monitor,
    Process,
    Response,
    ResponseModel,
    Stability,
    State,
    StepSize,
    SurfacePoint,
)
from rdc_dyn.linalg import Preconditioner
from rdc_dyn.objective import FreeEnergy, Linearisation

#: Called while the start is equilibrated: (phase, step, J, |∇J|).
Watch = Callable[[str, int, float, float], None]


@dataclass(frozen=True)
class Problem:
    """Everything a run needs.

    Attributes:
        free_energy: J.
        process: Moves the controls.
        response: Gives θ_c and M.
        integrator: Predictor.
        corrector: Back to the surface.
        minimiser: Finds the first equilibrium, and the one beyond a fold.
        step_size: Length of the segments.
        start: θ and controls from which the first equilibrium is sought.
        adam_steps: Adam steps before the minimiser.
        learning_rate: Adam's largest learning rate.
        drop_every: Steps after which Adam's learning rate is a tenth; None anneals it to zero instead.
        on_fold: Where a branch of minima ends: stop there, relax to the minimum that takes over, or follow the branch.
        monitor: Watches for singular points ahead; None leaves them to be found by steps that fail.
        aims: Whether the process is only the way to the equilibrium that a geodesic is to aim at.
        adam_batch: Data of each part in a minibatch of Adam's; None takes all of them.
        seed: Of these minibatches.
        preconditioners: Those that its parts use, each once, for the record of their builds.
        baumgarte: Rate κ at which the vector field pulls held functionals back, ḣ = −κ (h − h⁰).
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
    adam_batch: int | None = None
    drop_every: int | None = None
    seed: int = 0
    baumgarte: float = 0.0
    preconditioners: tuple[Preconditioner, ...] = ()
    began: float = field(default_factory=clock.perf_counter)

    @property
    def precision(self) -> float:
        """ρ of the weight prior."""
        return self.free_energy.objective.weight_prior_precision

    @property
    def forward(self) -> float:
        """1 where the clock runs upwards, −1 where it runs down."""
        return 1.0 if self.process.span[1] > self.process.span[0] else -1.0

    def weights(self, like: torch.Tensor) -> torch.Tensor:
        """Weights of the held functionals, shape (m, 3)."""
        return like.new_tensor(self.process.held).reshape(-1, 3)


@dataclass(frozen=True)
class Walk:
    """Where a path stands that is followed by pseudo-arclength.

    Attributes:
        curve: The path as a curve.
        here: The point on it.
        travel: Change of (λ, γ, t) in the last step, by which a turn is noticed.
        index: Number of negative eigenvalues of A.
        length: Arclength of the next step.
    """

    curve: Curve
    here: CurvePoint
    travel: torch.Tensor
    index: int | None
    length: float


@dataclass(frozen=True)
class Point:
    """A point of the path on (or, without corrector, near) the surface.

    Attributes:
        time: Process clock.
        at: Linearisation of ∇J there.
        response: θ_c and M there.
        step_size: Length of the step that led here; zero at the start.
        first_step: Step with which an adaptive method should go on.
        held_values: h⁰ of the functionals that the process holds.
        index: Number of accepted steps so far.
        stability: Distance to the next singular point of the surface, as far as it is watched.
        singularities: Distance to the zeros of what the process divides by.
        jump: What relaxing onto another branch changed in the step that led here, by name; empty elsewhere.
        morse_index: Number of negative eigenvalues of A on a branch that is followed; None where it was not counted.
        trace: J in the course of the correction that led here, where the corrector reports it.
        size: How long the next segment is to be; None for the problem's own first.
        walk: Where the path stands on the curve that it follows; None where it is a graph over the clock.
        memory: What minibatches have taught the corrector by now; None where it keeps nothing.
        notes: What the correction that led here says of itself, for the record, by name.
        growth: How much longer the next step may be, where the corrector has judged that.
        dissipation: ∫ D dλ + C dγ + ∂_tF dt − (F − F₀) from the start to here, in nats.
        dissipation_error: What of that may be due to quadrature and noise, in nats.
    """

    time: float
    at: Linearisation
    response: Response
    step_size: float
    first_step: float | None
    held_values: torch.Tensor
    index: int
    stability: Stability = field(default_factory=Stability)
    singularities: tuple[Approach, ...] = ()
    jump: Mapping[str, float] = field(default_factory=dict)
    morse_index: int | None = None
    trace: tuple[float, ...] = ()
    size: StepSize | None = None
    walk: Walk | None = None
    memory: Memory | None = None
    notes: Mapping[str, float] = field(default_factory=dict)
    growth: float | None = None
    dissipation: float = 0.0
    dissipation_error: float = 0.0

    @property
    def departure(self) -> Departure:
        """The point as the beginning of a step, for the corrector."""
        return Departure(self.at.controls, self.at.forces, self.memory, self.notes)

    @property
    def state(self) -> State:
        """θ and controls."""
        return State(self.at.theta, self.at.controls)

    @property
    def ahead(self) -> Approach:
        """The nearest singular point, of the surface or of the process."""
        return min((self.stability.approach, *self.singularities), key=lambda a: a.reach)

    def towards(self, target: float) -> Known:
        """The point as the beginning of a step that ends at a value of the clock."""
        response, before = self.response, self.response.before
        directions = response.directions
        if before is None or self.step_size == 0.0:
            return Known(self.state, response, directions)
        ratio = abs(target - self.time) / self.step_size
        return Known(self.state, response, directions + ratio * (directions - before))

    @property
    def here(self) -> SurfacePoint:
        """What the process may look at."""
        rate = float(self.response.functionals[0])
        return SurfacePoint(self.at.controls, self.response.matrix, self.response.forces, rate)
