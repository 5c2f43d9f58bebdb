"""A = ∇²_θ J and b_c = −∂_c ∇_θ J for c in (λ, γ, t), from one kept gradient graph of J."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.objective.base import Objective
from rdc_dyn.status import NumericalFailure, Status

Controls = Float[Tensor, "3"]


@dataclass
class Work:
    """What a run has cost so far; cumulative.

    Attributes:
        gradient_evaluations: Evaluations of ∇J.
        hessian_vector_products: Products A v, and the right-hand sides b, which cost as much; a product with dA/ds
            counts for two.
        krylov_iterations: Iterations of linear solves.
        vector_field_evaluations: Calls of the vector field by the integrator.
        corrector_iterations: Steps of the corrector.
    """

    gradient_evaluations: int = 0
    hessian_vector_products: int = 0
    krylov_iterations: int = 0
    vector_field_evaluations: int = 0
    corrector_iterations: int = 0


@dataclass(frozen=True)
class FreeEnergy:
    """J(θ, c) + ½ρ|θ|² with its derivatives.

    Attributes:
        objective: J without the weight prior.
        work: Counters that every evaluation adds to.
    """

    objective: Objective
    work: Work

    def weight_penalty(self, theta: Vector) -> Tensor:
        """½ρ|θ|²."""
        return 0.5 * self.objective.weight_prior_precision * theta.square().sum()

    def value(self, theta: Vector, controls: Controls) -> float:
        """J + ½ρ|θ|² in nats; NaN and infinity are returned, not raised."""
        with torch.no_grad():
            return float(self.objective.free_energy(theta, *controls.unbind()) + self.weight_penalty(theta))

    def gradient(self, theta: Vector, controls: Controls) -> tuple[float, Vector]:
        """The value and ∇_θ of J + ½ρ|θ|², without a graph for second derivatives."""
        self.work.gradient_evaluations += 1
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            value = self.objective.free_energy(theta, *controls.unbind()) + self.weight_penalty(theta)
        (gradient,) = torch.autograd.grad(value, theta)
        return float(value.detach()), gradient

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
        return Linearisation(self, theta.detach(), controls.detach())


class Linearisation:
    """∇_θ J near one state: A by products through a kept graph, b_c and ∂²J/∂c∂c' at fixed θ.

    Args:
        free_energy: J.
        theta: θ, shape (P,).
        controls: (λ, γ, t), shape (3,).

    Attributes:
        theta: θ.
        controls: (λ, γ, t).
        value: J + ½ρ|θ|² in nats.
        weight_penalty: ½ρ|θ|² in nats.
        gradient: ∇_θ J, shape (P,).
        forces: ∂J/∂(λ, γ, t) at fixed θ, that is (D, C, ∂_tJ), shape (3,).
    """

    def __init__(self, free_energy: FreeEnergy, theta: Vector, controls: Controls) -> None:
        self._free_energy = free_energy
        self.theta, self.controls = theta, controls
        self._theta = theta.detach().requires_grad_()
        self._controls = tuple(c.detach().clone().requires_grad_() for c in controls)
        with torch.enable_grad():  # the integrator calls under no_grad
            penalty = free_energy.weight_penalty(self._theta)
            value = free_energy.objective.free_energy(self._theta, *self._controls) + penalty
            derivatives = torch.autograd.grad(
                value, (self._theta, *self._controls), create_graph=True, allow_unused=True
            )
        self.value, self.weight_penalty = float(value.detach()), float(penalty.detach())
        free_energy.work.gradient_evaluations += 1
        gradient = derivatives[0]
        assert gradient is not None
        self._gradient = gradient
        self._forces = derivatives[1:]
        self.gradient = gradient.detach()
        zero = theta.new_zeros(())
        self.forces = torch.stack([zero if f is None else f.detach() for f in self._forces])
        if not (torch.isfinite(self.gradient).all() and torch.isfinite(self.forces).all()):
            raise NumericalFailure(Status.NON_FINITE, f"J = {self.value:.6g}")

    @property
    def size(self) -> int:
        """P."""
        return self.theta.shape[0]

    @cached_property
    def kernel(self) -> Rows:
        """Zero modes that symmetries of J force on A."""
        return self._free_energy.objective.kernel(self.theta)

    @cached_property
    def residual(self) -> float:
        """|∇_θ J|."""
        return float(self.gradient.norm())

    def mv(self, v: Vector) -> Vector:
        """A v: one backward pass through the kept graph of ∇J."""
        self._free_energy.work.hessian_vector_products += 1
        (product,) = torch.autograd.grad(self._gradient, self._theta, v, retain_graph=True)
        return product

    def mm(self, rows: Rows) -> Rows:
        """A v for each row v, in one batched backward pass."""
        self._free_energy.work.hessian_vector_products += rows.shape[0]
        (products,) = torch.autograd.grad(self._gradient, self._theta, rows, retain_graph=True, is_grads_batched=True)
        return products

    def drift(self, velocity: Vector, rates: Controls) -> Drift:
        """dA/ds for θ and controls that move at given rates, as an operator.

        Args:
            velocity: θ̇, shape (P,).
            rates: (λ̇, γ̇, ṫ).

        Returns:
            The operator; one more graph, of third derivatives of J, is kept as long as it lives.
        """
        self._free_energy.work.hessian_vector_products += 2
        with torch.enable_grad():
            (change,) = torch.autograd.grad(self._gradient, self._theta, velocity, create_graph=True)
            for force, rate in zip(self._forces, rates):
                if force is not None and force.requires_grad and float(rate):
                    mixed = torch.autograd.grad(force, self._theta, rate, create_graph=True, allow_unused=True)[0]
                    change = change if mixed is None else change + mixed
        return Drift(change, self._theta, self._free_energy.work)

    @cached_property
    def _mixed(self) -> tuple[Tensor, Tensor]:
        rows, second = [], []
        for force in self._forces:
            grads: tuple[Tensor | None, ...] = (None,) * 4
            if force is not None and force.requires_grad:
                self._free_energy.work.hessian_vector_products += 1
                grads = torch.autograd.grad(force, (self._theta, *self._controls), retain_graph=True, allow_unused=True)
            zero = self.theta.new_zeros(())
            rows.append(torch.zeros_like(self.theta) if grads[0] is None else -grads[0])
            second.append(torch.stack([zero if g is None else g for g in grads[1:]]))
        return torch.stack(rows), torch.stack(second)

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
    """dA/ds = ∂³J·θ̇ + ∂_cA·ċ, the derivative of A along a path: products by a backward pass through d∇J/ds.

    Attributes:
        change: d∇J/ds with its graph, shape (P,).
        theta: The leaf of that graph.
        work: Counters.
    """

    change: Vector
    theta: Vector
    work: Work

    def mv(self, v: Vector) -> Vector:
        """(dA/ds) v."""
        return self.mm(v[None])[0]

    def mm(self, rows: Rows) -> Rows:
        """(dA/ds) v for each row v; zero where ∇J is linear in θ along the path."""
        if not self.change.requires_grad:
            return torch.zeros_like(rows)
        self.work.hessian_vector_products += 2 * rows.shape[0]
        (products,) = torch.autograd.grad(
            self.change, self.theta, rows, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        return torch.zeros_like(rows) if products is None else products
