"""A u = b for a symmetric A that is known only by its products v → A v."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.status import NumericalFailure, Status

_CHUNK = 64
#: What torch's allocator on a CPU, and the C++ library, say when memory runs out.
_NO_MEMORY = ("DefaultCPUAllocator", "bad_alloc", "Cannot allocate memory")

Vector = Float[Tensor, "P"]
Rows = Float[Tensor, "k P"]
Scalar = Float[Tensor, ""]
#: (λ, γ, t).
Controls = Float[Tensor, "3"]


class SymmetricOperator(Protocol):
    """A symmetric matrix A of size P x P, with the zero modes that its symmetries force on it."""

    @property
    def size(self) -> int:
        """P."""

    @property
    def kernel(self) -> Rows:
        """Orthonormal rows n with n·b = 0 for every right-hand side b that the objective can produce.

        Solvers seek u orthogonal to them. At an equilibrium A n = 0. Off it A n is of the order of the gradient; the
        solution of the restricted system still varies smoothly there, that of A u = b does not.
        """

    def mv(self, v: Vector) -> Vector:
        """A v."""

    def mm(self, rows: Rows) -> Rows:
        """A v for each row v, in one batched product."""


@runtime_checkable
class Formed(SymmetricOperator, Protocol):
    """A symmetric operator whose entries may be known in closed form."""

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """A, computed in `dtype` or that of θ, or None where only its products are known."""


@dataclass(frozen=True)
class LinearSolution:
    """Result of `LinearSolver.solve`.

    Attributes:
        value: One row u for each right-hand side; meaningless when `failure` is set.
        iterations: Products A v taken by the iteration and by first guesses, summed over right-hand sides; checks of
            the true residual are not counted.
        residual: Largest relative residual |b − A u| / |b|: the true one, or for a loose tolerance that of the
            recurrence, where the two cannot differ noticeably.
        left: r = b − A u of each row, known as well as `residual`.
        energy: rᵀ A⁻¹ r' of each pair of rows, as the preconditioner estimates it; zero for a direct method.
    """

    value: Rows
    failure: Status | None
    iterations: int
    residual: float
    left: Rows
    energy: Float[Tensor, "k k"]


class LinearSolver(Protocol):
    """Solves A u = b for several right-hand sides."""

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        """Solve A u = b for each row b of `rhs`.

        `rtol` bounds |b − A u| / |b| and defaults to the solver's own. `start` holds first guesses, zero by default.
        """


def all_finite(*tensors: Tensor) -> bool:
    """Whether every entry of these tensors is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@contextmanager
def decomposing() -> Iterator[None]:
    """Raise NON_FINITE in place of torch's own exception when a decomposition fails.

    That happens for entries that are not finite or whose squares overflow, for example.
    """
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise NumericalFailure(Status.NON_FINITE, f"a matrix could not be decomposed: {reason}") from None


@contextmanager
def allocating() -> Iterator[None]:
    """Raise MemoryError in place of torch's own exceptions when memory runs out.

    On a GPU that is `torch.OutOfMemoryError`; on a CPU it is a RuntimeError that only its text tells from others.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and not any(sign in text for sign in _NO_MEMORY):
            raise
        reason = (text.splitlines() or ["no reason given"])[0]
        raise MemoryError(reason[max(reason.find("DefaultCPUAllocator"), 0) :][:200]) from None


def require_memory(needed: float, what: str) -> None:
    """Raise MemoryError where something takes more bytes than the machine has.

    Linux may grant them, and kill the process when it writes to them.
    """
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > has:
        raise MemoryError(f"{what} take {needed / 1e9:.3g} GB, and it has {has / 1e9:.3g} GB")


def project_out(kernel: Rows, rows: Tensor) -> Tensor:
    """v − Nᵀ N v: the part of each row v (or of a single vector) orthogonal to the rows N of the kernel."""
    if kernel.shape[0] == 0:
        return rows
    return rows - (rows @ kernel.T) @ kernel


def products(operator: SymmetricOperator, rows: Rows, damping: float = 0.0) -> Rows:
    """(I − Nᵀ N) A v + damping v for each row v, in one product; a single row is spared the cost of a batch."""
    image = operator.mv(rows[0])[None] if rows.shape[0] == 1 else operator.mm(rows)
    return project_out(operator.kernel, image) + damping * rows


def chunked(operator: SymmetricOperator, rows: Rows) -> Rows:
    """A v for each of many rows v, in batches that a backward pass can hold; NON_FINITE if one is not finite."""
    image = torch.cat([operator.mm(batch) for batch in rows.split(_CHUNK)])
    if not all_finite(image):
        raise NumericalFailure(Status.NON_FINITE, "second derivatives")
    return image
