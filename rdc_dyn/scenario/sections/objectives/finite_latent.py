"""J with exact sums over a finite alphabet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.section import NonNegative
from rdc_dyn.scenario.sections.networks import LikelihoodSection
from rdc_dyn.scenario.sections.objectives import ObjectiveSection
from rdc_dyn.status import DataError

if TYPE_CHECKING:
    from rdc_dyn.objective import Objective
    from rdc_dyn.scenario.context import Context


class TableDecoder(LikelihoodSection):
    """One free distribution d(x|z) for each z of a finite alphabet."""

    kind: Literal["table"] = "table"


class FiniteLatentSection(ObjectiveSection):
    """J = -E log Z with exact Gibbs sums over z in a finite alphabet; prior, decoder and classifier are free."""

    kind: Literal["finite_latent"]
    alphabet_size: Annotated[int, Field(ge=2)]
    decoder: TableDecoder
    weight_prior_precision: NonNegative = Field(
        default=1e-3, description="rho of the weight prior rho/2 |theta|^2 in J"
    )
    exact = True

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import FiniteLatent

        own = self.decoder.density()
        data = context.data(own)
        if self.alphabet_size > len(data.source):
            raise DataError(f"objective.alphabet_size: {self.alphabet_size} codes for {len(data.source)} data")
        return FiniteLatent(data, self.alphabet_size, own, self.weight_prior_precision)
