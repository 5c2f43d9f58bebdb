"""J(θ, λ, γ, t): the one function from which R, D, C, ∇J, A and b follow by differentiation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector

if TYPE_CHECKING:
    from rdc_dyn.objective.data import Block, Data

Scalar = Float[Tensor, ""]
#: R, D and C of some data.
Functionals = tuple[Float[Tensor, "n"], Float[Tensor, "n"], Float[Tensor, "n"]]
#: A summand of J as a function of (θ, λ, γ, t).
Term = Callable[[Vector, Scalar, Scalar, Scalar], Scalar]


class Objective(Protocol):
    """A model with parameters θ and the free energy J that they minimise.

    For all kinds of encoder D = ∂J/∂λ and C = ∂J/∂γ at fixed θ, and R = J − λD − γC: for the Gibbs encoder by the
    envelope theorem, for the amortised one because J is linear in the multipliers, for importance weights between the
    two because that makes D and C self-normalised averages. So J is all that a member gives.

    Attributes:
        size: Number of parameters P.
        exact: Whether J holds the exact Gibbs encoder (a sum or integral over z) rather than a network encoder.
        weight_prior_precision: ρ of the weight prior ½ρ|θ|², which is added outside.
        moves: Whether J depends on the data position t.

    One whose J is linear in (λ, γ) at fixed θ may say so by a class attribute `linear`.
    """

    @property
    def size(self) -> int:
        """Number of parameters P."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the encoder is the exact Gibbs encoder."""
        ...

    @property
    def weight_prior_precision(self) -> float:
        """ρ of the weight prior."""
        ...

    @property
    def moves(self) -> bool:
        """Whether J depends on the data position."""
        ...

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J without the weight prior, in nats per datum; twice differentiable in all arguments."""
        ...

    def initial(self, generator: torch.Generator) -> Vector:
        """θ from which equilibration starts."""
        ...

    def kernel(self, theta: Vector) -> Rows:
        """Orthonormal directions along which J + ½ρ|θ|² is invariant at θ for all controls; shape (j, P)."""
        ...

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """Further numbers for the record: accuracy, losses on fresh noise, losses on the validation set."""
        ...


@runtime_checkable
class OverData(Objective, Protocol):
    """An objective that is a sum over data, so that it can be evaluated a block at a time."""

    @property
    def data(self) -> Data:
        """What the sum runs over."""
        ...

    def block_energy(self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """What some of the data add to J."""
        ...


@runtime_checkable
class PerDatum(OverData, Protocol):
    """A sum over data whose R, D and C are known of each datum, as the meter of a stochastic corrector needs."""

    def functionals(
        self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar
    ) -> Functionals:
        """(R, D, C) of each datum of a block, differentiable; R + λD + γC is what the datum adds to J.

        They are not stacked, so that the gradient of one of them does not go back through what the others need.
        """
        ...

    def drawn(self, block: Block, generator: torch.Generator) -> Block:
        """A block with what an update draws for it: new noise where J averages over noise."""
        ...


def sum_over_data(objective: OverData, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
    """J = Σ over the blocks of a partition of the data, one block of each part."""
    first, *others = (objective.block_energy(b, theta, lam, gamma, data_position) for b in objective.data.blocks())
    return first if not others else first + others[0]


def terms_of(objective: Objective, blocks: tuple[Block, ...]) -> tuple[Term, ...]:
    """The summands of J for given blocks of its data; J itself where it is no sum over data.

    Args:
        objective: J.
        blocks: Of the objective's data.

    Returns:
        Functions whose sum is J if the blocks are a partition, an estimate of J if they are a minibatch.
    """
    if isinstance(objective, OverData):
        return tuple(partial(objective.block_energy, block) for block in blocks)
    return (objective.free_energy,)


def no_kernel(theta: Vector) -> Rows:
    """The kernel of a model without continuous symmetries: shape (0, P)."""
    return theta.new_zeros((0, theta.shape[0]))
