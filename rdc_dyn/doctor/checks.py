"""The checks of an objective: errors |found − expected| / scale of J's derivatives, their bounds, and what to do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import repetition_error
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.doctor.scaled_state import Line, ScaledState
from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective import Objective
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.status import NumericalFailure

#: Data of each part on which kept and recomputed graphs are compared, and data per block of the latter.
_DATA, _BLOCK = 64, 24
_Error = Callable[[ScaledState], float]
_ErrorAlong = Callable[[ScaledState, Line], float]


@dataclass(frozen=True)
class Check:
    """The result of one check: the relative error, the largest that passes, and what to do if it is larger."""

    name: str
    value: float
    bound: float
    hint: str

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound; NaN is not."""
        return self.value <= self.bound

    @property
    def strain(self) -> float:
        """The error in units of its bound, by which the worse of two checks is found."""
        if self.bound and not math.isnan(self.value):
            return self.value / self.bound
        return 0.0 if self.passed else math.inf


@dataclass(frozen=True)
class Examination:
    """One check to make: its error and bound at a place, and a hint for what to do if it fails."""

    name: str
    hint: str
    error: _Error
    bound: _Error

    def of(self, place: ScaledState) -> Check:
        """Make the check at a place; it also fails if torch cannot compute it, with torch's message in the hint."""
        try:
            return Check(self.name, self.error(place), self.bound(place), self.hint)
        except (RuntimeError, NumericalFailure) as failure:
            words = str(failure).strip().partition("\n")[0]
            return Check(self.name, float("nan"), self.bound(place), f"{self.hint} ({words})")


def _check(name: str, hint: str, bound: _Error = ScaledState.rounding_bound) -> Callable[[_Error], Examination]:
    """Make an examination of an error; the default bound is for two ways to compute the same number."""
    return lambda error: Examination(name, hint, error, bound)


def _difference(
    name: str, hint: str, lines: Callable[[ScaledState], Sequence[Line]]
) -> Callable[[_ErrorAlong], Examination]:
    """Make an examination of a finite difference, by the largest error along a few lines."""

    def largest(error: _ErrorAlong, place: ScaledState) -> float:
        enough = 0.1 * place.difference_bound()
        return max(line.settled(partial(error, place), enough) for line in lines(place))

    return lambda error: Examination(name, hint, partial(largest, error), ScaledState.difference_bound)


@_check(
    "all numbers are finite",
    "look for log 0, square roots of 0, divisions and overflow; try smaller multipliers or float64",
    lambda _: 0.0,
)
def _finite(place: ScaledState) -> float:
    """Number of entries of J's derivatives that are NaN or infinite."""
    at = place.at
    numbers = (at.gradient, at.forces, at.mv(place.directions(1)[0]), at.mixed, at.control_hessian)
    return float(sum(int((~torch.isfinite(each)).sum()) for each in numbers))


@_check(
    "the same twice",
    "J is no function of theta: freeze its noise, take dropout out or call eval() on its modules",
    lambda place: repetition_error(place.state.theta),
)
def _repetition(place: ScaledState) -> float:
    """How far two evaluations at the same state differ."""
    return place.free_energy.disagreement(place.state.theta, place.state.controls)


@_difference(
    "grad J is the slope of J",
    "look for detach(), no_grad(), .data, changes in place and functions with a backward of their own",
    lambda place: place.lines(4),
)
def _gradient(place: ScaledState, line: Line) -> float:
    """∇J · v against differences of J."""
    found, expected = line.slope(place.free_energy.value), float(place.at.gradient @ line.rates.theta)
    return abs(found - expected) * place.length / place.energy


def _of_control(number: int) -> tuple[Examination, Examination]:
    """Examinations of D, C or ∂_tJ = ∂J/∂c by differences of J, and of b_c = −∂_c ∇J by differences of ∇J."""
    control, name = (("lam", "D is dJ/dlam"), ("gamma", "C is dJ/dgamma"), ("t", "dJ/dt is the slope of J"))[number]
    hint = f"J must depend on {control} as the tensor that it is given; look for float(), item() and new_tensor()"

    @_difference(name, hint, lambda place: place.control_line(number))
    def force(place: ScaledState, line: Line) -> float:
        expected = float(place.at.forces[number] * line.rates.controls[number])
        scale = abs(expected) + place.energy / line.scale
        return abs(line.slope(place.free_energy.value) - expected) / scale

    @_difference(f"b_{control} is -d(grad J)/d{control}", hint, lambda place: place.control_line(number))
    def mixed(place: ScaledState, line: Line) -> float:
        expected = -place.at.mixed[number] * line.rates.controls[number]
        return _relative(_slope_of_gradient(place, line), expected, place.energy / (place.length * line.scale))

    return force, mixed


@_difference(
    "A v is the slope of grad J",
    "the backward pass must itself be differentiable; look for kinks (relu, clamp, abs) and for backward functions "
    "that use detached numbers",
    lambda place: place.lines(1),
)
def _product(place: ScaledState, line: Line) -> float:
    """A v against differences of ∇J."""
    return _relative(_slope_of_gradient(place, line), place.at.mv(line.rates.theta), place.curvature)


@_check("A is symmetric", "grad J is no gradient: a backward function is wrong, or its own derivative is")
def _symmetry(place: ScaledState) -> float:
    """u · A v against v · A u."""
    u, v = place.directions(2)
    au, av = place.at.mv(u), place.at.mv(v)
    return abs(float(u @ av - v @ au)) / (float(au.norm() + av.norm()) + place.curvature)


@_check(
    "A is linear",
    "the second backward pass must not depend on what is multiplied; look at functions with one of their own",
)
def _linearity(place: ScaledState) -> float:
    """A (2u − 3v) against 2 A u − 3 A v."""
    u, v = place.directions(2)
    return _relative(place.at.mv(2 * u - 3 * v), 2 * place.at.mv(u) - 3 * place.at.mv(v), place.curvature)


@_check(
    "products at once and one by one",
    "an operation differs under vmap; write its backward with operations of torch that have batching rules",
)
def _batched(place: ScaledState) -> float:
    """A v for eight vectors at once against one at a time."""
    rows = place.directions(8)
    return _relative(place.at.mm(rows), torch.stack([place.at.mv(v) for v in rows]), place.curvature)


@_difference(
    "dA/ds is the slope of A",
    "third derivatives are wrong or missing; set process.look_ahead to false, and do not follow branches",
    ScaledState.joint_line,
)
def _drift(place: ScaledState, line: Line) -> float:
    """(dA/ds) v against differences of A v, as θ and all controls move."""
    v = place.directions(2)[0]
    found = line.slope(lambda theta, controls: place.free_energy.linearise(theta, controls).mv(v))
    expected = place.at.drift(line.rates.theta, line.rates.controls).mv(v)
    return _relative(found, expected, place.curvature / place.length)


@_check(
    "kept and recomputed graphs",
    "J is not the sum of what its blocks of data add: average each block by its share and mix no data in the networks",
)
def _graphs(place: ScaledState) -> float:
    """J, ∇J, (D, C, ∂_tJ) and A v from a kept graph of some data against those from blocks with recomputed graphs."""
    objective, state, v = place.free_energy.objective, place.state, place.directions(1)
    assert isinstance(objective, OverData)
    whole = tuple(replace(block.split(_DATA)[0], share=1.0) for block in objective.data.blocks())
    pieces = tuple(piece for block in whole for piece in block.split(_BLOCK))
    one = Local(terms_of(objective, whole)).linearise(state.theta, state.controls)
    two = Local(terms_of(objective, pieces), kept=False).linearise(state.theta, state.controls)
    return max(
        _relative(two.first.value, one.first.value, place.energy),
        _relative(two.first.gradient, one.first.gradient, place.energy / place.length),
        _relative(two.first.forces, one.first.forces, place.energy),
        _relative(two.mm(v), one.mm(v), place.curvature),
    )


def _relative(found: Tensor, expected: Tensor, scale: float) -> float:
    """|found − expected| in units of |expected| + scale."""
    return float((found - expected).norm()) / (float(expected.norm()) + scale)


def _slope_of_gradient(place: ScaledState, line: Line) -> Vector:
    return line.slope(lambda theta, controls: place.free_energy.gradient(theta, controls)[1])


def examinations(objective: Objective) -> tuple[Examination, ...]:
    """All checks that apply to an objective, the first of which is whether its numbers are finite."""
    of_controls = (each for number in range(3 if objective.moves else 2) for each in _of_control(number))
    graphs = (_graphs,) if isinstance(objective, OverData) else ()
    return (_finite, _repetition, _gradient, *of_controls, _product, _symmetry, _linearity, _batched, _drift, *graphs)
