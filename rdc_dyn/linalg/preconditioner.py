"""M ≈ A⁻¹, symmetric positive definite, kept along the path."""

from __future__ import annotations

from typing import Protocol

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector, project_out
from rdc_dyn.linalg.factorisation import Factorisation, materialise


class Preconditioner(Protocol):
    """An approximate inverse that is built when it is first needed and rebuilt when it has aged."""

    def prepare(self, operator: SymmetricOperator) -> None:
        """Build the preconditioner at this operator if there is none or if it has aged."""
        ...

    def refresh(self, operator: SymmetricOperator) -> bool:
        """Rebuild it now; False where that cannot help."""
        ...

    def apply(self, v: Vector) -> Vector:
        """M v."""
        ...

    def report(self, iterations: int) -> None:
        """Tell how many iterations a solve took."""
        ...


class Identity:
    """M = I."""

    def prepare(self, operator: SymmetricOperator) -> None:
        """Nothing to build."""

    def refresh(self, operator: SymmetricOperator) -> bool:
        """Nothing to rebuild; returns False."""
        return False

    def apply(self, v: Vector) -> Vector:
        """Return v itself."""
        return v

    def report(self, iterations: int) -> None:
        """Nothing to learn from it."""


class Factorised:
    """M = |A₀|⁻¹ with A₀ factorised at an earlier state, refreshed after a solve that took too many iterations.

    Args:
        damping: Added to A₀, as to A.
        refresh_after: A solve with more iterations than this makes the next one start with a new factor.
    """

    def __init__(self, damping: float = 0.0, refresh_after: int = 30) -> None:
        self.damping = damping
        self.refresh_after = refresh_after
        self.factorisations = 0
        self._factor: Factorisation | None = None
        self._kernel: Rows | None = None
        self._fresh = False
        self._aged = False

    @property
    def factor(self) -> Factorisation:
        """The factor in use."""
        assert self._factor is not None, "prepare() first"
        return self._factor

    def prepare(self, operator: SymmetricOperator) -> None:
        """Factorise A at `operator` if there is no factor yet or the last solve was slow."""
        if self._factor is None or self._aged:
            self.refresh(operator)
        else:
            self._fresh = False
        self._kernel = operator.kernel

    def refresh(self, operator: SymmetricOperator) -> bool:
        """Factorise A at `operator`; False where the factor already is of this operator."""
        if self._fresh:
            return False
        self._factor = Factorisation.of(materialise(operator, self.damping))
        self._kernel = operator.kernel
        self.factorisations += 1
        self._fresh, self._aged = True, False
        return True

    def apply(self, v: Vector) -> Vector:
        """|A₀|⁻¹ v, kept orthogonal to the zero modes of the operator at hand."""
        assert self._kernel is not None, "prepare() first"
        v = project_out(self._kernel, v)
        return project_out(self._kernel, self.factor.modified_solve(v[None])[0])

    def report(self, iterations: int) -> None:
        """Remember whether the last solve was slow."""
        self._aged = self._aged or (iterations > self.refresh_after and not self._fresh)
