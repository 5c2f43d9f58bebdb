"""M ≈ A⁻¹ kept along a path of slowly changing A: rarely rebuilt, and updated by what solves learn about A."""

import math
import weakref
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector, project_out
from rdc_dyn.linalg.limited_memory import ConjugatePairs, LimitedMemory
from rdc_dyn.linalg.recipe import Approximation, Identity, Recipe


@dataclass(frozen=True)
class Learned:
    """A snapshot of what a preconditioner knows, small enough to be stored: where M was built, not M itself.

    A factor has P² numbers; rebuilt at the same place, it is the same to the last bit.

    Attributes:
        place: θ and controls where M was built; None if it was not built, or for an operator without a state.
        here: Whether that is the operator at hand.
        kernel: Zero modes in force.
        s: Directions of the pairs.
        y: Their images A s.
        scale: γ of the updates.
        price: Products that a build takes.
        first: Products that the first solve after the build took for each right-hand side.
        rent: Products beyond those since then.
        products: Products taken by all builds.
    """

    place: tuple[Vector, Tensor] | None
    here: bool
    kernel: Rows | None
    s: Rows | None
    y: Rows | None
    scale: float
    price: int
    first: float | None
    rent: float
    builds: int
    products: int


class Preconditioner:
    """A recipe's approximation M, the pairs y = A s learned since, and the rule that decides when to rebuild M.

    Updates: pairs of the last solves turn M into a limited-memory BFGS inverse (Morales & Nocedal 2000).

    Rule, rent or buy: the first solve after a build shows what M can do. What later solves take beyond that, for each
    right-hand side, is rent for an old M. When the rent since the build exceeds `patience` times the price of a build,
    both in products A v, the next `prepare` rebuilds. With a patience of 1 the total is never more than about twice
    that of the best moments to rebuild, whatever the path does.

    Attributes:
        memory: Pairs kept; 0 switches updates off.
        patience: Ratio of rent to price at which M is rebuilt; infinity: never.
        products: Products A v taken by all builds.
    """

    def __init__(self, recipe: Recipe | None = None, memory: int = 0, patience: float = math.inf) -> None:
        self.recipe: Recipe = Identity() if recipe is None else recipe
        self.memory = memory
        self.patience = patience
        self.builds = 0
        self.products = 0
        self._base: Approximation | None = None
        self._update: LimitedMemory | None = None
        self._kernel: Rows | None = None
        self._built_at: weakref.ref[SymmetricOperator] | None = None
        self._place: tuple[Vector, Tensor] | None = None
        self._price = 0
        self._first: float | None = None
        self._rent = 0.0

    @property
    def window(self) -> int:
        """Number of pairs wanted from a solve: the first ones, which the worst directions of M dominate.

        Measured on paths of matrices with network-like spectra (condition number 1e6, 40 large eigenvalues, changes of
        0.3 and 2 per cent a step), with 20 pairs kept, for a factor and for Nyström of rank 60 and 20. In products
        relative to no updates, the first 20 pairs took 0.45 to 0.61, the worst 20 of all by Ritz values 0.29 to 0.92,
        and the worst 20 of the first 40 took 0.28 to 0.83; 20 spread evenly were no better than none for Nyström.
        """
        return 2 * self.memory

    @property
    def ready(self) -> bool:
        """Whether M can be applied."""
        return self._base is not None and self._kernel is not None

    def built_at(self, operator: SymmetricOperator) -> bool:
        """Whether M is that of this very operator, or the same for every operator."""
        here = self._built_at is not None and self._built_at() is operator
        return self._base is not None and (here or not self.recipe.products(operator.size))

    def prepare(self, operator: SymmetricOperator) -> None:
        """Take over the kernel of this operator, and build M there if there is none or the rule says so."""
        self._kernel = operator.kernel
        if self._base is None or (self._price and self._rent > self.patience * self._price):
            self._build(operator)

    def refresh(self, operator: SymmetricOperator) -> bool:
        """Build M at this operator now, and return whether that changed anything.

        False means that M is already that of this very operator, or the same for every operator.
        """
        if self.built_at(operator):
            return False
        self._kernel = operator.kernel
        self._build(operator)
        return True

    def apply(self, v: Float[Tensor, "*k P"]) -> Float[Tensor, "*k P"]:
        """M v for a vector or for each row, orthogonal to the zero modes of the operator at hand."""
        assert self._kernel is not None, "prepare() first"
        rows = project_out(self._kernel, v.reshape(-1, v.shape[-1]))
        return project_out(self._kernel, self._inverse(rows)).reshape(v.shape)

    def learn(self, s: Rows, y: Rows) -> None:
        """Take pairs y = A s of the operator at hand into M, as newer than all pairs before.

        Only the first `window` pairs count; directions without safely positive curvature are left out.
        """
        if not self.memory or not len(s):
            return
        s, y = s[: self.window], y[: self.window]
        pairs = ConjugatePairs.of(s, y, self._base_inverse, self.memory)
        if pairs is None:
            return
        old = self._update
        if old is not None:
            room = self.memory - len(pairs.s)
            s = torch.cat([old.s[max(0, len(old.s) - room) :], pairs.s])
            y = torch.cat([old.y[max(0, len(old.y) - room) :], pairs.y])
        else:
            s, y = pairs.s, pairs.y
        self._update = LimitedMemory.of(s, y, pairs.scale)

    def report(self, products: int, rhs: int = 1) -> None:
        """Record how many products a solve took, and for how many right-hand sides."""
        if self._first is None:
            self._first = products / rhs
        self._rent += max(0.0, products - self._first * rhs)

    def most_negative(self, operator: SymmetricOperator) -> tuple[float, Vector] | None:
        """Most negative eigenvalue of A and its eigenvector; None where there is none or the recipe cannot tell.

        M is first built at A if it is not yet.
        """
        if not self.recipe.spectral:
            return None
        self.refresh(operator)
        assert self._base is not None
        return self._base.most_negative

    def learned(self, operator: SymmetricOperator) -> Learned:
        """Snapshot for `restore` at the operator at hand; later builds and solves do not change it."""
        update = self._update
        return Learned(
            place=self._place if self._base is not None else None,
            here=self._built_at is not None and self._built_at() is operator,
            kernel=self._kernel,
            s=None if update is None else update.s,
            y=None if update is None else update.y,
            scale=1.0 if update is None else update.scale,
            price=self._price,
            first=self._first,
            rent=self._rent,
            builds=self.builds,
            products=self.products,
        )

    def restore(self, learned: Learned, operator: SymmetricOperator | None) -> None:
        """Return to a snapshot, rebuilding M at `operator`.

        `operator` is A at `learned.place`, and the operator at hand itself if `learned.here`; None without a place.
        """
        if operator is not None:
            self._build(operator)
        if learned.s is not None and learned.y is not None:
            self._update = LimitedMemory.of(learned.s, learned.y, learned.scale)
        self._kernel, self._price, self._first, self._rent = learned.kernel, learned.price, learned.first, learned.rent
        self.builds, self.products = learned.builds, learned.products

    def _build(self, operator: SymmetricOperator) -> None:
        self._base = self.recipe.build(operator)
        self._update, self._first, self._rent = None, None, 0.0
        self._price = self.recipe.products(operator.size)
        self._built_at = weakref.ref(operator)
        theta, controls = getattr(operator, "theta", None), getattr(operator, "controls", None)
        self._place = None if theta is None or controls is None else (theta, controls)
        self.builds += 1
        self.products += self._price

    def _base_inverse(self, rows: Rows) -> Rows:
        assert self._base is not None, "prepare() first"
        return self._base.apply(rows)

    def _inverse(self, rows: Rows) -> Rows:
        return self._base_inverse(rows) if self._update is None else self._update.apply(self._base_inverse, rows)
