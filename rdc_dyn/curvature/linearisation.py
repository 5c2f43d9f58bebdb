"""A = ∇²_θ J and b_c = −∂_c ∇_θ J for c in (λ, γ, t), with J, ∇J and (R, D, C), at one state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.graph import Product
from rdc_dyn.curvature.hessian import price
from rdc_dyn.curvature.sum_over_data import Second
from rdc_dyn.linalg.base import Controls, Rows, Vector, all_finite
from rdc_dyn.linalg.factorised import SINGLE
from rdc_dyn.objective.base import Objective
from rdc_dyn.status import NumericalFailure, Status


@dataclass
class Work:
    """Cumulative cost of a run; evaluations and products are counted in passes over all data.

    Attributes:
        hessian_vector_products: Products A v and right-hand sides b, which cost as much; dA/ds v counts as two, and A
            in closed form, with a factor of it, as many as it is worth.
        krylov_iterations: Iterations of linear solves.
        vector_field_evaluations: Calls of the vector field by the integrator.
    """

    gradient_evaluations: float = 0
    hessian_vector_products: float = 0
    krylov_iterations: int = 0
    vector_field_evaluations: int = 0
    corrector_iterations: int = 0


class Linearisation:
    """J + ½ρ|θ|² to second order at one state.

    A and dA/ds are taken from `curvature`, which looks at a fraction `share` of the data; everything else is taken from
    `second`. A `NumericalFailure` (NON_FINITE) is raised if J, its gradient, or one of R, D, C and ∂_tJ is not finite.

    Attributes:
        value: J + ½ρ|θ|² in nats.
        weight_penalty: ½ρ|θ|² in nats.
        gradient: ∇_θ (J + ½ρ|θ|²), shape (P,).
        forces: ∂J/∂(λ, γ, t) at fixed θ, that is (D, C, ∂_tJ), shape (3,).
    """

    def __init__(
        self,
        objective: Objective,
        work: Work,
        theta: Vector,
        controls: Controls,
        second: Second,
        curvature: Second,
        share: float,
    ) -> None:
        self._objective, self.work = objective, work
        self._second, self._curvature, self._share = second, curvature, share
        self.theta, self.controls = theta, controls
        precision, first = objective.weight_prior_precision, second.first
        self.weight_penalty = 0.5 * precision * float(theta.square().sum())
        self.value = float(first.value) + self.weight_penalty
        self.gradient = first.gradient + precision * theta if precision else first.gradient
        self.forces = first.forces
        # Each is checked: a constant may overflow in J but vanish from its gradient, and λD may overflow in R.
        if not (math.isfinite(self.value) and all_finite(self.gradient, self.forces, self.functionals)):
            raise NumericalFailure(Status.NON_FINITE, self._numbers())

    def _numbers(self) -> str:
        named = zip("RDC", self.functionals.tolist())
        return f"J = {self.value:.6g}, " + ", ".join(f"{name} = {number:.6g}" for name, number in named)

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return self.theta.shape[0]

    @cached_property
    def kernel(self) -> Rows:
        """Zero modes of A that symmetries of J enforce."""
        return self._objective.kernel(self.theta)

    @cached_property
    def residual(self) -> float:
        """Norm of the gradient."""
        return float(self.gradient.norm())

    def mv(self, v: Vector) -> Vector:
        """A v."""
        return self.mm(v[None])[0]

    def mm(self, rows: Rows) -> Rows:
        """A v for each row v."""
        self.work.hessian_vector_products += rows.shape[0] * self._share
        products = self._curvature.mm(rows)
        precision = self._objective.weight_prior_precision
        return products + precision * rows if precision else products

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """A where it has a closed form, else None; it counts as many products as it is worth."""
        matrix, worth = self._curvature.dense(dtype), price(self._objective)
        if matrix is None or worth is None:
            return None
        cheaper = SINGLE if matrix.dtype != self.theta.dtype else 1.0
        self.work.hessian_vector_products += math.ceil(cheaper * worth) * self._share
        matrix.diagonal().add_(self._objective.weight_prior_precision)
        return matrix

    def drift(self, velocity: Vector, rates: Controls) -> Drift:
        """dA/ds for θ and controls moving at given rates; it may hold a graph of third derivatives of J."""
        self.work.hessian_vector_products += 2 * self._share
        return Drift(self._curvature.drift(velocity, rates), self.work, self._share)

    @cached_property
    def _mixed(self) -> tuple[Tensor, Tensor]:
        self.work.hessian_vector_products += int((self.forces != 0).sum())
        return self._second.mixed()

    @property
    def mixed(self) -> Rows:
        """b_c = −∂_c ∇_θ J (18, 24), one row per control, shape (3, P)."""
        return self._mixed[0]

    @property
    def control_hessian(self) -> Float[Tensor, "3 3"]:
        """∂²J/∂c∂c' at fixed θ: zero in (λ, γ) for the amortised encoder, minus a covariance for the Gibbs encoder."""
        return self._mixed[1]

    @property
    def functionals(self) -> Float[Tensor, "3"]:
        """(R, D, C) in nats: D = ∂J/∂λ, C = ∂J/∂γ, R = J − λD − γC without the weight prior."""
        lam, gamma = self.controls[0], self.controls[1]
        distortion, classification = self.forces[0], self.forces[1]
        rate = self.value - self.weight_penalty - lam * distortion - gamma * classification
        return torch.stack([rate, distortion, classification])


@dataclass(frozen=True)
class Drift:
    """dA/ds = ∂³J·θ̇ + ∂_cA·ċ, the derivative of A along a path, over a fraction `share` of the data."""

    product: Product
    work: Work
    share: float

    def mv(self, v: Vector) -> Vector:
        """(dA/ds) v."""
        return self.mm(v[None])[0]

    def mm(self, rows: Rows) -> Rows:
        """(dA/ds) v for each row v."""
        self.work.hessian_vector_products += 2 * rows.shape[0] * self.share
        return self.product(rows)
