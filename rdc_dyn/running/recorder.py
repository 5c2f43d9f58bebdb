"""Turn points and events of a simulation into records and checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import xarray as xr

from rdc_dyn.record import Event
from rdc_dyn.running.build import Built
from rdc_dyn.running.progress import Progress
from rdc_dyn.running.signals import Signals
from rdc_dyn.scenario import Scenario
from rdc_dyn.simulate import (
    Frozen,
    Point,
    Problem,
    Training,
    aimed,
    collapsed,
    freeze,
    freeze_training,
    noise_gap,
    saddle,
    to_record,
)
from rdc_dyn.status import RESUMABLE, warn
from rdc_dyn.store.checkpoint import Checkpoint
from rdc_dyn.store.log import Mark
from rdc_dyn.store.run_writer import Store

#: Seconds between two checkpoints of a start that is being trained.
_SELDOM = 60.0


@dataclass(frozen=True)
class Arrival:
    """A point as it arrived, before its diagnostics.

    Attributes:
        state: What the rest of the path depends on.
        log: The end of the log before it.
        warned: Warnings already given: `noise` (the model memorises its frozen noise), `saddle` and `collapse`.
    """

    point: Point
    state: Frozen
    log: Mark
    warned: frozenset[str]


@dataclass
class Recorder:
    """Records points as they arrive.

    A checkpoint holds a point as it arrived, and a run that resumes from there records that point first. It therefore
    does not matter when a run is stopped, even in the middle of the diagnostics of a point.

    Attributes:
        problem: The problem of `built`, with the slope of a geodesic that aims once that is known.
        signals: Defers signals while something is written.
        warned: Warnings already given, as in `Arrival`.
        unrecorded: The last point, if it has not been recorded.
        last: The last point as it arrived.
        training: What the start had come to when it last said so, and when that was last written.
        checkpointed: Index of the last point with a checkpoint, or -1.
        rebuild: Builds the scenario's problem anew, if that is possible.
    """

    scenario: Scenario
    built: Built
    problem: Problem
    store: Store
    progress: Progress
    signals: Signals = field(default_factory=Signals)
    warned: frozenset[str] = frozenset()
    unrecorded: Point | None = None
    last: Arrival | None = None
    training: Frozen | None = None
    written: float = field(default_factory=time.monotonic)
    checkpointed: int = -1
    rebuild: Callable[[Scenario], Built] | None = None

    def has(self, point: Point) -> bool:
        """Whether this very point has arrived before, and been recorded if it was due."""
        return self.last is not None and self.last.point is point and self.unrecorded is not point

    def release(self) -> None:
        """Release everything that holds graphs, except what is needed to restore the last point."""
        if self.last is not None:
            self.last = replace(self.last, point=replace(self.last.point, at=None))  # type: ignore[arg-type]
        self.problem = self.built.problem

    def restart(self, built: Built, problem: Problem, point: Point | None) -> None:
        """Continue with another build of the same problem, restored at the last point (None if there was none)."""
        self.built, self.problem = built, problem
        with self.signals.held():
            self.store.begin(dict(self.store.attributes) | built.choices)
        if self.last is not None and point is not None:
            self.last = replace(self.last, point=point)
            self.unrecorded = None if self.unrecorded is None else point

    def point(self, point: Point, *, resumed: bool = False) -> None:
        """Take a point: write a checkpoint if one is due, then its record if that is due.

        A `resumed` point comes from a checkpoint, so that one is not written again.
        """
        kept = point.index % self.scenario.output.every == 0 or bool(point.jump)
        turn = kept and self._turn and not resumed
        self.last = Arrival(point, freeze(self.problem, point), self.store.mark(), self.warned)
        if resumed:
            self.checkpointed = point.index
        if turn:
            self._checkpoint()
        self.unrecorded = point
        if kept:
            self._record(point)

    def train(self, training: Training) -> None:
        """Keep what the start has come to, and write it now and then."""
        self.training = freeze_training(self.problem, training)
        if time.monotonic() - self.written > _SELDOM:
            self._checkpoint()

    @property
    def _turn(self) -> bool:
        return self.store.count % self.scenario.output.checkpoint_every == 0

    def _record(self, point: Point) -> None:
        start, end = self.scenario.process.span
        record = to_record(self.problem, point, stability=self._turn or point.time == end)
        with self.signals.held():
            self.unrecorded = None
            self.store.record(record)
        self.progress.record(record, (point.time - start) / (end - start))
        warnings_ = (noise_gap(record), saddle(self.problem, record), collapsed(self.problem, record))
        for name, warning in zip(("noise", "saddle", "collapse"), warnings_):
            if warning is not None and name not in self.warned:
                self.warned |= {name}
                warn(warning.text)
                self.event(warning)

    def event(self, event: Event) -> None:
        """Keep an event, log it and show it."""
        if event.kind == "collapsed":
            self.warned |= {"collapse"}
            warn(event.text)
        if event.kind == "aimed":
            self.problem = aimed(self.problem, event.values["slope"])
        with self.signals.held():
            self.store.event(event)
        self.progress.event(event)

    def complete(self) -> None:
        """Record the last point even if it is not due, since nothing comes after it."""
        if self.unrecorded is not None:
            self._record(self.unrecorded)

    def finish(self, end: Event) -> xr.Dataset:
        """Checkpoint the last point as it arrived, log the end and return the trajectory."""
        whole = end.values["status"] not in RESUMABLE
        if (self.last is None and not whole) or (self.last is not None and self.last.point.index != self.checkpointed):
            self._checkpoint()
        self.event(end)
        with self.signals.held():
            return self.store.finish(theta=not whole or self.scenario.output.theta != "none")

    def _checkpoint(self) -> None:
        """Write the last point, or before the first one what the start has come to, in the first one's place."""
        last = self.last
        if last is None:
            index, state, log, warned = 0, self.training, self.store.mark(), self.warned
        else:
            index, state, log, warned = last.point.index, last.state, last.log, last.warned
        if state is None or not self.store.lasting:
            return
        checkpoint = Checkpoint(
            tensors=state.tensors,
            values=dict(state.values) | {"warned": sorted(warned)},
            objective=f"{self.scenario.objective.kind} {self.built.data_digest}",
            log=log,
        )
        with self.signals.held():
            self.store.checkpoint(index, checkpoint)
            self.checkpointed, self.written = -1 if last is None else index, time.monotonic()
