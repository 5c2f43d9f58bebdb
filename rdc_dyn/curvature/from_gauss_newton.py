"""M ≈ G⁻¹ with G = E[J_fᵀ (∂²l/∂f²) J_f] + ρ I in place of A₀: positive definite by construction."""

from __future__ import annotations

from dataclasses import dataclass

from rdc_dyn.curvature.gauss_newton import GaussNewton, convex
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.curvature.memory import batches, bytes_per_datum
from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.recipe import Approximation, Recipe
from rdc_dyn.objective.base import Objective

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
