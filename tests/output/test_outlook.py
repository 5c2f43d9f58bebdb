"""Halfway through the equilibration of the start, whether |∇J| will be small enough in the steps that there are."""

from __future__ import annotations

import math
import warnings

import pytest

from rdc_dyn.record import Event
from rdc_dyn.running.progress import Outlook, Silent
from rdc_dyn.status import RunWarning


class _Kept(Silent):
    def __init__(self) -> None:
        self.steps, self.events = list[int](), list[Event]()

    def equilibrating(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        self.steps.append(step)

    def event(self, event: Event) -> None:
        self.events.append(event)


def _told(residual: float, decay: float, steps: int = 200, phase: str = "newton") -> list[Event]:
    kept = _Kept()
    watch = Outlook(kept, 1e-8, steps, 0.5)
    for step in range(steps):
        for _ in range(2 if step == steps // 2 else 1):  # L-BFGS hands the step on at which it stalls
            watch(phase, step, 1.0, residual * math.exp(-decay * step))
    assert sorted({*kept.steps}) == list(range(steps))
    return kept.events


@pytest.mark.parametrize(("decay", "words"), [(0.0, "never"), (-0.01, "never"), (1e-3, "take 1.8e+04 more")])
def test_a_start_that_is_too_slow_is_named_once_with_the_steps_it_would_take(decay: float, words: str) -> None:
    with pytest.warns(RunWarning, match=r"may not become an equilibrium: .* after 100 of 200 steps"):
        (event,) = _told(1.0, decay)
    assert words in event.text and event.kind == "warning" and event.time == 0.5


@pytest.mark.parametrize("given", [(1.0, 0.1), (1e-8, 0.0), (0.0, 0.0), (1.0, 0.0, 3), (1.0, 0.0, 200, "adam")])
def test_nothing_is_said_of_one_that_falls_or_is_short_or_of_adam(given: tuple[float, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not _told(*given)  # type: ignore[arg-type]
