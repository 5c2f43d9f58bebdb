"""A ≈ ⊕ E[g gᵀ] ⊗ E[a aᵀ] + ρ I over Linear layers (Martens & Grosse 2015), with a dense core where it is largest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch

from rdc_dyn.curvature.kfac_pass import Pass
from rdc_dyn.curvature.kfac_sums import Coupling, Moments
from rdc_dyn.linalg.base import Controls, SymmetricOperator, Vector
from rdc_dyn.linalg.kronecker import Core, Kronecker
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import Objective
from rdc_dyn.status import UserError

#: Default number of random directions.
PROBES = 2
#: Samples (data times directions) per coordinate of the core.
_SAMPLES = 8
#: Most numbers held at once: of decoder outputs or core coordinates (64 MiB in float64), and of all layers' outputs.
_NUMBERS, _LAYERS = 2**23, 2**26


@runtime_checkable
class AtState(Protocol):
    """An operator that belongs to a state, such as a `Linearisation`."""

    @property
    def theta(self) -> Vector:
        """θ."""

    @property
    def controls(self) -> Controls:
        """(λ, γ, t)."""


@dataclass(frozen=True)
class Kfac:
    """Kronecker factors of the Gauss–Newton matrix of an amortised objective, for θ too large for a dense factor.

    For a Linear layer with inputs a (and a 1 for the bias) and outputs h, the block Σ w aaᵀ ⊗ (∂f/∂h)ᵀ l'' (∂f/∂h) is
    approximated by the product of its averages. Data are weighted as in J; the decoder and the classifier treat each
    code as a datum. The weight prior enters exactly, so nothing is left to damp. Parameters of other layers get the
    mean diagonal of their tensor.

    Blocks alone help little, even exact ones: encoder and decoder can undo each other's changes, so A is about ρ in
    many directions along which each block is large. The core mends that. In the eigenvectors of the blocks with the
    largest eigenvalues, the slopes of a datum follow from two small products per layer, and the second moment of these
    coordinates is the Gauss–Newton matrix there, couplings between layers included.

    Attributes:
        objective: J; a `UserError` is raised unless it is amortised and its likelihood convex.
        rank: Coordinates of the core; 0 for blocks alone.
        probes: Random directions ξ = ±1, whose images g = (∂f/∂h)ᵀ √l'' ξ have the right mean square; None takes all
            columns of √l'' for each code, which is exact and costs S (n + Y) + 2 d backward passes.
        damping: Added to A₀, as to A.
    """

    objective: Objective
    rank: int
    probes: int | None = PROBES
    damping: float = 0.0
    seed: int = 0
    spectral = False

    def __post_init__(self) -> None:
        _amortised(self.objective)

    def products(self, size: int) -> int:
        """Estimate the cost of a build in products with A, counting the operations of Linear layers; at least 1.

        With P = `size`, a product counts 12 P operations per code, and a pass 2 P forward and 2 P backward per
        direction. Factors and core add their own products, and their decompositions 4 n³, a constant fitted to the time
        of a build for 240,000 parameters on a CPU. Small networks run far below the speed of a matrix product, so their
        builds are cheaper than estimated: 100 products instead of 500 for 2,110 parameters and a core of 1,000.
        """
        objective = _amortised(self.objective)
        count = sum(objective.data.parts.values())
        codes, sides = count * objective.samples, [n for s in objective.layout.shapes if len(s) == 2 for n in s]
        columns = 2 * objective.latent_dim + objective.samples * (objective.data.x_dim + objective.data.classes)
        first, second = (columns if k is None else k for k in (self.probes, self._core_probes(min(self.rank, size))))
        rank = min(self.rank, size)
        spent = codes * (2 * size * (1 + first) + sum(2 * n**2 for n in sides) * (1 + first) / 2)
        spent += sum(4 * n**3 for n in sides)
        if rank:
            spent += codes * 2 * size * (1 + second) + count * second * 2 * rank**2 + 4 * rank**3
        return math.ceil(spent / (12 * size * codes))

    def _core_probes(self, rank: int) -> int | None:
        """Enough directions for the second moment over all samples to resemble its mean; None for all columns."""
        count = sum(_amortised(self.objective).data.parts.values())
        return None if self.probes is None else max(self.probes, math.ceil(_SAMPLES * rank / count))

    def build(self, operator: SymmetricOperator) -> Kronecker:
        """Build the factors at the operator's θ and controls; NON_FINITE if a factor is not finite."""
        if not isinstance(operator, AtState):
            raise TypeError(f"kfac: {type(operator).__name__} has neither theta nor controls")
        objective = _amortised(self.objective)
        theta, controls = operator.theta.detach(), operator.controls.detach()
        data, shift = objective.data, objective.weight_prior_precision + self.damping
        draws = torch.Generator().manual_seed(self.seed)
        size = min(_NUMBERS // (objective.samples * max(data.x_dim, self.rank)), _LAYERS // objective.numbers)
        blocks = data.blocks(max(size, 1))
        moments = Moments(theta, objective.layout)
        for block in blocks:
            Pass(objective, block, theta, controls).add_to(moments, self.probes, draws)
        factors = moments.factors(shift)
        if not self.rank:
            return factors
        core = Coupling(factors, moments.layers, self.rank)
        probes = self._core_probes(core.rank)
        for block in blocks:
            Pass(objective, block, theta, controls).add_to(core, probes, draws)
        return replace(factors, core=Core.of(core.chosen, core.matrix, shift))


def _amortised(objective: Objective) -> Amortised:
    """Return the objective, or raise a UserError if its loss is not convex in the outputs of its networks."""
    if not isinstance(objective, Amortised):
        raise UserError(
            f"kfac: {type(objective).__name__} has no loss that is convex in the outputs of networks; use amortised, "
            "or preconditioner nystrom"
        )
    if not objective.likelihood.convex:
        name = type(objective.likelihood).__name__
        raise UserError(f"kfac: -log d of {name} is not convex in the decoder's output; use preconditioner nystrom")
    return objective
