"""A ≈ ⊕ E[g gᵀ] ⊗ E[a aᵀ] + ρ I over Linear layers (Martens & Grosse 2015), with a dense core where it is largest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.gauss_newton import convex
from rdc_dyn.curvature.kfac_pass import Call, Layer, Pass
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.linalg.base import SymmetricOperator, Vector
from rdc_dyn.linalg.kronecker import Block, Core, Kronecker
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import Objective
from rdc_dyn.objective.networks import Layout


class Moments:
    """Sums over data: Σ w aaᵀ, Σ w and Σ ggᵀ of each layer, and (Σ g)² of each parameter outside the layers."""

    def __init__(self, theta: Vector, layout: Layout) -> None:
        self._places = layout.unflatten(torch.arange(layout.size, device=theta.device))
        self._a: dict[Layer, Tensor] = {}
        self._g: dict[Layer, Tensor] = {}
        self._mass: dict[Layer, float] = {}
        self._squares = torch.zeros_like(theta)

    @property
    def incomplete(self) -> bool:
        """Whether some parameters belong to no recorded layer."""
        return bool(self._rest)

    @property
    def _rest(self) -> set[str]:
        return set(self._places) - {name for layer in self._a for name in layer if name is not None}

    def add_inputs(self, call: Call, weights: Float[Tensor, "N"]) -> None:
        """Add Σ w aaᵀ and Σ w; the codes of a datum share its weight."""
        each = len(call.a) // len(weights)
        moment = call.a.T @ (call.a * (weights / each).repeat_interleave(each)[:, None])
        self._a[call.layer] = self._a.get(call.layer, 0.0) + moment
        self._mass[call.layer] = self._mass.get(call.layer, 0.0) + float(weights.sum())

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Add Σ ggᵀ, where g already contains √w."""
        for call, g in zip(calls, slopes):
            rows = g.flatten(0, -2)
            self._g[call.layer] = self._g.get(call.layer, 0.0) + rows.T @ rows
        if self.incomplete:
            self._squares += slopes[-1].square()

    @property
    def layers(self) -> list[Layer]:
        """The recorded layers, in the order of the blocks."""
        return list(self._a)

    def factors(self, shift: float) -> Kronecker:
        """The Kronecker approximation, with `shift` times the identity added."""
        blocks = []
        for layer, a in self._a.items():
            places = self._places[layer.weight]
            if layer.bias is not None:
                places = torch.cat([places, self._places[layer.bias][:, None]], dim=1)
            blocks.append(Block.of(places, self._g[layer], a / self._mass[layer]))
        diagonal = torch.zeros_like(self._squares)
        for name in self._rest:
            # A few random directions estimate the mean of a tensor far better than each of its entries.
            diagonal[self._places[name]] = self._squares[self._places[name]].mean()
        return Kronecker(blocks, diagonal, shift)


class Coupling:
    """Σ ccᵀ over data, with c = LᵀgaᵀR the slopes of a datum in the coordinates where the factors are largest."""

    incomplete = False

    def __init__(self, factors: Kronecker, layers: Sequence[Layer], rank: int) -> None:
        self.rank = min(rank, len(factors.spectrum))
        self.chosen = factors.spectrum.topk(self.rank).indices.sort().values
        self.matrix = factors.diagonal.new_zeros((self.rank, self.rank))
        self._parts: dict[Layer, tuple[Block, Tensor, Tensor, Tensor]] = {}
        start = 0
        for layer, block in zip(layers, factors.blocks):
            m, n = block.places.shape
            mine = ((self.chosen >= start) & (self.chosen < start + m * n)).nonzero()[:, 0]
            local = self.chosen[mine] - start
            self._parts[layer] = (block, mine, local // n, local % n)
            start += m * n

    def add_inputs(self, call: Call, weights: Tensor) -> None:
        """Note only the number of data: the inputs come again with their slopes."""
        self._count = len(weights)

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Add Σ ccᵀ, where c sums over the codes of a datum."""
        c = self.matrix.new_zeros((self._count, self.rank))
        for call, g in zip(calls, slopes):
            block, mine, i, j = self._parts[call.layer]
            each = (g.flatten(0, -2) @ block.left[:, i]) * (call.a @ block.right[:, j])
            c[:, mine] += each.unflatten(0, (self._count, -1)).sum(1)
        self.matrix += c.T @ c


#: Default number of random directions.
PROBES = 2
#: Samples (data times directions) per coordinate of the core.
_SAMPLES = 8
#: Most numbers held at once: of decoder outputs or core coordinates (64 MiB in float64), and of all layers' outputs.
_NUMBERS, _LAYERS = 2**23, 2**26


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
        _ = self._convex  # an objective that does not fit is refused now, not at the first build

    @property
    def _convex(self) -> Amortised:
        return convex(self.objective, "kfac", "preconditioner nystrom")

    def products(self, size: int) -> int:
        """Estimate the cost of a build in products with A, counting the operations of Linear layers; at least 1.

        With P = `size`, a product counts 12 P operations per code, and a pass 2 P forward and 2 P backward per
        direction. Factors and core add their own products, and their decompositions 4 n³, a constant fitted to the time
        of a build for 240,000 parameters on a CPU. Small networks run far below the speed of a matrix product, so their
        builds are cheaper than estimated: 100 products instead of 500 for 2,110 parameters and a core of 1,000.
        """
        objective = self._convex
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
        count = sum(self._convex.data.parts.values())
        return None if self.probes is None else max(self.probes, math.ceil(_SAMPLES * rank / count))

    def build(self, operator: SymmetricOperator) -> Kronecker:
        """Build the factors at the operator's θ and controls; NON_FINITE if a factor is not finite."""
        if not isinstance(operator, Linearisation):
            raise TypeError(f"kfac: {type(operator).__name__} is not the linearisation of an objective")
        objective = self._convex
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
