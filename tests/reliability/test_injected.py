"""The n-th operation on a file fails, tears or is the last one, for n = 0, 1, 2, ... until a run passes untouched.

The seed decides how a write tears and which error is raised; with fault and number it replays a failure.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.read.verify import verify
from rdc_dyn.store.run_directory import DIGESTS
from tests.reliability.made import (
    ABORTED,
    FAULTS,
    PASSED,
    TREE,
    Here,
    begin_or_resume,
    finish,
    same_bits,
    spawn,
    temporaries,
    with_fault,
)
from tests.tiny import linear_gaussian

SEED = int(os.environ.get("RDC_DYN_FAULT_SEED", "0"))
#: Half the work of `TREE` for nearly as many operations, since every fault of a sweep takes four runs.
_SWEPT = linear_gaussian(
    start={"equilibrate": {"adam_steps": 5}}, process={"span": [0.0, 0.2]}, output={"checkpoint_every": 1}
)
_GRID = {"start.gamma": [1.0, 1.2]}


def _sweep(path: Path) -> None:
    result = rdc_dyn.sweep(_SWEPT, _GRID, output=path, executor=Here(), threads=1, retry_failed=True)
    for point in result.failed:
        raise rdc_dyn.DataError(point.message)


def _report(run: Path, page: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(run), "-o", str(page)])
    if result.exit_code:
        raise rdc_dyn.DataError(result.output.strip())


def _faults(each: int, work: Callable[[int], tuple[Any, ...]], check: Callable[[int, str], None]) -> int:
    """Let every `each`-th operation meet each fault, until none is left to meet it; the number of faults."""
    met = 0
    for fault in FAULTS:
        for at in range(FAULTS.index(fault), 10_000, each):
            process = spawn(with_fault, fault, at, SEED, *work(at))
            process.join(120)
            if process.exitcode == PASSED:
                break
            assert process.exitcode in (0, 2, 4, ABORTED), f"{fault} at {at}, seed {SEED}: {process.exitcode}"
            check(at, f"{fault} at operation {at}, seed {SEED}")
            met += 1
    print(f"{met} faults injected, seed {SEED}")
    return met


def _is_sound(run: Path) -> None:
    """Whatever happened, a run directory opens or says why not, and nothing in it counts as damaged."""
    if not (run / "log.jsonl").exists():
        return
    try:
        rdc_dyn.open_run(run)
    except rdc_dyn.DataError as error:
        assert "\n" not in str(error)
    ending = not (run / DIGESTS).exists()  # it may have died while it ended
    wrong = [f for f in verify(run) if f.verdict == "FAILED" and not (ending and f.name == DIGESTS)]
    assert not wrong


def _run_faults(scratch: Path, each: int) -> int:
    whole = finish(scratch / "whole", TREE)

    def check(at: int, told: str) -> None:
        run = scratch / f"{at}"
        _is_sound(run)
        assert same_bits(finish(run, TREE), whole), told
        assert not temporaries(run), told
        assert not [f for f in verify(run) if f.verdict == "FAILED"], told
        shutil.rmtree(run)

    def work(at: int) -> tuple[Any, ...]:
        shutil.rmtree(scratch / f"{at}", ignore_errors=True)
        return begin_or_resume, scratch / f"{at}", TREE

    return _faults(each, work, check)


def _resume_faults(scratch: Path, each: int) -> int:
    whole, stopped = finish(scratch / "whole", TREE), scratch / "stopped"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdc_dyn.run(TREE, stopped, max_time=1e-9)

    def work(at: int) -> tuple[Any, ...]:
        shutil.rmtree(scratch / f"{at}", ignore_errors=True)  # of a fault before that came too late
        shutil.copytree(stopped, scratch / f"{at}")
        return begin_or_resume, scratch / f"{at}", TREE

    def check(at: int, told: str) -> None:
        run = scratch / f"{at}"
        _is_sound(run)
        assert same_bits(finish(run, TREE), whole), told
        assert not temporaries(run), told
        shutil.rmtree(run)

    return _faults(each, work, check)


def _sweep_faults(scratch: Path, each: int) -> int:
    _sweep(scratch / "whole")
    names = sorted(path.name for path in (scratch / "whole" / "runs").iterdir())
    wholes = {name: rdc_dyn.open_run(scratch / "whole" / "runs" / name) for name in names}

    def check(at: int, told: str) -> None:
        path = scratch / f"{at}"
        process = spawn(_sweep, path)
        process.join(120)
        assert process.exitcode == 0, told
        for name, whole in wholes.items():
            again = rdc_dyn.open_run(path / "runs" / name)
            assert same_bits(again, whole), told
        assert sorted(run.name for run in (path / "runs").iterdir()) == names
        shutil.rmtree(path)

    def work(at: int) -> tuple[Any, ...]:
        shutil.rmtree(scratch / f"{at}", ignore_errors=True)
        return _sweep, scratch / f"{at}"

    return _faults(each, work, check)


def _report_faults(scratch: Path, each: int) -> int:
    run, page = scratch / "run", scratch / "page.html"
    finish(run, TREE)
    page.write_text("the old page")

    def check(at: int, told: str) -> None:
        text = page.read_text()
        assert text == "the old page" or text.rstrip().endswith("</html>"), told
        assert not [f for f in verify(run) if f.verdict == "FAILED"], told
        page.write_text("the old page")
        for left in scratch.glob(".page.html.tmp-*"):
            left.unlink()

    return _faults(each, lambda at: (_report, run, page), check)


_COMMANDS = {"run": _run_faults, "resume": _resume_faults, "sweep": _sweep_faults, "report": _report_faults}


def test_some_faults(scratch: Path) -> None:
    assert _resume_faults(scratch, 149) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("command", _COMMANDS)
def test_every_fault(scratch: Path, command: str) -> None:
    assert _COMMANDS[command](scratch, 1) >= 10
