"""The vector field d(θ, c)/ds = (Σ_c θ_c ċ, ċ) that torchdiffeq integrates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
