"""J that holds the Gibbs encoder itself: exact sums over a finite alphabet, or linear-Gaussian models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Count, Matrix, NonNegative, Positive
from rdc_dyn.scenario.sections.correctors import CORRECTORS
from rdc_dyn.scenario.sections.networks import LikelihoodSection
from rdc_dyn.scenario.sections.objectives import ObjectiveSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section
from rdc_dyn.status import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from rdc_dyn.objective import Objective
    from rdc_dyn.objective.closed_form import ClosedForm
    from rdc_dyn.scenario.context import Context

_SYMMETRY = 1e-12  # relative: a product such as X'X / n is not symmetric to the last bit
_SEMIDEFINITE = 1e-10  # relative to the largest eigenvalue: rounding of a singular second moment


class TableDecoder(LikelihoodSection):
    """One distribution d(x|z) for each z of a finite alphabet, free or held fixed."""

    kind: Literal["table"] = "table"
    outputs: Matrix | None = Field(
        default=None, description="a row for each code, held fixed: means, or logits of bernoulli; null: free"
    )


class FiniteLatentSection(ObjectiveSection):
    """J = -E log Z with exact Gibbs sums over z in a finite alphabet; prior, decoder and classifier are free."""

    kind: Literal["finite_latent"]
    alphabet_size: Annotated[int, Field(ge=2)] = Field(description="number of codes")
    decoder: TableDecoder = Field(description="a mean for each code")
    weight_prior_precision: NonNegative = Field(
        default=1e-3, description="rho of the weight prior rho/2 |theta|^2 in J"
    )
    exact = True

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import FiniteLatent

        own = self.decoder.density()
        data = context.data(own)
        self.require_data(len(data.source))
        rows = self.decoder.outputs
        if rows is not None and [len(row) for row in rows] != [data.x_dim] * self.alphabet_size:
            wanted = f"{self.alphabet_size} rows of {data.x_dim} numbers, one for each code"
            raise DataError(f"objective.decoder.outputs: expected {wanted}")
        outputs = None if rows is None else context.like.new_tensor(rows)
        return FiniteLatent(data, self.alphabet_size, own, self.weight_prior_precision, outputs=outputs)

    def require_data(self, count: int) -> None:
        """Each code begins with a datum of its own."""
        if self.alphabet_size > count:
            raise DataError(f"objective.alphabet_size: {self.alphabet_size} codes for {count} data")


class LinearGaussianSection(ObjectiveSection):
    """J = -E log Z for linear-Gaussian decoder and classifier; only second moments of (x, y) enter."""

    kind: Literal["linear_gaussian"]
    x_dim: Count = Field(description="components of x")
    y_dim: Count = Field(description="components of y")
    latent_dim: Count = Field(description="components of the code z")
    distortion_variance: Positive = Field(description="variance of x given z")
    label_variance: Positive = Field(description="variance of y given z")
    source_second_moment: Matrix = Field(description="E[(x, y)(x, y)^T] of the source, x_dim + y_dim each way")
    target_second_moment: Matrix | None = Field(default=None, description="that of the target, for transfers")
    weight_prior_precision: NonNegative = Field(default=0.0, description="rho of the weight prior rho/2 |theta|^2 in J")
    exact = True
    samples_data = False
    target = ("objective", "target_second_moment")

    @property
    def closed_form(self) -> bool:
        """Without a weight prior."""
        return self.weight_prior_precision == 0

    def build(self, context: Context) -> Objective:
        """J of the second moments."""
        from rdc_dyn.objective import LinearGaussian

        like, data = context.like, context.scenario.data

        def moment(rows: Matrix) -> Tensor:
            return like.new_tensor(rows)

        return LinearGaussian(
            x_dim=self.x_dim,
            y_dim=self.y_dim,
            latent_dim=self.latent_dim,
            distortion_variance=self.distortion_variance,
            label_variance=self.label_variance,
            source=moment(self.source_second_moment),
            target=None if self.target_second_moment is None else moment(self.target_second_moment),
            path="mixture" if data is None else data.path,
            weight_prior_precision=self.weight_prior_precision,
        )

    def optimum(self, path: Literal["mixture", "optimal_transport"]) -> ClosedForm | None:
        """F by eigenvalues, without a weight prior."""
        import numpy as np

        from rdc_dyn.objective.closed_form import ClosedForm, displaced, mixture

        rows = self.target_second_moment
        source, target = np.array(self.source_second_moment), None if rows is None else np.array(rows)
        moments = mixture(source, target) if target is None or path == "mixture" else displaced(source, target)
        dims, variances = (self.x_dim, self.y_dim, self.latent_dim), (self.distortion_variance, self.label_variance)
        return ClosedForm(dims, variances, moments) if self.closed_form else None

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Moments are moments, and nothing draws minibatches of data that are not there."""
        yield from super().check(tree, path)
        own = section(tree, *path)
        dims = [dim for dim in (own.get("x_dim"), own.get("y_dim")) if type(dim) is int and dim > 0]
        for key in ("source_second_moment", "target_second_moment") if len(dims) == 2 else ():
            message = _moment_mistake(own.get(key), sum(dims))
            if message:
                yield Finding((*path, key), message)
        yield from _without_data(section(tree, "corrector"), section(tree, "start", "equilibrate"))


def _without_data(corrector: Tree, equilibrate: Tree) -> Iterator[Finding]:
    method, member = corrector.get("method"), CORRECTORS.of(corrector)
    if member is not None and member.stochastic:
        message = f"{method} draws minibatches, and the objective 'linear_gaussian' has no data; use newton_krylov"
        yield Finding(("corrector", "method"), message)
        return
    for place, own in ((("corrector", "batch"), corrector), (("start", "equilibrate", "batch"), equilibrate)):
        if own.get("batch") is not None:
            yield Finding(place, "the objective 'linear_gaussian' has no data to draw from; leave it out", at_key=True)
    if member is not None and member.needs_data and corrector.get("batch") is None:
        message = f"{method} draws minibatches, and the objective 'linear_gaussian' has no data"
        yield Finding(("corrector", "method"), message)


def _moment_mistake(matrix: Any, size: int) -> str:
    """What is wrong with a second moment, or an empty text."""
    if not isinstance(matrix, list) or not all(isinstance(row, list) for row in matrix):
        return ""
    lengths = {len(row) for row in matrix}
    if len(matrix) != size or lengths != {size}:
        got = f"{len(matrix)} rows of {' or '.join(map(str, sorted(lengths))) or 'no'} numbers"
        return f"must be {size} x {size}, x_dim + y_dim each way, got {got}"
    if any(number(item) is None for row in matrix for item in row):
        return ""
    largest = max(abs(item) for row in matrix for item in row)
    for i in range(size):
        for j in range(i):
            if abs(matrix[i][j] - matrix[j][i]) > _SYMMETRY * largest:
                return f"must be symmetric, but the numbers at ({i}, {j}) and ({j}, {i}) differ"
    import numpy as np  # only here: validating other scenarios stays fast

    eigenvalues = np.linalg.eigvalsh(np.array(matrix, dtype=float) / (float(largest) or 1.0)) * float(largest)
    if eigenvalues[0] < -_SEMIDEFINITE * max(abs(eigenvalues[-1]), abs(eigenvalues[0])):
        return f"must be positive semidefinite, but has the eigenvalue {float(eigenvalues[0]):.3g}"
    return ""
