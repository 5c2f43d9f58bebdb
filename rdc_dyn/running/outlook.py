"""While the start is equilibrated: says once, halfway, where |∇J| will not be small enough in the steps there are."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field

from rdc_dyn.record import Event
from rdc_dyn.running.progress import Progress
from rdc_dyn.status import RunWarning

#: A descent is superlinear at its end, so that its pace before foretells up to ten times the steps that it takes
#: (digits VAEs of 623 and 2,110 parameters, 75 to 308 steps): only what is further off than this is told.
_MARGIN = 10.0


@dataclass
class Outlook:
    """Passes on the steps of an equilibration, and judges its second quarter by the fall of the lowest |∇J|.

    Attributes:
        progress: Receives the steps.
        tolerance: On |∇J|.
        steps: Those that Newton may take.
        clock: Process clock of the start.
    """

    progress: Progress
    tolerance: float
    steps: int
    clock: float
    _lowest: float = math.inf
    _quarter: tuple[float, float] = field(default=(math.nan, math.nan))
    _told: bool = False

    def __call__(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        """Take a step, with J and |∇J|."""
        self.progress.equilibrating(phase, step, free_energy, residual)
        if phase != "newton":
            return
        self._lowest = min(self._lowest, residual)
        quarter = self.steps // 4
        if step == quarter:
            self._quarter = self._lowest, time.monotonic()
        elif step == 2 * quarter and quarter and not self._told:
            self._told = True
            self._judge(quarter)

    def _judge(self, quarter: int) -> None:
        if self._lowest <= self.tolerance:
            return
        before, since = self._quarter
        fall, left = math.log(before / self._lowest), math.log(self._lowest / self.tolerance)
        more = quarter * left / fall if fall > 0 else math.inf
        if more <= _MARGIN * self.steps:
            return
        minutes = (time.monotonic() - since) / quarter * more / 60
        when = f"take {more:.2g} more ({minutes:.2g} min) to reach" if math.isfinite(more) else "never reach"
        text = (
            f"the start may not become an equilibrium: |grad J| is {self._lowest:.1e} after {2 * quarter} of "
            f"{self.steps} steps, and at the pace of the last {quarter} it would {when} {self.tolerance:.1e}; raise "
            "start.equilibrate.adam_steps or objective.weight_prior_precision, or loosen start.equilibrate.tolerance"
        )
        warnings.warn(text, RunWarning, stacklevel=2)
        self.progress.event(Event("warning", self.clock, text, {}))
