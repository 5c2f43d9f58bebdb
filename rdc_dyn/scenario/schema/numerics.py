"""The sections `response`, `integrator` and `corrector`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import Count, NonNegative, Positive, Section

FIXED_METHODS = ("euler", "midpoint", "heun2", "heun3", "rk4")
ADAPTIVE_METHODS = ("adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8")
REFUSED_METHODS = {
    "explicit_adams": "its history is lost at every corrector step",
    "implicit_adams": "its history is lost at every corrector step",
    "fixed_adams": "its history is lost at every corrector step",
    "scipy_solver": "torchdiffeq does not check whether SciPy succeeded",
}


class Cg(Section):
    """Preconditioned conjugate gradients on Hessian-vector products."""

    method: Literal["cg"]
    rtol: Positive = Field(default=1e-8, description="relative residual |b - A u| / |b|")
    max_iterations: Count = 2000
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")
    preconditioner: Literal["factorised", "none"] = "factorised"


class Dense(Section):
    """A formed by products and factorised at every state; for small theta."""

    method: Literal["dense"]
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")


class LinearResponse(Section):
    """theta_lam = A^-1 b_lam and theta_gamma = A^-1 b_gamma."""

    kind: Literal["linear_response"] = "linear_response"
    solver: Annotated[Cg | Dense, Field(discriminator="method")] = Cg(method="cg")


_SMALLEST = (
    "a step that fails is halved down to this length, and singular points are located to it; null: 1e-4, or a "
    "sixteenth of step_size where that is shorter"
)


class FixedStep(Section):
    """Runge-Kutta with a given step."""

    method: Literal["euler", "midpoint", "heun2", "heun3", "rk4"]
    step_size: Positive
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)


class AdaptiveStep(Section):
    """Embedded Runge-Kutta: with rtol, error control inside segments of length step_size; without, fixed steps."""

    method: Literal["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"]
    step_size: Positive | None = Field(
        default=None, description="longest segment between corrections; null: a tenth of the span"
    )
    rtol: Positive | None = Field(default=1e-6, description="null: take fixed steps of step_size")
    atol: Positive | None = Field(default=1e-8, description="null: take fixed steps of step_size")
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)


Integrator = Annotated[FixedStep | AdaptiveStep, Field(discriminator="method")]


_BAUMGARTE = "rate at which the vector field pulls what the process holds back to its value, per unit of the clock"


class NoCorrector(Section):
    """The trajectory is what the integrator gives."""

    method: Literal["none"]
    baumgarte: NonNegative = Field(default=0.0, description=_BAUMGARTE)


class Gradient(Section):
    """The paper's equilibration: Adam with learning rate proportional to (k/K)^2 (1 - k/K)^5."""

    method: Literal["gradient"]
    steps: Count = 200
    peak_learning_rate: Positive = 1.5e-3
    baumgarte: NonNegative = Field(default=0.0, description=_BAUMGARTE)


class NewtonKrylov(Section):
    """Newton steps by the response's linear solver; with hold_constraint one multiplier direction moves too."""

    method: Literal["newton_krylov"]
    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")
    max_iterations: Count = 12
    hold_constraint: bool = Field(default=True, description="also restore the functional that the process holds")


Corrector = Annotated[NoCorrector | Gradient | NewtonKrylov, Field(discriminator="method")]
