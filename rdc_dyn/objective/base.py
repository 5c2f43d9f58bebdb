"""J(θ, λ, γ, t): the one function from which R, D, C, ∇J, A and b follow by differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Scalar, Vector

if TYPE_CHECKING:
    from rdc_dyn.data.samples import Block, Data

#: (R, D, C) of n data.
Functionals = tuple[Float[Tensor, "n"], Float[Tensor, "n"], Float[Tensor, "n"]]
#: A summand of J as a function of (θ, λ, γ, t).
Term = Callable[[Vector, Scalar, Scalar, Scalar], Scalar]


class Objective(Protocol):
    """A model with parameters θ and the free energy J(θ, λ, γ, t) that it minimises.

    For every kind of encoder D = ∂J/∂λ and C = ∂J/∂γ at fixed θ, and R = J − λD − γC. For the Gibbs encoder this is the
    envelope theorem; for the amortised encoder J is linear in the multipliers; for importance weighting, which lies
    between the two, the derivatives are self-normalised averages. An implementation therefore supplies J alone.

    An objective whose J is linear in (λ, γ) at fixed θ may declare this with a class attribute `linear = True`.

    Attributes:
        size: Number of parameters P.
        exact: Whether J uses the exact Gibbs encoder (a sum or integral over z) rather than an encoder network.
        weight_prior_precision: ρ of the weight prior ½ρ|θ|², which `FreeEnergy` adds to J.
        moves: Whether J depends on the data position t.
    """

    @property
    def size(self) -> int:
        """Number of parameters P."""

    @property
    def exact(self) -> bool:
        """Whether the encoder is the exact Gibbs encoder."""

    @property
    def weight_prior_precision(self) -> float:
        """ρ of the weight prior ½ρ|θ|²."""

    @property
    def moves(self) -> bool:
        """Whether J depends on the data position t."""

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J without the weight prior, in nats per datum; twice differentiable in all arguments.

        Args:
            theta: θ, shape (P,).
            lam: λ, the multiplier of the distortion D.
            gamma: γ, the multiplier of the classification loss C.
            data_position: t, from 0 (source) to 1 (target).

        Returns:
            J as a scalar tensor.
        """

    def initial(self, generator: torch.Generator) -> Vector:
        """θ from which equilibration starts, shape (P,).

        Args:
            generator: Random number generator on the CPU.
        """

    def kernel(self, theta: Vector) -> Rows:
        """Orthonormal directions along which J + ½ρ|θ|² is invariant at θ for all controls; shape (j, P)."""

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """Further quantities to record, by name: accuracies, losses on fresh noise and on held-out data."""


@runtime_checkable
class OverData(Objective, Protocol):
    """An objective that is a sum over data, so that it can be evaluated a block at a time."""

    @property
    def data(self) -> Data:
        """The data that J averages over."""

    def block_energy(self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """Contribution of a block of the data to J, in nats; the other arguments are those of `free_energy`."""


@runtime_checkable
class PerDatum(OverData, Protocol):
    """A sum over data that also gives R, D and C of each datum, as the meter of the stochastic corrector requires."""

    def functionals(
        self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar
    ) -> Functionals:
        """R, D and C of each datum of a block, in nats; the other arguments are those of `free_energy`.

        Returns:
            (R, D, C), each differentiable and of shape (n,); R + λD + γC is the datum's term in the average J. They are
            not stacked, so that the gradient of one does not go back through the graph of the others.
        """

    def drawn(self, block: Block, generator: torch.Generator) -> Block:
        """The block with the noise that an update draws for it if J averages over noise, else the block as it is.

        Args:
            block: Some of the data.
            generator: Random number generator on the CPU.
        """


def sum_over_data(objective: OverData, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
    """J = Σ_blocks J_block with one block for each part of the data."""
    first, *others = (objective.block_energy(b, theta, lam, gamma, data_position) for b in objective.data.blocks())
    return first if not others else first + others[0]


@dataclass(frozen=True)
class BlockTerm:
    """What a block of the data adds to J, as a `Term`."""

    objective: OverData
    block: Block

    def __call__(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """Evaluate it."""
        return self.objective.block_energy(self.block, theta, lam, gamma, data_position)


def terms_of(objective: Objective, blocks: tuple[Block, ...]) -> tuple[Term, ...]:
    """The summands of J for given blocks of its data, or J itself if it is not a sum over data."""
    # They sum to J if the blocks are a partition, and to an estimate of J if they are a minibatch.
    if isinstance(objective, OverData):
        return tuple(BlockTerm(objective, block) for block in blocks)
    return (objective.free_energy,)


def no_kernel(theta: Vector) -> Rows:
    """The kernel of a model without continuous symmetries, shape (0, P)."""
    return theta.new_zeros((0, theta.shape[0]))
