"""The functional that a process holds."""

from __future__ import annotations

from collections.abc import Iterator

from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Finite, Section
from rdc_dyn.scenario.tree import Tree, number, section


class Held(Section):
    """Weights a, b, c of the functional a R + b D + c C that stays constant."""

    rate: Finite = 0.0
    distortion: Finite = 0.0
    classification_loss: Finite = 0.0

    @property
    def weights(self) -> tuple[float, float, float]:
        """(a, b, c)."""
        return self.rate, self.distortion, self.classification_loss

    @staticmethod
    def something(tree: Tree, path: Path) -> Iterator[Finding]:
        """Nothing to say where the section `hold` of a process has a weight."""
        hold = section(tree, *path, "hold")
        if hold and not any(map(number, hold.values())):
            yield Finding((*path, "hold"), "nothing is held; give rate, distortion or classification_loss a weight")
