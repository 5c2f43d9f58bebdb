"""(λ̇, γ̇, ṫ) from the response matrix M: what moves the controls, and which functional they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.objective.free_energy import Controls
from rdc_dyn.status import NumericalFailure, Status

Matrix = Float[Tensor, "3 3"]
Triple = Float[Tensor, "3"]


class Process(Protocol):
    """A rule for the controls.

    Attributes:
        span: First and last value of the process clock s; the last may be the smaller.
        held: Weights w of the functional w·(R, D, C) that stays constant, or None.
    """

    @property
    def span(self) -> tuple[float, float]:
        """First and last value of the clock."""
        ...

    @property
    def held(self) -> tuple[float, float, float] | None:
        """Weights of the held functional."""
        ...

    def rates(self, s: float, matrix: Matrix) -> Triple:
        """d(λ, γ, t)/ds."""
        ...

    def prescribed(self, s: float, like: Controls) -> Controls | None:
        """(λ, γ, t) where they are given functions of the clock, else None."""
        ...


@dataclass(frozen=True)
class Prescribed:
    """Lemma 5: θ̇ = θ_λ λ̇ + θ_γ γ̇ (17) with given λ(s), γ(s).

    Attributes:
        span: First and last value of the clock.
        lam: λ at the two ends.
        gamma: γ at the two ends.
        shape: linear, λ = (1−τ)λ₀ + τλ₁, or exponential, λ = λ₀ (λ₁/λ₀)^τ; τ runs from 0 to 1 over the span.
    """

    span: tuple[float, float]
    lam: tuple[float, float]
    gamma: tuple[float, float]
    shape: Literal["linear", "exponential"] = "linear"
    held: None = None

    def _value_and_rate(self, ends: tuple[float, float], s: float) -> tuple[float, float]:
        length = self.span[1] - self.span[0]
        tau = (s - self.span[0]) / length
        start, end = ends
        if self.shape == "linear":
            return start + tau * (end - start), (end - start) / length
        value = start * (end / start) ** tau
        return value, value * math.log(end / start) / length

    def rates(self, s: float, matrix: Matrix) -> Triple:
        """(λ̇, γ̇, 0) of the given path; M plays no part."""
        return matrix.new_tensor([self._value_and_rate(self.lam, s)[1], self._value_and_rate(self.gamma, s)[1], 0.0])

    def prescribed(self, s: float, like: Controls) -> Controls:
        """(λ(s), γ(s), t)."""
        return torch.stack(
            [
                like.new_tensor(self._value_and_rate(self.lam, s)[0]),
                like.new_tensor(self._value_and_rate(self.gamma, s)[0]),
                like[2],
            ]
        )


@dataclass(frozen=True)
class IsoFunctional:
    """λ̇ = −α h_γ, γ̇ = α h_λ for h = w·(R, D, C): Ċ = 0 of (22) and Remark 7 with w = (0, 0, 1); Remark 8 else.

    Attributes:
        span: First and last value of the clock.
        held: w.
        clock: What has unit speed: alpha (α = 1), multipliers (|(λ̇, γ̇)| = 1) or rate_distortion (|(Ṙ, Ḋ)| = 1).
    """

    span: tuple[float, float]
    held: tuple[float, float, float] = (0.0, 0.0, 1.0)
    clock: Literal["alpha", "multipliers", "rate_distortion"] = "multipliers"

    def rates(self, s: float, matrix: Matrix) -> Triple:
        """(λ̇, γ̇, 0) along the level set of h.

        Args:
            s: Clock.
            matrix: M.

        Returns:
            The rates.

        Raises:
            NumericalFailure: DEGENERATE_CONSTRAINT where h does not depend on the multipliers, to rounding.
        """
        row = matrix.new_tensor(self.held) @ matrix[:, :2]
        tangent = torch.stack([-row[1], row[0]])
        size = float(tangent.norm())
        if not size > 1e2 * torch.finfo(matrix.dtype).eps * max(1.0, float(matrix[:, :2].norm())):
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, f"|(h_lam, h_gamma)| = {size:.3g}")
        if self.clock == "multipliers":
            tangent = tangent / size
        elif self.clock == "rate_distortion":
            tangent = tangent / (matrix[:2, :2] @ tangent).norm()
        return torch.cat([tangent, matrix.new_zeros(1)])

    def prescribed(self, s: float, like: Controls) -> None:
        """The controls follow from M."""
        return None
