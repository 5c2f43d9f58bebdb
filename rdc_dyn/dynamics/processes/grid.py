"""λ(s) and γ(s) from node to node of a grid, row by row, back and forth."""

import math
from dataclasses import dataclass
from typing import Literal

from rdc_dyn.dynamics.processes.base import Process, SurfacePoint, Triple
from rdc_dyn.linalg.base import Controls


@dataclass(frozen=True)
class Grid(Process):
    """Lemma 5 along the straight lines between the nodes of a grid in (λ, γ), of which node n is reached at s = n.

    Attributes:
        along: The multiplier that changes from node to node; the other one changes from row to row.
    """

    span: tuple[float, float]
    lam: tuple[float, ...]
    gamma: tuple[float, ...]
    along: Literal["lam", "gamma"]
    data_position: float = 0.0
    by_nodes = True

    def node(self, number: int) -> tuple[int, int]:
        """The indices into λ and γ of a node, by the order of visits."""
        size = len(self.lam if self.along == "lam" else self.gamma)
        row, place = divmod(number, size)
        place = size - 1 - place if row % 2 else place
        return (place, row) if self.along == "lam" else (row, place)

    def _line(self, s: float) -> tuple[tuple[float, float], tuple[float, float], float]:
        """The ends of the line on which the clock is, and how far along it is; at a node, of the line that follows."""
        number = min(math.floor(s), int(self.span[1]) - 1)
        first, second = ((self.lam[i], self.gamma[j]) for i, j in (self.node(number), self.node(number + 1)))
        return first, second, s - number

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(λ̇, γ̇, 0) of the line; M plays no part."""
        first, second, _ = self._line(s)
        return here.matrix.new_tensor([b - a for a, b in zip(first, second)] + [0.0])

    def prescribed(self, s: float, like: Controls) -> Controls:
        """(λ(s), γ(s), t)."""
        first, second, share = self._line(s)
        return like.new_tensor([(1 - share) * a + share * b for a, b in zip(first, second)] + [self.data_position])
