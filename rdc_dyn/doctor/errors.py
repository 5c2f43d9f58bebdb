"""Errors |found − expected| / scale of every derivative of J, each a small function of a place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rdc_dyn.doctor.place import Place
from rdc_dyn.dynamics import State
from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.objective.data import Block
from rdc_dyn.objective.total import Local

#: Data of each part on which kept and recomputed graphs are compared, and data per block of the latter.
_DATA, _BLOCK = 64, 24


def not_finite(place: Place) -> float:
    """Number of entries of J's derivatives that are NaN or infinite."""
    at = place.at
    numbers = (at.gradient, at.forces, at.mv(place.directions(1)[0]), at.mixed, at.control_hessian)
    return float(sum(int((~torch.isfinite(each)).sum()) for each in numbers))


def repetition(place: Place) -> float:
    """How far two evaluations at the same state differ."""
    return place.free_energy.disagreement(place.state.theta, place.state.controls)


def gradient(place: Place) -> float:
    """∇J · v against differences of J, along ∇J and four random directions."""

    def error(v: Vector, share: float) -> float:
        line = place.around(share, v)
        return abs(line.slope(_value(place)) - float(place.at.gradient @ line.direction)) * place.length / place.energy

    return max(_settled(place, partial(error, v)) for v in (place.steepest, *place.directions(4)))


def force(number: int, place: Place) -> float:
    """∂J/∂c, that is D, C or ∂_tJ, against differences of J."""

    def error(share: float) -> float:
        line = place.around_control(share, number)
        expected = float(place.at.forces[number] * line.rates[number])
        scale = abs(expected) + place.energy / place.control_scale(number)
        return abs(line.slope(_value(place)) - expected) / scale

    return _settled(place, error)


def product(place: Place) -> float:
    """A v against differences of ∇J, along ∇J and a random direction."""

    def error(v: Vector, share: float) -> float:
        line = place.around(share, v)
        return _relative(line.slope(_gradient(place)), place.at.mv(line.direction), _curvature(place))

    return max(_settled(place, partial(error, v)) for v in (place.steepest, *place.directions(1)))


def symmetry(place: Place) -> float:
    """u · A v against v · A u."""
    u, v = place.directions(2)
    au, av = place.at.mv(u), place.at.mv(v)
    return abs(float(u @ av - v @ au)) / (float(au.norm() + av.norm()) + _curvature(place))


def linearity(place: Place) -> float:
    """A (2u − 3v) against 2 A u − 3 A v."""
    u, v = place.directions(2)
    return _relative(place.at.mv(2 * u - 3 * v), 2 * place.at.mv(u) - 3 * place.at.mv(v), _curvature(place))


def batched(place: Place) -> float:
    """A v for eight vectors at once against one at a time."""
    rows = place.directions(8)
    return _relative(place.at.mm(rows), torch.stack([place.at.mv(v) for v in rows]), _curvature(place))


def mixed(number: int, place: Place) -> float:
    """b_c = −∂_c ∇J against differences of ∇J."""

    def error(share: float) -> float:
        line = place.around_control(share, number)
        expected = -place.at.mixed[number] * line.rates[number]
        scale = place.energy / (place.length * place.control_scale(number))
        return _relative(line.slope(_gradient(place)), expected, scale)

    return _settled(place, error)


def drift(place: Place) -> float:
    """(dA/ds) v against differences of A v, as θ and all controls move."""
    v, velocity = place.directions(2)
    scales = [place.control_scale(0), place.control_scale(1), float(place.free_energy.objective.moves)]
    rates = place.state.controls.new_tensor(scales) / place.length

    def error(share: float) -> float:
        line = place.around(share, velocity, rates)
        found = line.slope(lambda state: place.free_energy.linearise(state.theta, state.controls).mv(v))
        return _relative(found, place.at.drift(line.direction, line.rates).mv(v), _curvature(place) / place.length)

    return _settled(place, error)


def graphs(place: Place) -> float:
    """J, ∇J, (D, C, ∂_tJ) and A v from a kept graph of some data against those from blocks with recomputed graphs."""
    objective, state = place.free_energy.objective, place.state
    assert isinstance(objective, OverData)
    few = {part: min(count, _DATA) for part, count in objective.data.parts.items()}
    whole = tuple(Block(part, slice(0, count), count, 1.0) for part, count in few.items())
    pieces = tuple(piece for block in whole for piece in block.split(_BLOCK))
    one = Local(terms_of(objective, whole)).linearise(state.theta, state.controls)
    two = Local(terms_of(objective, pieces), kept=False).linearise(state.theta, state.controls)
    v, length = place.directions(1), place.length
    return max(
        _relative(two.first.value, one.first.value, place.energy),
        _relative(two.first.gradient, one.first.gradient, place.energy / length),
        _relative(two.first.forces, one.first.forces, place.energy),
        _relative(two.mm(v), one.mm(v), _curvature(place)),
    )


def _settled(place: Place, error: Callable[[float], float]) -> float:
    """The error with the usual step, or with a tenth of it if J bends on a shorter scale."""
    # A wrong formula fails with both. Along its gradient the importance-weighted bound bends within L/100, which the
    # usual step in float32 cannot follow.
    usual = error(1.0)
    return usual if usual <= 0.1 * place.difference_bound else min(usual, error(0.1))


def _curvature(place: Place) -> float:
    """E/L², the scale of A."""
    return place.energy / place.length**2


def _relative(found: Tensor, expected: Tensor, scale: float) -> float:
    """|found − expected| in units of |expected| + scale."""
    return float((found - expected).norm()) / (float(expected.norm()) + scale)


def _value(place: Place) -> Callable[[State], float]:
    return lambda state: place.free_energy.value(state.theta, state.controls)


def _gradient(place: Place) -> Callable[[State], Vector]:
    return lambda state: place.free_energy.gradient(state.theta, state.controls)[1]
