"""J(θ, λ, γ, t) + ½ρ|θ|²: what a run minimises, with its derivatives and their cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.curvature.sum_over_data import Local, Total
from rdc_dyn.linalg.base import Controls, Vector
from rdc_dyn.objective.base import Objective, OverData, PerDatum, terms_of
from rdc_dyn.status import UserError


@dataclass(frozen=True)
class FreeEnergy:
    """J + ½ρ|θ|² with its derivatives.

    Attributes:
        objective: J without the weight prior.
        work: Counters that every evaluation adds to.
        total: J as a sum over data, on one process or several; None evaluates it here, with a kept graph.
        curvature: The sum over data that A is taken from; None takes `total`.
        share: Share of the data in `total`: less than one for a minibatch.
        curvature_share: Share of the data in `curvature`.
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

    def functionals(self, theta: Vector, controls: Controls) -> Float[Tensor, "3"]:
        """(R, D, C), for a look at a state that is not counted as work."""
        first = self._total.gradient(theta, controls)
        losses = first.forces[:2]
        return torch.cat([(first.value - controls[:2] @ losses)[None], losses])

    def linearise(self, theta: Vector, controls: Controls) -> Linearisation:
        """All derivatives of first and second order at one state, built once for all products there.

        NumericalFailure (NON_FINITE) is raised if J or a first derivative is not finite.
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
        """Relative difference between two evaluations at one state, of ∇J or of a product A v, whichever is larger."""
        # A generator of its own, so that the random numbers of a run do not depend on whether this was called.
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)
        found: list[tuple[Tensor, ...]] = []
        for _ in range(2):
            at = self.linearise(theta, controls)
            found.append((torch.cat([at.gradient, at.forces]), at.mv(v)))
            del at  # keep one graph at a time
        return max(float((a - b).norm() / a.norm()) if not torch.equal(a, b) else 0.0 for a, b in zip(*found))

    def require_deterministic(self, theta: Vector, controls: Controls) -> None:
        """Raise a UserError if J is not a function of θ; costs two gradients and two products A v."""
        difference = self.disagreement(theta, controls)
        if difference > repetition_error(theta):
            raise UserError(
                f"objective: two evaluations at the same theta differ by {difference:.1e} (relative), so J is no "
                "function of theta; freeze its noise, take dropout out or call eval() on its modules"
            )

    def minibatch(self, size: int, generator: torch.Generator, data_position: Tensor | None = None) -> FreeEnergy:
        """An unbiased estimate of J from `size` data of each part, drawn at each call by a generator on the CPU.

        With a data position it is meant for J and ∇_θJ there alone: a part without weight is drawn but not evaluated.
        Its work counts as a share of a pass over all data. UserError is raised if J is not a sum over data.
        """
        if not isinstance(self.objective, OverData):
            raise UserError("corrector.batch: this objective is no sum over data; leave batch out")
        data = self.objective.data
        blocks = data.minibatch(size, generator)
        if isinstance(self.objective, PerDatum):
            blocks = tuple(self.objective.drawn(block, generator) for block in blocks)
        if data_position is not None:
            blocks = tuple(block for block in blocks if data.weighs(block.part, data_position))
        share = sum(block.count for block in blocks) / sum(data.parts.values())
        return FreeEnergy(self.objective, self.work, Local(terms_of(self.objective, blocks)), share=share)


def repetition_error(theta: Vector) -> float:
    """Relative difference that two evaluations of one function may have; zero if they agree to the last bit.

    A single thread sums in a fixed order. Several BLAS threads (a finite alphabet in float32: 2e-8) and atomic sums on
    a GPU do not.
    """
    alone = theta.device.type == "cpu" and torch.get_num_threads() == 1
    return 0.0 if alone else 1e3 * torch.finfo(theta.dtype).eps
