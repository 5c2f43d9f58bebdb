"""J(θ, λ, γ, t) + ½ρ|θ|²: what a run minimises, with its derivatives and what they have cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.base import Objective, OverData, terms_of
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
        share = sum(block.count for block in blocks) / sum(data.parts.values())
        return FreeEnergy(self.objective, self.work, Local(terms_of(self.objective, blocks)), share=share)
