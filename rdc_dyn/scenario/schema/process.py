"""Schema of the sections `start` and `process`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rdc_dyn.scenario.schema.base import (
    Count,
    Finite,
    Interval,
    NonNegative,
    Positive,
    Section,
    UnitInterval,
    list_to_tuple,
)

Clock = Literal["alpha", "multipliers", "rate_distortion", "lam"]


class Equilibrate(Section):
    """How the first equilibrium is found: Adam, then trust-region Newton-Krylov."""

    adam_steps: Annotated[int, Field(ge=0)] = Field(default=1000, description="Adam steps before Newton")
    batch: Count | None = Field(
        default=None, description="data (of each part) in a minibatch of Adam's, seeded by seed; null: all data"
    )
    learning_rate: Positive = Field(default=1e-2, description="Adam's largest learning rate, annealed to zero")
    drop_every: Count | None = Field(
        default=None, description="divide the learning rate by ten every so many steps, instead of annealing it"
    )
    newton_steps: Annotated[int, Field(ge=0)] = Field(
        default=500,
        description="most trust-region steps; 0: Adam alone must reach the tolerance, and nothing tells a saddle",
    )
    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")


class Start(Section):
    """Where the run begins."""

    lam: NonNegative | None = Field(default=None, description="multiplier of the distortion")
    gamma: NonNegative | None = Field(default=None, description="multiplier of the classification loss")
    equilibrate: Equilibrate = Equilibrate()
    from_: str | None = Field(default=None, alias="from", description="run directory whose last checkpoint gives theta")


class Ends(Section):
    """Multipliers at both ends of the span; a single number is the last value, start.lam or start.gamma the first."""

    lam: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(list_to_tuple)]
    gamma: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(list_to_tuple)]
    data_position: Annotated[tuple[UnitInterval, UnitInterval], BeforeValidator(list_to_tuple)] = Field(
        default=(0.0, 0.0), description="data position at the two ends, 0 the source, 1 the target"
    )


class _Process(Section):
    span: Interval = Field(default=(0.0, 1.0), description="first and last value of the process clock")
    on_fold: Literal["stop", "relax", "follow"] | None = Field(
        default=None,
        description="where a branch of minima ends; null: relax for networks with a linear response, else stop",
    )
    look_ahead: bool | None = Field(
        default=None,
        description="watch for folds and branch points ahead; null: for exact objectives with response.kind "
        "linear_response",
    )


class Prescribed(_Process):
    """Lemmas 5 and 9: lam, gamma and data_position are given functions of the clock."""

    kind: Literal["prescribed"]
    path: Ends
    shape: Literal["linear", "exponential", "jump"] = Field(
        default="linear", description="jump: at the second ends as soon as the clock runs"
    )


class IsoClassification(_Process):
    """Remark 7: the classification loss stays constant."""

    kind: Literal["iso_classification"]
    clock: Clock = Field(
        default="multipliers", description="what has unit speed: alpha = 1, (lam, gamma), (R, D), or lam alone"
    )


class Held(Section):
    """Weights a, b, c of the functional a R + b D + c C that stays constant."""

    rate: Finite = 0.0
    distortion: Finite = 0.0
    classification_loss: Finite = 0.0


class IsoFunctional(_Process):
    """Remark 8: a functional a R + b D + c C stays constant, such as the rate, the distortion or C + R / beta."""

    kind: Literal["iso_functional"]
    hold: Held
    clock: Clock = Field(
        default="multipliers", description="what has unit speed: alpha = 1, (lam, gamma), (R, D), or lam alone"
    )


class IsoClassificationTransfer(_Process):
    """Equation (32): from source to target at constant C and constant d lam / dt; the clock is data_position."""

    kind: Literal["iso_classification_transfer"]
    lam_rate: Finite = Field(description="d lam / dt")


class Toward(Section):
    """Multipliers to aim at; the equilibrium there must have the classification loss of the start."""

    lam: NonNegative
    gamma: NonNegative


class GeodesicTransfer(_Process):
    """Equation (30): from source to target on a straight line in (R, D) at constant C; the clock is data_position."""

    kind: Literal["geodesic_transfer"]
    slope: Finite | None = Field(default=None, description="k = dD/dR of the line")
    toward: Toward | None = Field(
        default=None, description="in place of slope: the equilibrium at the end of the span to aim at"
    )


Process = Annotated[
    Prescribed | IsoClassification | IsoFunctional | IsoClassificationTransfer | GeodesicTransfer,
    Field(discriminator="kind"),
]
