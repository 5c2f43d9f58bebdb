"""y* − y_pred = h^{p+1} q(s): the local error that a corrector found, from which the next correction begins.

A one-step method of order p misses the surface by its local error, whose leading coefficient q is smooth along the
path (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, II.3 and II.8). q of the last steps, drawn
on, is a first guess of the next error at no evaluation. It says where Newton begins and nothing else: where it
arrives, ∇J = 0 and h = h⁰ at controls that the integrator and the free directions determine, is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Vector

#: Most defects that are drawn on: q in a straight line. Measured on the digits paths; a parabola gains nothing.
MOST = 2


@dataclass(frozen=True)
class Defect:
    """What a corrector did to the prediction of one step.

    Attributes:
        middle: Clock in the middle of the step.
        length: h, positive.
        theta: θ* − θ_pred, shape (P,).
        controls: c* − c_pred, shape (3,).
    """

    middle: float
    length: float
    theta: Vector
    controls: Float[Tensor, "3"]


def first_guess(
    defects: tuple[Defect, ...],
    start: State,
    predicted: State,
    clock: tuple[float, float],
    order: int,
    free: Float[Tensor, "m 3"],
) -> State:
    """The prediction and its local error, as the last steps let it be expected.

    Args:
        defects: Of the last steps on this branch, the newest last.
        start: Where the step begins.
        predicted: Where the integrator arrived.
        clock: Its values at the beginning and at the end of the step.
        order: p of the integrator.
        free: Directions in which the corrector may move the controls.

    Returns:
        Where the corrector is to begin. The prediction itself without defects, where a multiplier would be negative,
        and where the error would be half as long as the step: then it is none of higher order, as at a kink of a path.
    """
    begin, end = clock
    middle, factor = 0.5 * (begin + end), abs(end - begin) ** (order + 1)
    theta, controls = torch.zeros_like(predicted.theta), torch.zeros_like(predicted.controls)
    for defect, weight in zip(defects, _weights([d.middle for d in defects], middle), strict=True):
        share = weight * factor / defect.length ** (order + 1)
        theta = theta + share * defect.theta
        controls = controls + share * defect.controls
    guess = State(predicted.theta + theta, predicted.controls + controls @ torch.linalg.pinv(free) @ free)
    long = bool(2.0 * theta.norm() >= (predicted.theta - start.theta).norm())
    return predicted if long or guess.lam < 0 or guess.gamma < 0 else guess


def _weights(nodes: list[float], there: float) -> list[float]:
    """Lagrange's polynomials of the nodes at a place beyond them."""
    found = []
    for i, node in enumerate(nodes):
        weight = 1.0
        for j, other in enumerate(nodes):
            weight *= 1.0 if i == j else (there - other) / (node - other)
        found.append(weight)
    return found
