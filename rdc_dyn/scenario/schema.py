"""The scenario as a tree of frozen models: one section per part of the program, unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

FIXED_METHODS = ("euler", "midpoint", "heun2", "heun3", "rk4")
ADAPTIVE_METHODS = ("adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8")
REFUSED_METHODS = {
    "explicit_adams": "its history is lost at every corrector step",
    "implicit_adams": "its history is lost at every corrector step",
    "fixed_adams": "its history is lost at every corrector step",
    "scipy_solver": "torchdiffeq does not check whether SciPy succeeded",
}


def _list_to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(_list_to_tuple)]
Row = Annotated[tuple[Finite, ...], BeforeValidator(_list_to_tuple)]
Matrix = Annotated[tuple[Row, ...], BeforeValidator(_list_to_tuple)]
Labels = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(_list_to_tuple)]
Interval = Annotated[tuple[Finite, Finite], BeforeValidator(_list_to_tuple)]
Activation = Literal["tanh", "softplus", "silu", "gelu", "sigmoid"]


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversions, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


# --- data ---------------------------------------------------------------------------------------------------------


class _Images(Section):
    classes: Literal["all"] | Labels = Field(default="all", description="labels to keep, or all")
    limit: Count | None = Field(default=None, description="keep this many data, drawn with the scenario's seed")


class Digits(_Images):
    """The 1,797 8 x 8 digits that scikit-learn ships."""

    name: Literal["digits"]


class TorchvisionImages(_Images):
    """MNIST or Fashion-MNIST, read by torchvision from data.root."""

    name: Literal["mnist", "fashion_mnist"]


class Npz(_Images):
    """A NumPy file with arrays `x` (data, ...) and `y` (integer labels)."""

    name: Literal["npz"]
    file: str = Field(description="path of the file, relative to the scenario")


DataSet = Annotated[Digits | TorchvisionImages | Npz, Field(discriminator="name")]


class Data(Section):
    """Where x and y come from; `target` moves the data along data_position; linear_gaussian takes only `path`."""

    source: DataSet | None = Field(default=None, description="needed by every objective but linear_gaussian")
    target: DataSet | None = None
    path: Literal["mixture", "optimal_transport"] = Field(
        default="mixture", description="how the data move from source to target"
    )
    coupling: str | None = Field(
        default=None,
        description="for optimal_transport: NumPy file, relative to the scenario, with an array `coupling` of "
        "N_source x N_target, row i the distribution of the targets of source datum i, data in the order in which they "
        "are taken (after classes, limit and validation_fraction); null: the optimal plan for squared distances of x",
    )
    label_cost: NonNegative = Field(
        default=0.0, description="for optimal_transport: what the plan pays, beside |x - x'|^2, where the labels differ"
    )
    root: str | None = Field(default=None, description="folder of downloaded data sets, relative to the scenario")
    download: bool = Field(default=False, description="let torchvision download a missing data set")
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the source held out, never seen by the dynamics"
    )


# --- objective ----------------------------------------------------------------------------------------------------


class MlpEncoder(Section):
    """Multilayer perceptron giving the mean and log-variance of e(z|x)."""

    kind: Literal["mlp"]
    hidden: Widths
    latent_dim: Count
    activation: Activation = "tanh"


class MlpDecoder(Section):
    """Multilayer perceptron giving d(x|z)."""

    kind: Literal["mlp"]
    hidden: Widths
    likelihood: Literal["gaussian", "bernoulli"]
    variance: Positive = Field(default=0.05, description="of a gaussian likelihood, per component of x")
    activation: Activation = "tanh"


class TableDecoder(Section):
    """One free distribution d(x|z) for each z of a finite alphabet."""

    kind: Literal["table"] = "table"
    likelihood: Literal["gaussian", "bernoulli"]
    variance: Positive = Field(default=0.05, description="of a gaussian likelihood, per component of x")


class LinearClassifier(Section):
    """c(y|z) is the softmax of a linear map of z."""

    kind: Literal["linear"] = "linear"


class _Variational(Section):
    kind: str
    encoder: MlpEncoder
    decoder: MlpDecoder
    classifier: LinearClassifier = LinearClassifier()
    samples: Count = Field(default=8, description="frozen scrambled-Sobol samples of z per datum")
    weight_prior_precision: NonNegative = Field(
        default=1e-2, description="rho of the weight prior rho/2 |theta|^2 in J"
    )


class Amortised(_Variational):
    """J = R + lam D + gamma C with a network encoder that is part of theta."""

    kind: Literal["amortised"]


class ImportanceWeighted(_Variational):
    """J = -E log of the mean of K weights exp(-H)/e: between amortised (K = 1) and the Gibbs encoder (K large)."""

    kind: Literal["importance_weighted"]
    importance_samples: Count | None = Field(
        default=None, description="K, a divisor of samples; J averages over samples / K groups; null: all samples"
    )


class FiniteLatent(Section):
    """J = -E log Z with exact Gibbs sums over z in a finite alphabet; prior, decoder and classifier are free."""

    kind: Literal["finite_latent"]
    alphabet_size: Annotated[int, Field(ge=2)]
    decoder: TableDecoder
    weight_prior_precision: NonNegative = Field(
        default=1e-3, description="rho of the weight prior rho/2 |theta|^2 in J"
    )


class LinearGaussian(Section):
    """J = -E log Z for linear-Gaussian decoder and classifier; only second moments of (x, y) enter."""

    kind: Literal["linear_gaussian"]
    x_dim: Count
    y_dim: Count
    latent_dim: Count
    distortion_variance: Positive
    label_variance: Positive
    source_second_moment: Matrix
    target_second_moment: Matrix | None = None
    weight_prior_precision: NonNegative = Field(default=0.0, description="rho of the weight prior rho/2 |theta|^2 in J")


Objective = Annotated[Amortised | ImportanceWeighted | FiniteLatent | LinearGaussian, Field(discriminator="kind")]


# --- start and process --------------------------------------------------------------------------------------------


class Equilibrate(Section):
    """How the first equilibrium is found: Adam, then trust-region Newton-Krylov."""

    adam_steps: Annotated[int, Field(ge=0)] = Field(default=1000, description="full-batch Adam steps before Newton")
    learning_rate: Positive = Field(default=1e-2, description="Adam's largest learning rate, annealed to zero")
    newton_steps: Count = Field(default=500, description="most trust-region steps")
    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")


class Start(Section):
    """Where the run begins."""

    lam: NonNegative | None = Field(default=None, description="multiplier of the distortion")
    gamma: NonNegative | None = Field(default=None, description="multiplier of the classification loss")
    equilibrate: Equilibrate = Equilibrate()
    from_: str | None = Field(default=None, alias="from", description="run directory whose last checkpoint gives theta")


class Ends(Section):
    """Multipliers at the two ends of the span; a single number is the end, the start is start.lam or start.gamma."""

    lam: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(_list_to_tuple)]
    gamma: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(_list_to_tuple)]
    data_position: Annotated[tuple[UnitInterval, UnitInterval], BeforeValidator(_list_to_tuple)] = Field(
        default=(0.0, 0.0), description="data position at the two ends, 0 the source, 1 the target"
    )


class _Process(Section):
    span: Interval = Field(default=(0.0, 1.0), description="first and last value of the process clock")
    on_fold: Literal["stop", "relax", "follow"] | None = Field(
        default=None, description="where a branch of minima ends; null: stop for exact objectives, relax for networks"
    )
    look_ahead: bool | None = Field(
        default=None, description="watch for folds and branch points ahead; null: for exact objectives"
    )


class Prescribed(_Process):
    """Lemmas 5 and 9: lam, gamma and data_position are given functions of the clock."""

    kind: Literal["prescribed"]
    path: Ends
    shape: Literal["linear", "exponential"] = "linear"


class IsoClassification(_Process):
    """Remark 7: the classification loss stays constant."""

    kind: Literal["iso_classification"]
    clock: Literal["alpha", "multipliers", "rate_distortion"] = Field(
        default="multipliers", description="what has unit speed: alpha = 1, (lam, gamma), or (R, D)"
    )


class Held(Section):
    """Weights a, b, c of the functional a R + b D + c C that stays constant."""

    rate: Finite = 0.0
    distortion: Finite = 0.0
    classification_loss: Finite = 0.0


class IsoFunctional(_Process):
    """Remark 8: any a R + b D + c C stays constant, such as the rate, the distortion or C + R / beta."""

    kind: Literal["iso_functional"]
    hold: Held
    clock: Literal["alpha", "multipliers", "rate_distortion"] = Field(
        default="multipliers", description="what has unit speed: alpha = 1, (lam, gamma), or (R, D)"
    )


class IsoClassificationTransfer(_Process):
    """(32): from source to target at constant C and constant d lam / dt; the clock is data_position."""

    kind: Literal["iso_classification_transfer"]
    lam_rate: Finite = Field(description="d lam / dt")


class Toward(Section):
    """Multipliers of an equilibrium with the classification loss of the start."""

    lam: NonNegative
    gamma: NonNegative


class GeodesicTransfer(_Process):
    """(30): from source to target on a straight line in (R, D) at constant C; the clock is data_position."""

    kind: Literal["geodesic_transfer"]
    slope: Finite | None = Field(default=None, description="k = dD/dR of the line")
    toward: Toward | None = Field(
        default=None, description="in place of slope: the equilibrium at the end of the span to aim at"
    )


Process = Annotated[
    Prescribed | IsoClassification | IsoFunctional | IsoClassificationTransfer | GeodesicTransfer,
    Field(discriminator="kind"),
]


# --- numerics -----------------------------------------------------------------------------------------------------


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


class Output(Section):
    """What is kept."""

    every: Count = Field(default=1, description="record every so many accepted steps; the last is always recorded")
    theta: Literal["checkpoints", "none"] = "checkpoints"
    checkpoint_every: Count = Field(
        default=10, description="write theta every so many records; the last is always written"
    )


Corrector = Annotated[NoCorrector | Gradient | NewtonKrylov, Field(discriminator="method")]


class Scenario(Section):
    """A whole scenario; its sections are the parts of the program."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    dtype: Literal["float64", "float32"] = "float64"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = Field(
        default="auto", description="auto, cpu, cuda or cuda:N"
    )
    threads: Count | None = Field(default=None, description="CPU threads; null: what torch chooses")
    data: Data | None = None
    objective: Objective
    start: Start
    process: Process
    response: LinearResponse = LinearResponse()
    integrator: Integrator
    corrector: Corrector = NewtonKrylov(method="newton_krylov")
    output: Output = Output()
