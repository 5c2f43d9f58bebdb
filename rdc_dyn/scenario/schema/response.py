"""Schema of the section `response`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rdc_dyn.scenario.schema.base import Positive, Section
from rdc_dyn.scenario.schema.numerics import Cg, Solver

_SOLVER = "of the corrector newton_krylov, and the preconditioner of variance_reduced"


class LinearResponse(Section):
    """theta_lam = A^-1 b_lam and theta_gamma = A^-1 b_gamma."""

    kind: Literal["linear_response"] = "linear_response"
    solver: Solver = Cg(method="cg")


class Secant(Section):
    """d(R, D, C)/d(lam, gamma, t) by secant updates from the path's own history, without solves or further runs."""

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
    solver: Solver = Field(default=Cg(method="cg"), description=f"{_SOLVER}; and of start: linear_response")


class SecantFilter(Section):
    """Filtered secants of averaged points: M with its standard error, for correctors on minibatches."""

    kind: Literal["secant_filter"]
    solver: Solver = Field(default=Cg(method="cg"), description=_SOLVER)


class FiniteDifference(Section):
    """The paper's equation (31): finite differences of equilibria that the corrector finds at shifted multipliers."""

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
    solver: Solver = Field(default=Cg(method="cg"), description=_SOLVER)

    @property
    def shifts(self) -> tuple[float, float, float]:
        """Shifts of lam, gamma and data_position."""
        return (self.delta, self.delta if self.delta_gamma is None else self.delta_gamma, self.delta)


class NoResponse(Section):
    """No response: only the corrector moves theta, as in warm-started sweeps, fine-tuning and plain training."""

    kind: Literal["none"]
    solver: Solver = Field(default=Cg(method="cg"), description=_SOLVER)


def _named(value: Any) -> Any:
    """Make a section without `kind` that of the linear response."""
    return {"kind": "linear_response", **value} if isinstance(value, dict) else value


Response = Annotated[
    LinearResponse | Secant | SecantFilter | FiniteDifference | NoResponse,
    Field(discriminator="kind"),
    BeforeValidator(_named),
]
