"""Integration of d(θ, c)/ds = (Σ_c θ_c ċ, ċ) over one segment of the path by a torchdiffeq method."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics.processes.base import Process, SurfacePoint
from rdc_dyn.dynamics.responses.base import Known, Response, ResponseModel
from rdc_dyn.dynamics.state import State
from rdc_dyn.status import NumericalFailure, Status

#: torchdiffeq's own limits are assertions, which vanish under `python -O`; this one does not.
MAX_EVALUATIONS = 5_000


@dataclass
class VectorField:
    """The vector field over one segment, starting at a state whose response is known.

    Attributes:
        free_energy: J.
        process: Gives ċ.
        model: Gives θ_c and M.
        known: Start of the segment with its response, which the first stage reuses.
        baumgarte: Rate κ of ḣ = −κ (h − h⁰), the pull of the held functionals back to their values, for runs without an
            exact corrector (Baumgarte 1972).
        held_values: h⁰ in nats, shape (m,); None switches the pull off.
        evaluations: Calls so far.
    """

    free_energy: FreeEnergy
    process: Process
    model: ResponseModel
    known: Known
    baumgarte: float = 0.0
    held_values: Tensor | None = None
    evaluations: int = 0

    @property
    def start(self) -> State:
        """State at the beginning of the segment."""
        return self.known.state

    def __call__(self, s: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Evaluate the vector field.

        Args:
            s: Clock, a scalar.
            y: (θ, c), shapes (P,) and (3,).

        Returns:
            (θ̇, ċ), finite.

        Raises:
            NumericalFailure: NON_FINITE, BOUND_REACHED, EVALUATION_LIMIT, DEGENERATE_CONSTRAINT, or that of the
                response or process.
        """
        self.evaluations += 1
        self.free_energy.work.vector_field_evaluations += 1
        if self.evaluations > MAX_EVALUATIONS:
            raise NumericalFailure(Status.EVALUATION_LIMIT, f"{MAX_EVALUATIONS} evaluations")
        given = self.process.prescribed(float(s), y[1])
        state = State(y[0], y[1] if given is None else given)
        if not state.finite:
            raise NumericalFailure(Status.NON_FINITE, f"state at time {float(s):.6g}")
        state.require_bounds()
        response = self._response(state)
        here = SurfacePoint(state.controls, response.matrix, response.forces, float(response.functionals[0]))
        rates = self.process.velocity(float(s), here) + self._pull(here, response.functionals)
        velocity = rates @ response.directions
        if not bool(torch.isfinite(velocity).all() and torch.isfinite(rates).all()):
            raise NumericalFailure(Status.NON_FINITE, f"vector field at time {float(s):.6g}")
        return velocity, rates

    def _pull(self, here: SurfacePoint, functionals: Tensor) -> Tensor:
        """Rates along the free directions that make h − h⁰ decay at the rate κ, in the direction of travel."""
        if self.held_values is None or not self.process.held:
            return torch.zeros_like(here.controls)
        weights = here.matrix.new_tensor(self.process.held)
        directions = self.process.free_directions(here)
        slopes = weights @ here.matrix @ directions.T
        forward = 1.0 if self.process.span[1] > self.process.span[0] else -1.0
        excess = forward * self.baumgarte * (weights @ functionals - self.held_values)
        pull, info = torch.linalg.solve_ex(slopes, -excess)
        if int(info):
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, "the free multipliers do not move what is held")
        return pull @ directions

    def _response(self, state: State) -> Response:
        if torch.equal(state.controls, self.start.controls) and torch.equal(state.theta, self.start.theta):
            return self.known.response
        return self.model.at_stage(self.free_energy, state, self.known)


#: torchdiffeq's methods that can control their own error.
ADAPTIVE = frozenset({"adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"})


@dataclass(frozen=True)
class IntegratorStep:
    """Result of `Integrator.step`.

    Attributes:
        state: State at s₁, or None if the step failed.
        next_step: Step size with which an adaptive method should begin the next segment, or None.
        failure: None, or what went wrong.
        detail: Numbers that explain the failure.
    """

    state: State | None
    next_step: float | None
    failure: Status | None
    detail: str = ""


class _Monitored:
    """The field with a record of the steps that an adaptive method accepts (torchdiffeq finds the hook by its name)."""

    def __init__(self, field: VectorField, adaptive: bool) -> None:
        self._field = field
        self.accepted: list[float] = []
        if adaptive:
            self.callback_accept_step = lambda t0, y0, dt: self.accepted.append(float(dt))

    def __call__(self, s: torch.Tensor, y: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self._field(s, y)


@dataclass(frozen=True)
class Integrator:
    """A torchdiffeq method.

    Attributes:
        method: Its name there.
        rtol: Relative tolerance of an adaptive method; None makes it take one step of its tableau per segment.
        atol: Absolute tolerance.
    """

    method: str
    rtol: float | None = None
    atol: float | None = None

    @property
    def controlled(self) -> bool:
        """Whether the method controls its own error within a segment."""
        return self.method in ADAPTIVE and self.rtol is not None

    def _options(self, s0: float, s1: float, first_step: float | None) -> dict[str, Any]:
        if self.method not in ADAPTIVE:
            return {}
        # torchdiffeq reverses time for a decreasing span, so steps are positive; step_t makes it land on s1.
        if not self.controlled:
            first_step = abs(s1 - s0)
        options: dict[str, Any] = {"step_t": torch.tensor([s1], dtype=torch.float64)}
        if first_step is not None:
            options["first_step"] = min(first_step, abs(s1 - s0))
        return options

    def step(self, field: VectorField, s0: float, s1: float, first_step: float | None = None) -> IntegratorStep:
        """Integrate from s₀ to s₁, starting at `field.start`.

        Args:
            field: Right-hand side.
            s0: Clock at the start.
            s1: Clock at the end; may be smaller than s₀.
            first_step: First step of an adaptive method, from the previous segment; None lets the method choose.

        Returns:
            The state at s₁, or the failure.
        """
        y0 = (field.start.theta, field.start.controls)
        times = torch.tensor([s0, s1], dtype=torch.float64, device=y0[0].device)
        monitored = _Monitored(field, self.controlled)
        huge = 1e30  # accept whatever the tableau gives
        rtol, atol = (self.rtol, self.atol) if self.controlled else (huge, huge)
        try:
            with torch.no_grad():
                theta, controls = odeint(
                    monitored, y0, times, method=self.method, rtol=rtol, atol=atol,
                    options=self._options(s0, s1, first_step),
                )  # fmt: skip
        except NumericalFailure as failure:
            return IntegratorStep(None, None, failure.status, failure.detail)
        except AssertionError as failure:
            # The only torchdiffeq assertion that a finite field with a bounded budget can reach is step-size underflow.
            return IntegratorStep(None, None, Status.STEP_UNDERFLOW, str(failure))
        state = State(theta[-1], controls[-1])
        given = field.process.prescribed(s1, state.controls)
        state = state if given is None else State(state.theta, given)
        if not state.finite:
            return IntegratorStep(None, None, Status.NON_FINITE, f"state at time {s1:.6g}")
        # The last step was shortened to land on s1 and says little about the next.
        return IntegratorStep(state, max(monitored.accepted[-2:], default=None), None)
