"""A recorded point and an event of a run, as plain numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Names and order of the controls and functionals, as in the dimensions of the response matrix.
CONTROLS = ("lam", "gamma", "data_position")
FUNCTIONALS = ("rate", "distortion", "classification_loss")
#: The cost of a Hessian-vector product, in gradients.
GRADIENTS_PER_PRODUCT = 0.8
#: Changes made by a step that relaxed onto another branch.
JUMPS = (*(f"jump_{name}" for name in FUNCTIONALS), "jump_free_energy", "jump_theta")


@dataclass(frozen=True)
class Variable:
    """Metadata of a variable of the trajectory.

    Attributes:
        units: nat, 1 or s.
        optional: Whether the dataset leaves it out if the run has no value for it.
    """

    long_name: str
    units: str
    optional: bool = False


_LOSSES = {
    "rate": "rate R",
    "distortion": "distortion D",
    "classification_loss": "classification loss C",
    "free_energy": "free energy J = R + lam D + gamma C + weight penalty",
}
#: Held-out data have no coupling: they form a mixture even where a coupling transports the training data.
_HELD_OUT = " on the validation set, where data move (1 - t) source + t target"

#: Every scalar that a record may hold, in the order of the dataset.
VARIABLES: dict[str, Variable] = {
    "lam": Variable("multiplier of the distortion", "1"),
    "gamma": Variable("multiplier of the classification loss", "1"),
    "data_position": Variable("position of the data between source and target", "1"),
    **{name: Variable(text + " on the training set", "nat") for name, text in _LOSSES.items()},
    "weight_penalty": Variable("weight prior rho/2 |theta|^2", "nat"),
    "accuracy": Variable("classification accuracy on the training set", "1"),
    "code_accuracy": Variable("expected accuracy of one sampled code on the training set", "1", True),
    **{f"validation_{name}": Variable(text + _HELD_OUT, "nat", True) for name, text in _LOSSES.items()},
    "validation_accuracy": Variable("classification accuracy" + _HELD_OUT, "1", True),
    "validation_code_accuracy": Variable("expected accuracy of one sampled code" + _HELD_OUT, "1", True),
    "validation_target_classification_loss": Variable(
        "classification loss C on the validation set of the target alone", "nat", True
    ),
    "validation_target_accuracy": Variable(
        "classification accuracy on the validation set of the target alone", "1", True
    ),
    "validation_target_code_accuracy": Variable(
        "expected accuracy of one sampled code on the validation set of the target alone", "1", True
    ),
    "fresh_distortion": Variable("distortion D on noise that J does not hold", "nat", True),
    "fresh_classification_loss": Variable("classification loss C on noise that J does not hold", "nat", True),
    "effective_sample_size": Variable("(sum w)^2 / sum w^2 of the importance weights, of K", "1", True),
    "free_energy_data_derivative": Variable("dF/dt at fixed multipliers, t the data position", "nat", True),
    "free_energy_data_curvature": Variable("d2F/dt2 at fixed multipliers, t the data position", "nat", True),
    "smallest_eigenvalue": Variable("smallest eigenvalue of A = d2J/dtheta2, symmetries left out", "nat", True),
    "morse_index": Variable("number of negative eigenvalues of A", "1", True),
    "singular_distance": Variable("process time after which A becomes singular, to first order", "1", True),
    **{f"jump_{name}": Variable(f"change of the {name} by relaxing", "nat", True) for name in FUNCTIONALS},
    "jump_free_energy": Variable("change of the free energy by relaxing", "nat", True),
    "jump_theta": Variable("distance in theta by relaxing", "1", True),
    "dissipation": Variable(
        "free energy lost by relaxing: the work of the path minus F - F0, from the start", "nat", True
    ),
    "dissipation_error": Variable("what of the dissipation may be due to quadrature and noise", "nat", True),
    "ageing": Variable("J that the last epoch of the correction lost, at fixed multipliers", "nat", True),
    "gradient_noise": Variable("sigma_g / sqrt(N), the noise of a mean of gradients over all data", "nat", True),
    **{
        f"{name}_error": Variable(f"error of {symbol}: drift in the last epoch, times the step's epochs", unit, True)
        for name, symbol, unit in (
            ("lam", "lam", "1"),
            ("gamma", "gamma", "1"),
            ("rate", "R", "nat"),
            ("distortion", "D", "nat"),
        )
    },
    "secant_surprise": Variable("distance of the last step's secant from a symmetric M, in standard errors", "1", True),
    "equilibrium_residual": Variable("distance from equilibrium |grad J|", "nat"),
    "constraint_residual": Variable("held functional minus its value at the start", "nat"),
    "step_size": Variable("length of the step that led here, in process time", "1"),
    "vector_field_evaluations": Variable("evaluations of the vector field, cumulative", "1"),
    "gradient_evaluations": Variable("evaluations of grad J, cumulative", "1"),
    "hessian_vector_products": Variable("Hessian-vector products, cumulative", "1"),
    "krylov_iterations": Variable("Krylov iterations, cumulative", "1"),
    "krylov_residual": Variable("largest relative residual of the response's linear solves", "1"),
    "response_solve_error": Variable(
        "error of the response that solves left, relative to its largest entry", "1", True
    ),
    "corrector_iterations": Variable("corrector iterations, cumulative", "1"),
    "preconditioner_builds": Variable("times that a preconditioner was built, cumulative", "1"),
    "preconditioner_products": Variable("products (of kfac: their worth) that these builds took, cumulative", "1"),
    "wall_time": Variable("wall time since the run began", "s"),
}


@dataclass(frozen=True)
class Record:
    """A point of the trajectory.

    Attributes:
        time: Process clock s.
        values: A number for each name in `VARIABLES` that the run has.
        response: M, one row per functional, one column per control.
        response_error: Standard errors of M, if M is an estimate.
    """

    time: float
    values: Mapping[str, float]
    response: tuple[tuple[float, ...], ...]
    response_error: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not self.values.keys() <= VARIABLES.keys():
            raise ValueError(f"no such variable: {', '.join(sorted(self.values.keys() - VARIABLES.keys()))}")


@dataclass(frozen=True)
class Event:
    """Something that happened between records.

    Attributes:
        kind: resumed, aimed, rejected, equilibrated, relaxed, follow, turned, fold, warning or end.
        time: Process clock.
        text: A sentence for the user.
        values: Numbers or names that belong to it.
    """

    kind: str
    time: float
    text: str
    values: Mapping[str, Any]
