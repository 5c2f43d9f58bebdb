"""G = E[J_fᵀ (∂²l/∂f²) J_f] + ρ I: A without the curvature of the networks, positive semidefinite; and M ≈ G⁻¹."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from rdc_dyn.curvature.graph import pulled_back
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.curvature.memory import batches, bytes_per_datum
from rdc_dyn.data.samples import Block, Sample
from rdc_dyn.linalg.base import Controls, Rows, Scalar, SymmetricOperator, Vector
from rdc_dyn.linalg.recipe import Approximation, Recipe
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import Objective
from rdc_dyn.status import UserError


class GaussNewton:
    """The generalised Gauss–Newton matrix (Schraudolph 2002) of an amortised objective, as a symmetric operator.

    With f = (μ, ln s², decoder output, logits) as functions of θ and l(f) the loss of a datum, A = G + E Σ ∂l/∂f ∂²f.
    The divergence, −log d and −log c are convex in f, so G ⪰ ρ I for all θ and all λ, γ ≥ 0, and G = A where f is
    linear in θ. G may replace A in a preconditioner or a descent step where A is indefinite; responses need A itself.

    A product costs as much as one with A and counts as one. `kept` keeps the graphs of all blocks; otherwise each
    product rebuilds them one after another. At most `width` vectors are multiplied at a time, and with `batched` they
    go through a graph at once. UserError is raised if J is not a convex loss of the outputs of its networks, or a
    multiplier is negative.
    """

    def __init__(
        self,
        objective: Objective,
        work: Work,
        theta: Vector,
        controls: Controls,
        blocks: Sequence[Block] | None = None,
        *,
        kept: bool = True,
        width: int = 64,
        batched: bool = True,
    ) -> None:
        self._objective = convex(objective)
        if bool((controls[:2] < 0).any()):
            raise UserError("Gauss-Newton: lam and gamma must not be negative, or the loss is not convex")
        self._work, self._width, self._batched = work, width, batched
        self._theta, self._controls = theta.detach(), controls.detach()
        data = self._objective.data
        self._blocks = data.blocks() if blocks is None else tuple(blocks)
        self._share = sum(block.count for block in self._blocks) / sum(data.parts.values())
        self._kept: tuple[BlockGraph, ...] | None = None
        if kept:
            work.gradient_evaluations += self._share
            self._kept = tuple(self._built())

    def _built(self) -> Iterator[BlockGraph]:
        return (BlockGraph(self._objective, block, self._theta, self._controls) for block in self._blocks)

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return self._theta.shape[0]

    @cached_property
    def kernel(self) -> Rows:
        """Zero modes that symmetries force on A: none, since the frozen noise breaks all symmetries."""
        return self._objective.kernel(self._theta)

    def mv(self, v: Vector) -> Vector:
        """G v."""
        return self.mm(v[None])[0]

    def mm(self, rows: Rows) -> Rows:
        """G v for each row v."""
        self._work.hessian_vector_products += rows.shape[0] * self._share
        return torch.cat([self._product(part) for part in rows.split(self._width)])

    def _product(self, rows: Rows) -> Rows:
        products = self._objective.weight_prior_precision * rows
        for graph in self._built() if self._kept is None else self._kept:
            each = (rows,) if self._batched else rows.split(1)
            products = products + torch.cat([graph.mm(part) for part in each])
        return products


def convex(objective: Objective, what: str = "Gauss-Newton", instead: str = "the Hessian") -> Amortised:
    """The objective itself; UserError is raised if its loss is not convex in the outputs of its networks."""
    if not isinstance(objective, Amortised):
        raise UserError(
            f"{what}: {type(objective).__name__} has no loss that is convex in the outputs of networks (it sums or "
            f"weighs codes inside a logarithm); use amortised, or {instead}"
        )
    if not objective.likelihood.convex:
        name = type(objective.likelihood).__name__
        raise UserError(f"{what}: -log d of {name} is not convex in the decoder's output; use {instead}")
    return objective


class BlockGraph:
    """f(θ), ∂l/∂f and J_fᵀ w for a block of the data, kept with their graphs.

    J_fᵀ w is linear in w, so a backward pass through it to w is J_f v: forward-mode differentiation without evaluating
    the networks again. The curvature of l costs next to nothing, and J_fᵀ is a backward pass through the networks.
    """

    def __init__(self, objective: Amortised, block: Block, theta: Vector, controls: Controls) -> None:
        self._objective = objective
        self._theta = theta.detach().requires_grad_()
        self._lam, self._gamma, data_position = controls.unbind()
        with torch.enable_grad():  # the integrator calls under no_grad
            loss = objective.data.share(block, self._loss, data_position)
            self._slopes = torch.autograd.grad(loss, self._leaves, create_graph=True, materialize_grads=True)
            self._weights = tuple(torch.zeros_like(output).requires_grad_() for output in self._outputs)
            self._pullback = torch.autograd.grad(self._outputs, self._theta, self._weights, create_graph=True)

    def _loss(self, block: Block, sample: Sample) -> Scalar:
        """l as a function of f alone, detached from the networks that computed f."""
        noise = self._objective.noise(block)
        outputs = self._objective.outputs(self._theta, sample, noise)
        self._outputs = (outputs.mean, outputs.log_variance, outputs.output, outputs.logits)
        self._leaves = tuple(output.detach().requires_grad_() for output in self._outputs)
        mean, log_variance, output, logits = self._leaves
        cut = outputs._replace(mean=mean, log_variance=log_variance, z=outputs.z.detach(), output=output, logits=logits)
        return self._objective.bound(self._objective.judged(cut, sample, noise), sample, self._lam, self._gamma)

    def mm(self, rows: Rows) -> Rows:
        """J_fᵀ (∂²l/∂f²) J_f v for each row v, without the weight prior."""
        tangents = pulled_back(self._pullback, self._weights, (rows,))
        bent = [(slope, tangent) for slope, tangent in zip(self._slopes, tangents) if slope.requires_grad]
        slopes, directions = zip(*bent)
        curved = pulled_back(slopes, self._leaves, directions)
        return pulled_back(self._outputs, (self._theta,), curved)[0]


#: Most decoder outputs held at once (64 MiB in float64), and most bytes of a graph.
_NUMBERS, _BYTES = 2**23, 2**30


@dataclass(frozen=True)
class FromGaussNewton:
    """Another recipe, applied to the Gauss–Newton matrix at the same state.

    Away from a minimum A₀ may be indefinite, and a factor of |A₀| mistakes negative curvature for positive; G has no
    negative curvature. At a minimum G lacks the curvature of the networks, which A₀ contains. UserError is raised
    unless the objective is a convex loss of the outputs of its networks.
    """

    recipe: Recipe
    objective: Objective
    spectral = False

    def __post_init__(self) -> None:
        convex(self.objective)

    def products(self, size: int) -> int:
        """The same as with A₀: a product with G costs about as much."""
        return self.recipe.products(size)

    def build(self, operator: SymmetricOperator) -> Approximation:
        """Build M from the Gauss–Newton matrix at the operator's state.

        TypeError is raised unless the operator is a `Linearisation`; its counters also count the products with G.
        """
        if not isinstance(operator, Linearisation):
            raise TypeError(f"Gauss-Newton: {type(operator).__name__} is not the linearisation of an objective")
        objective = convex(self.objective)
        theta, controls = operator.theta, operator.controls
        each = bytes_per_datum(objective, theta, controls)
        size = max(min(_NUMBERS // (objective.samples * objective.data.x_dim), int(_BYTES / each)), 1)
        blocks = objective.data.blocks(size)
        batched = batches(objective, theta, controls, each * max(block.count for block in blocks))
        kept = len(blocks) == 1
        return self.recipe.build(
            GaussNewton(objective, operator.work, theta, controls, blocks, kept=kept, batched=batched)
        )
