"""θ_c = 0: θ waits for the corrector, as in a warm-started sweep, fine-tuning, or training at given multipliers."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.responses.base import Known, Response
from rdc_dyn.dynamics.state import State


@dataclass(frozen=True)
class NoResponse:
    """No derivative of the equilibrium; M is unknown (NaN), so that only a prescribed path can be followed.

    Attributes:
        blind: M is unknown at every point.
    """

    tangent: bool = False
    blind = True

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
    ) -> Response:
        """Zero directions and an unknown M, at no cost."""
        unknown = at.theta.new_full((3, 3), math.nan)
        nowhere = at.theta.new_zeros(()).expand(3, at.size)
        return Response(nowhere, unknown, at.forces, at.functionals, math.nan, 0, math.nan)

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """The response of the step's start."""
        return start.response
