"""J(θ, λ, γ, t) + ½ρ|θ|²: what a run minimises, with its derivatives and what they have cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.base import Objective, OverData, PerDatum, terms_of
from rdc_dyn.objective.graph import Controls
from rdc_dyn.objective.linearisation import Linearisation, Work
from rdc_dyn.objective.total import Local, Total
from rdc_dyn.status import UserError


@dataclass(frozen=True)
class FreeEnergy:
    """J + ½ρ|θ|².

    Attributes:
        objective: J as a function, without the weight prior.
        work: Counters that every evaluation adds to.
        total: J as a sum over data, here or elsewhere; None evaluates it here, with a kept graph.
        curvature: The part of it that A is taken from; None takes all of it.
        share: Share of the data that `total` looks at: less than one for a minibatch.
        curvature_share: Share of the data that `curvature` looks at.
    """

    objective: Objective
    work: Work
    total: Total | None = None
    curvature: Total | None = None
    share: float = 1.0
    curvature_share: float = 1.0

    @cached_property
    def _total(self) -> Total:
        if self.total is not None:
            return self.total
        blocks = self.objective.data.blocks() if isinstance(self.objective, OverData) else ()
        return Local(terms_of(self.objective, blocks))

    def weight_penalty(self, theta: Vector) -> Tensor:
        """½ρ|θ|²."""
        return 0.5 * self.objective.weight_prior_precision * theta.square().sum()

    def value(self, theta: Vector, controls: Controls) -> float:
        """J + ½ρ|θ|² in nats; NaN and infinity are returned, not raised."""
        return float(self._total.value(theta, controls) + self.weight_penalty(theta))

    def gradient(self, theta: Vector, controls: Controls) -> tuple[float, Vector]:
        """The value and ∇_θ of J + ½ρ|θ|², without a graph for second derivatives."""
        self.work.gradient_evaluations += self.share
        first = self._total.gradient(theta, controls)
        value = float(first.value + self.weight_penalty(theta))
        return value, first.gradient + self.objective.weight_prior_precision * theta

    def linearise(self, theta: Vector, controls: Controls) -> Linearisation:
        """Everything of first and second order at one state; built once, used for every product there.

        Args:
            theta: θ, shape (P,).
            controls: (λ, γ, t).

        Returns:
            The linearisation.

        Raises:
            NumericalFailure: NON_FINITE if J or its gradient is not finite.
        """
        theta, controls = theta.detach(), controls.detach()
        self.work.gradient_evaluations += self.share
        second, curvature = self._total.linearise(theta, controls), None
        if self.curvature is not None:
            self.work.gradient_evaluations += self.curvature_share
            curvature = self.curvature.linearise(theta, controls)
        share = self.share if self.curvature is None else self.curvature_share
        return Linearisation(
            self.objective, self.work, theta, controls, second, second if curvature is None else curvature, share
        )

    def disagreement(self, theta: Vector, controls: Controls) -> float:
        """How far two evaluations at one state lie apart: gradients, and products with one vector.

        Args:
            theta: θ, shape (P,).
            controls: (λ, γ, t).

        Returns:
            The larger of the two relative differences; zero where they agree to the bit.

        Raises:
            NumericalFailure: NON_FINITE if J or its gradient is not finite.
        """
        # Of fixed seed and drawn on the CPU, so that a run does not depend on whether anyone has asked before.
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)
        found: list[tuple[Tensor, ...]] = []
        for _ in range(2):
            at = self.linearise(theta, controls)
            found.append((torch.cat([at.gradient, at.forces]), at.mv(v)))
            del at  # one graph at a time
        return max(float((a - b).norm() / a.norm()) if not torch.equal(a, b) else 0.0 for a, b in zip(*found))

    def require_deterministic(self, theta: Vector, controls: Controls) -> None:
        """Refuse an objective that is no function of θ; costs two gradients and two products.

        Args:
            theta: θ, shape (P,).
            controls: (λ, γ, t).

        Raises:
            UserError: If two evaluations differ.
            NumericalFailure: NON_FINITE if J or its gradient is not finite.
        """
        difference = self.disagreement(theta, controls)
        if difference > repetition_error(theta):
            raise UserError(
                f"objective: two evaluations at the same theta differ by {difference:.1e} (relative), so J is no "
                "function of theta; freeze its noise, take dropout out or call eval() on its modules"
            )

    def minibatch(self, size: int, generator: torch.Generator) -> FreeEnergy:
        """An unbiased estimate of J from some of the data, drawn anew at each call.

        Args:
            size: Data of each part (source, target or pairs).
            generator: Draws them; on the CPU.

        Returns:
            The estimate, which counts its work as a share of a pass over all data.

        Raises:
            UserError: If J is no sum over data.
        """
        if not isinstance(self.objective, OverData):
            raise UserError("corrector.batch: this objective is no sum over data; leave batch out")
        data = self.objective.data
        blocks = data.minibatch(size, generator)
        if isinstance(self.objective, PerDatum):
            blocks = tuple(self.objective.drawn(block, generator) for block in blocks)
        share = sum(block.count for block in blocks) / sum(data.parts.values())
        return FreeEnergy(self.objective, self.work, Local(terms_of(self.objective, blocks)), share=share)


def repetition_error(theta: Vector) -> float:
    """How far two evaluations of one function may lie apart, relative.

    One thread adds up in one order. Several threads of BLAS (a finite alphabet in float32: 2e-8) and atomic sums of a
    GPU do not.

    Args:
        theta: θ, for its dtype and device.

    Returns:
        Zero where evaluations agree to the bit.
    """
    alone = theta.device.type == "cpu" and torch.get_num_threads() == 1
    return 0.0 if alone else 1e3 * torch.finfo(theta.dtype).eps
