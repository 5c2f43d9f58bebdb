"""M by differences between equilibrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.section import Positive
from rdc_dyn.scenario.sections.responses import ResponseSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class FiniteDifferenceSection(ResponseSection):
    """The paper's (31): equilibrate again at lam + delta and at gamma + delta by the corrector, and difference."""

    kind: Literal["finite_difference"]
    delta: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.01, description="shift of lam, gamma and, where data move, of data_position"
    )
    delta_gamma: Positive | None = Field(default=None, description="shift of gamma; null: delta")
    predictor: bool = Field(default=False, description="difference theta too; false: theta waits for the corrector")
    reference: bool = Field(
        default=False,
        description="difference against an equilibration at lam and gamma themselves, by the same minibatches: what a "
        "corrector that stops short of the surface still improves there cancels",
    )

    def build(self, context: Context) -> ResponseModel:
        """Differences by the scenario's corrector."""
        from rdc_dyn.dynamics import FiniteDifference

        assert self.delta_gamma is not None  # resolved
        shifts = (self.delta, self.delta_gamma, self.delta)
        return FiniteDifference(context.corrector, shifts, self.predictor, self.reference)

    @property
    def approximations(self) -> tuple[str, ...]:
        """The shifts, and a predictor that is left out."""
        other = f", {self.delta_gamma:g} in gamma" if self.delta_gamma not in (None, self.delta) else ""
        shifts = f"response by finite differences of {self.delta:g}{other}"
        return (shifts,) if self.predictor else (shifts, "no predictor")

    def resolve(self, scenario: Scenario) -> Self:
        """One shift for both multipliers."""
        return super().resolve(scenario).default(delta_gamma=self.delta)
