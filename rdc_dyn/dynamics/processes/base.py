"""Processes: the rates (λ̇, γ̇, ṫ) of the controls from the response matrix M, and the functionals they hold."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import NumericalFailure, Status, UserError

Matrix = Float[Tensor, "3 3"]
Triple = Float[Tensor, "3"]
Weights = tuple[float, float, float]


@dataclass(frozen=True)
class SurfacePoint:
    """The surface near one equilibrium, which is all that a process may look at.

    Attributes:
        controls: (λ, γ, t), shape (3,).
        matrix: M = d(R, D, C)/d(λ, γ, t) along the surface, shape (3, 3).
        forces: ∂J/∂(λ, γ, t) at fixed θ, that is (D, C, ∂F/∂t), in nats, shape (3,).
        rate: R in nats.
    """

    controls: Controls
    matrix: Matrix
    forces: Triple
    rate: float = math.nan


class Process(ABC):
    """A rule by which the controls (λ, γ, t) move along a clock s.

    A process of one's own gives its `span` and its `rates` and, where functionals are to stay constant, what is `held`.
    The other methods have defaults that serve for it.

    Attributes:
        span: First and last value of the clock; the last may be the smaller.
        held: Weights w of each functional w·(R, D, C) that stays constant: none, one or two.
        by_nodes: Whether there is to be a point at every multiple of the step, also behind the end of a branch.
    """

    span: tuple[float, float]
    held: tuple[Weights, ...] = ()
    by_nodes: bool = False

    @abstractmethod
    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """d(λ, γ, t)/ds.

        Args:
            s: Clock.
            here: The surface at the current state.

        Returns:
            The rates, shape (3,), in any floating-point type.

        Raises:
            NumericalFailure: If M gives the process no direction.
        """

    def velocity(self, s: float, here: SurfacePoint) -> Triple:
        """`rates` in the type and on the device of the controls.

        Args:
            s: Clock.
            here: The surface at the current state.

        Returns:
            d(λ, γ, t)/ds, shape (3,).

        Raises:
            UserError: If they are no tensor of three numbers.
            NumericalFailure: As `rates` does.
        """
        rates = self.rates(s, here)
        if not isinstance(rates, Tensor) or rates.shape != (3,):
            got = tuple(rates.shape) if isinstance(rates, Tensor) else type(rates).__name__
            raise UserError(f"process: {type(self).__name__}.rates gives {got}; expected a tensor of shape (3,)")
        return rates.to(here.controls)

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """Directions in (λ, γ, t) along which a corrector may restore the held functionals, one for each.

        By default the gradient of what is held in (λ, γ), the shortest way back, or both multipliers for two.

        Args:
            here: The surface at the current state.

        Returns:
            The directions, shape (m, 3).

        Raises:
            NumericalFailure: DEGENERATE_CONSTRAINT if, to rounding, the multipliers do not move what is held.
        """
        if len(self.held) != 1:
            return torch.eye(3, dtype=here.matrix.dtype, device=here.matrix.device)[: len(self.held)]
        row = here.matrix.new_tensor(self.held[0]) @ here.matrix[:, :2]
        return torch.cat([row / size_of(row, here.matrix, self.held[0]), row.new_zeros(1)])[None]

    def prescribed(self, s: float, like: Controls) -> Controls | None:
        """The controls, if they are given functions of the clock; by default they follow from `rates`.

        Args:
            s: Clock.
            like: Controls whose dtype and device the result takes.

        Returns:
            (λ, γ, t) at s, or None.
        """
        return None

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """What the rates are divided by; none of it may change sign within a step. By default nothing.

        Args:
            here: The surface at the current state.

        Returns:
            By name, the value and the status with which a run ends where it vanishes.
        """
        return {}

    def frame(self, controls: Controls) -> Float[Tensor, "f"]:
        """2 − m differentiable functions of the controls that stay constant along with the m held functionals."""
        # A path that is known by its clock alone cannot be followed round a turn of the clock.
        raise UserError(f"process.on_fold: follow needs {type(self).__name__}.frame; write it, or use stop or relax")

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """Process time between two neighbouring points of a path that may have turned round; not negative."""
        raise UserError(f"process.on_fold: follow needs {type(self).__name__}.elapsed; write it, or use stop or relax")


def size_of(tangent: Tensor, matrix: Matrix, weights: Weights) -> float:
    """|tangent| of derivatives of w·(R, D, C)."""
    # The rows of M set the scale of rounding, each by its weight: where D varies by hundreds, C may by thousandths.
    size = float(tangent.norm())
    scale = max(1.0, float((matrix.new_tensor(weights).abs() @ matrix.abs()).norm()))
    if not size > 1e2 * torch.finfo(matrix.dtype).eps * scale:
        raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, f"derivative of what is held: {size:.3g}")
    return size


CLASSIFICATION: Weights = (0.0, 0.0, 1.0)


class Transfer(Process):
    """ċ = g + Uᵀa with given rates g and free multipliers U, where W M ċ = 0 determines a; the clock is t."""

    free: ClassVar[tuple[int, ...]]

    def _rows(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """W M, the derivatives of what is held with respect to (λ, γ, t) along the surface."""
        return here.matrix.new_tensor(self.held) @ here.matrix

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """U."""
        return torch.eye(3, dtype=here.matrix.dtype, device=here.matrix.device)[list(self.free)]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """|Δt|."""
        return float((after.controls - before.controls)[2].abs())
