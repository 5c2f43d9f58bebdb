"""kill -9 at any moment, resume, kill, resume: the trajectory is that of a run which was never stopped, to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.reliability.made import SCENARIOS, draws, duration, finish, kill_after, same_bits, start, temporaries


def _killed_twice(scratch: Path, kind: str, times: int) -> None:
    tree, rng = SCENARIOS[kind], draws(times)
    seconds, whole = duration(scratch / "whole", tree)
    assert whole.attrs["status"] == "COMPLETED"
    for number in range(times):
        run, killed = scratch / f"{number}", 0
        while killed < 2:
            if kill_after(start(run, tree), rng.uniform(0.0, seconds)):
                killed += 1
            else:  # it was over before: not so late the next time, and from the beginning
                killed, seconds = 0, 0.8 * seconds
                shutil.rmtree(run)
        again = finish(run, tree)
        assert same_bits(again, whole), f"run {number} differs"
        assert not temporaries(run)


def test_a_run_is_killed_twice(scratch: Path) -> None:
    _killed_twice(scratch, next(iter(SCENARIOS)), 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENARIOS)
def test_twenty_runs_are_killed_twice(scratch: Path, kind: str) -> None:
    _killed_twice(scratch, kind, 20)
