"""M by secants of the path's own history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.sections.responses import ResponseSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class SecantSection(ResponseSection):
    """d(R, D, C)/d(lam, gamma, t) from the path's own history; no solve, no run besides the path's own."""

    kind: Literal["secant"]
    start: Literal["guess", "linear_response"] = Field(
        default="guess",
        description=(
            "guess: C_gamma = -C/gamma and C_lam = 0, and the first steps explore (an eighth of step_size, then "
            "doubled, where the corrector has a tolerance); linear_response: solve once, at the start"
        ),
    )
    predictor: bool | None = Field(
        default=None,
        description="learn d theta/d(lam, gamma, t) too, so that theta moves with the multipliers; null: where the "
        "corrector has a tolerance",
    )
    guesses = True

    @property
    def solves(self) -> bool:
        """Whether M is solved for at the start."""
        return self.start == "linear_response"

    def build(self, context: Context) -> ResponseModel:
        """Broyden's updates from the start's M on."""
        from rdc_dyn.dynamics import LinearResponse, Secant

        assert self.predictor is not None  # resolved
        return Secant(LinearResponse(context.solver) if self.solves and context.solver else None, self.predictor)

    def explores(self, scenario: Scenario) -> bool:
        """Short steps teach the response; where a correction promises no |∇J|, they would teach its noise."""
        return self.start == "guess" and scenario.corrector.promises

    @property
    def approximations(self) -> tuple[str, ...]:
        """M itself."""
        return ("response by secant updates",)

    def resolve(self, scenario: Scenario) -> Self:
        """θ is predicted where it is equilibrated."""
        return super().resolve(scenario).default(predictor=scenario.corrector.promises)


class SecantFilterSection(ResponseSection):
    """Secants of averaged points, filtered; M with its standard error, for correctors on minibatches."""

    kind: Literal["secant_filter"]
    averages = True

    def build(self, context: Context) -> ResponseModel:
        """The Kalman filter."""
        from rdc_dyn.dynamics import SecantFilter

        return SecantFilter()

    @property
    def approximations(self) -> tuple[str, ...]:
        """M itself."""
        return ("response by filtered secants",)
