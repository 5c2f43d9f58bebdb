"""The absent corrector, which leaves θ where the integrator put it."""

from dataclasses import dataclass

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.state import State
from rdc_dyn.status import NumericalFailure


@dataclass(frozen=True)
class NoCorrector(Corrector):
    """Only linearises, so that the distance from the surface is recorded."""

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Return the state as it is; fails only with NON_FINITE."""
        try:
            return Correction(state, free_energy.linearise(state.theta, state.controls), 0, None)
        except NumericalFailure as failure:
            return Correction(state, None, 0, failure.status, failure.detail)
