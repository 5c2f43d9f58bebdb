"""Schema of the sections `response.solver`, `integrator` and `corrector`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import Count, NonNegative, Positive, Section, UnitInterval

FIXED_METHODS = ("euler", "midpoint", "heun2", "heun3", "rk4")
ADAPTIVE_METHODS = ("adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8")
REFUSED_METHODS = {
    "explicit_adams": "its history is lost at every corrector step",
    "implicit_adams": "its history is lost at every corrector step",
    "fixed_adams": "its history is lost at every corrector step",
    "scipy_solver": "torchdiffeq does not check whether SciPy succeeded",
}


class _Krylov(Section):
    method: str
    rtol: Positive | None = Field(
        default=None,
        description="relative residual |b - A u| / |b|; null: 1e-8 or, where that is less, a tenth of integrator.rtol; "
        "1e-4 in float32",
    )
    max_iterations: Count = 2000
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")
    preconditioner: Literal["factorised", "nystrom", "kfac", "none"] = Field(
        default="factorised",
        description="factorised: a factor of an A met earlier; nystrom: its largest eigenvalues, for large theta; "
        "kfac: Kronecker factors and a core, for large theta of an amortised encoder",
    )
    curvature: Literal["hessian", "gauss_newton"] = Field(
        default="hessian",
        description="what factorised and nystrom approximate: A itself, or the generalised Gauss-Newton matrix, "
        "positive semidefinite by construction (amortised only); A answers for the response in both cases",
    )
    rank: Count | None = Field(
        default=None,
        description="of nystrom: products that a build takes; null: 100. Of kfac: coordinates of its core; null: 1000",
    )
    memory: Annotated[int, Field(ge=0)] = Field(
        default=40, description="pairs (s, A s) of the last solves that update the preconditioner; 0: none"
    )
    patience: Positive = Field(
        default=1.0,
        description="products that solves take beyond those of a fresh preconditioner, as a multiple of what a build "
        "takes, after which it is built anew; smaller where builds are cheap, as in batches on a GPU",
    )


class Cg(_Krylov):
    """Preconditioned block conjugate gradients on Hessian-vector products."""

    method: Literal["cg"]


class Minres(_Krylov):
    """Preconditioned minimal residuals on Hessian-vector products; A may be indefinite."""

    method: Literal["minres"]


class Dense(Section):
    """A is formed by Hessian-vector products and factorised at every state; for small theta."""

    method: Literal["dense"]
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")


Solver = Annotated[Cg | Minres | Dense, Field(discriminator="method")]


_SMALLEST = (
    "a step that fails is halved down to this length, and singular points are located to it; null: 1e-4, or a "
    "sixteenth of step_size where that is shorter"
)


class FixedStep(Section):
    """Runge-Kutta method with fixed steps."""

    method: Literal["euler", "midpoint", "heun2", "heun3", "rk4"]
    step_size: Positive
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)


class AdaptiveStep(Section):
    """Embedded Runge-Kutta method: error control in segments of length step_size or, with rtol null, fixed steps."""

    method: Literal["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"]
    step_size: Positive | None = Field(
        default=None, description="longest segment between corrections; null: a tenth of the span"
    )
    rtol: Positive | None = Field(default=1e-6, description="null: take fixed steps of step_size")
    atol: Positive | None = Field(default=1e-8, description="null: take fixed steps of step_size")
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)


Integrator = Annotated[FixedStep | AdaptiveStep, Field(discriminator="method")]


_BAUMGARTE = (
    "rate at which the vector field pulls what the process holds back to its value, per unit of the clock; null: "
    "1 / integrator.step_size with response.kind secant, else 0"
)
_BATCH = "data (of each part) in a minibatch, drawn anew for each step; seeded by seed"
_TOLERANCE = "on |grad J|; null: 1e-8 in float64, 1e-4 in float32"


class NoCorrector(Section):
    """No corrections: the trajectory is what the integrator gives."""

    method: Literal["none"]
    baumgarte: NonNegative | None = Field(default=None, description=_BAUMGARTE)


class Gradient(Section):
    """The paper's equilibration: Adam with learning rate proportional to (k/K)^2 (1 - k/K)^5, or a constant one."""

    method: Literal["gradient"]
    steps: Count = 200
    peak_learning_rate: Positive = 1.5e-3
    schedule: Literal["hump", "constant"] = Field(
        default="hump", description="of the learning rate: the paper's, or constant as in plain training"
    )
    trace: Annotated[int, Field(ge=0)] = Field(
        default=0, description="values of J in the course of each correction, in its event equilibrated; 0: none"
    )
    batch: Count | None = Field(default=None, description=_BATCH + "; null: all data")
    baumgarte: NonNegative | None = Field(default=None, description=_BAUMGARTE)


class VarianceReduced(Section):
    """Preconditioned SVRG: minibatch steps around anchors with full gradients, down to a tolerance on |grad J|."""

    method: Literal["variance_reduced"]
    batch: Count = Field(default=64, description=_BATCH)
    steps: Count = Field(default=10, description="steps from one anchor to the next; the first is a full-gradient step")
    epochs: Count = Field(default=100, description="most anchors; a correction that needs more fails")
    step: Positive = Field(default=0.1, description="length, 1 is Newton's; halved where an epoch does not lower J")
    tolerance: Positive | None = Field(default=None, description=_TOLERANCE)
    baumgarte: NonNegative | None = Field(default=None, description=_BAUMGARTE)


class NewtonKrylov(Section):
    """Newton steps with the response's linear solver; with hold_constraint, one multiplier direction moves too."""

    method: Literal["newton_krylov"]
    tolerance: Positive | None = Field(default=None, description=_TOLERANCE)
    max_iterations: Count = 12
    hold_constraint: bool = Field(default=True, description="also restore the functional that the process holds")
    baumgarte: NonNegative | None = Field(default=None, description=_BAUMGARTE + "; only without hold_constraint")


class _Stochastic(Section):
    batch: Count = Field(default=250, description="data in a minibatch, of the largest part; epochs are reshuffled")
    learning_rate: Positive = Field(default=1.5e-3, description="Adam's; epochs that are averaged take a share of it")
    updates: Count = Field(
        default=480, description="least updates, in whole epochs, in which the multipliers go to the step's end"
    )
    epochs: Count = Field(default=8, description="most averages, each over whole epochs of half as many updates")


class PrimalDual(_Stochastic):
    """Minibatch updates, while feedback on the free multipliers keeps what the process holds; for large networks."""

    method: Literal["primal_dual"]
    tolerance: Positive = Field(default=5e-3, description="on what is held, relative")
    dissipation: Positive = Field(
        default=1e-2, description="share of a step's work that theta may still lose in the last epoch"
    )


class Geco(_Stochastic):
    """GECO's rule, for comparison: gamma grows with the exponential of a moving average of the deviation."""

    method: Literal["geco"]
    smoothing: UnitInterval = Field(default=0.99, description="of the moving average")
    rate: Positive = Field(default=1.0, description="of log gamma, per update and per relative deviation")


class NuPi(_Stochastic):
    """nuPI, for comparison: proportional and integral feedback with gains that the user tunes."""

    method: Literal["nupi"]
    proportional: NonNegative = Field(default=1.0, description="gain, in units of gamma / what is held")
    integral: NonNegative = Field(default=0.01, description="gain per update, in the same units")
    smoothing: UnitInterval = Field(default=0.9, description="nu, of the average that the proportional part answers to")


Corrector = Annotated[
    NoCorrector | Gradient | VarianceReduced | NewtonKrylov | PrimalDual | Geco | NuPi, Field(discriminator="method")
]
