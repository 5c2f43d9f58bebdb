"""The checks of an objective: what is checked, how large the error may be, and what to do if it is larger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rdc_dyn.doctor import errors
from rdc_dyn.doctor.check import Check
from rdc_dyn.doctor.place import Place
from rdc_dyn.objective import Objective
from rdc_dyn.objective.base import OverData
from rdc_dyn.objective.free_energy import repetition_error
from rdc_dyn.status import NumericalFailure

_CONTROLS = ("lam", "gamma", "t")


def _exact(place: Place) -> float:
    return 0.0


def _repeated(place: Place) -> float:
    return repetition_error(place.state.theta)


def _rounded(place: Place) -> float:
    return place.rounding_bound


def _differenced(place: Place) -> float:
    return place.difference_bound


@dataclass(frozen=True)
class Examination:
    """One check to make: its error and bound at a place, and a hint for what to do if it fails."""

    name: str
    error: Callable[[Place], float]
    bound: Callable[[Place], float]
    hint: str

    def of(self, place: Place) -> Check:
        """Make the check at a place; it also fails if torch cannot compute it, with torch's message in the hint."""
        try:
            return Check(self.name, self.error(place), self.bound(place), self.hint)
        except (RuntimeError, NumericalFailure) as failure:
            words = str(failure).strip().partition("\n")[0]
            return Check(self.name, float("nan"), self.bound(place), f"{self.hint} ({words})")


_FIRST = (
    Examination(
        "all numbers are finite",
        errors.not_finite,
        _exact,
        "look for log 0, square roots of 0, divisions and overflow; try smaller multipliers or float64",
    ),
    Examination(
        "the same twice",
        errors.repetition,
        _repeated,
        "J is no function of theta: freeze its noise, take dropout out or call eval() on its modules",
    ),
    Examination(
        "grad J is the slope of J",
        errors.gradient,
        _differenced,
        "look for detach(), no_grad(), .data, changes in place and functions with a backward of their own",
    ),
)
_SECOND = (
    Examination(
        "A v is the slope of grad J",
        errors.product,
        _differenced,
        "the backward pass must itself be differentiable; look for kinks (relu, clamp, abs) and for backward functions "
        "that use detached numbers",
    ),
    Examination(
        "A is symmetric",
        errors.symmetry,
        _rounded,
        "grad J is no gradient: a backward function is wrong, or its own derivative is",
    ),
    Examination(
        "A is linear",
        errors.linearity,
        _rounded,
        "the second backward pass must not depend on what is multiplied; look at functions with one of their own",
    ),
    Examination(
        "products at once and one by one",
        errors.batched,
        _rounded,
        "an operation differs under vmap; write its backward with operations of torch that have batching rules",
    ),
    Examination(
        "dA/ds is the slope of A",
        errors.drift,
        _differenced,
        "third derivatives are wrong or missing; set process.look_ahead to false, and do not follow branches",
    ),
)
_GRAPHS = Examination(
    "kept and recomputed graphs",
    errors.graphs,
    _rounded,
    "J is not the sum of what its blocks of data add: average each block by its share and mix no data in the networks",
)


def _of_controls(moves: bool) -> tuple[Examination, ...]:
    """Checks of the derivatives with respect to λ and γ, and to t if the data move."""
    advice = "J must depend on {} as the tensor that it is given; look for float(), item() and new_tensor()"
    forces, mixed = ("D is dJ/dlam", "C is dJ/dgamma", "dJ/dt is the slope of J"), ("b_lam", "b_gamma", "b_t")
    found = []
    for number, control in enumerate(_CONTROLS[: 3 if moves else 2]):
        hint = advice.format(control)
        found += [
            Examination(forces[number], partial(errors.force, number), _differenced, hint),
            Examination(f"{mixed[number]} is -d(grad J)/d{control}", partial(errors.mixed, number), _differenced, hint),
        ]
    return tuple(found)


def examinations(objective: Objective) -> tuple[Examination, ...]:
    """All checks that apply to an objective."""
    graphs = (_GRAPHS,) if isinstance(objective, OverData) else ()
    return (*_FIRST, *_of_controls(objective.moves), *_SECOND, *graphs)
