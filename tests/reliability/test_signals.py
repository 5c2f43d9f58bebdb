"""The second SIGINT ends the process at once, within a long library call too, but not within a commit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rdc_dyn

ROOT = Path(rdc_dyn.__file__).parents[1]
_RUN = """
import sys, time
import click, torch
from rdc_dyn.cli.shared import Program, listen
from rdc_dyn.running.signals import Signals

@click.command(cls=click.Command)
def work():
    signals = Signals()
    listen()
    with signals.guarded():
        print("ready", flush=True)
        WORK

matrix = torch.randn(6000, 6000, dtype=torch.float64)
Program(commands={"work": work})(["work"])
"""


def _twice(work: str, *, apart: float) -> tuple[int, float, str]:
    """Exit code, seconds since the second SIGINT, and output of a process that does this work."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN.replace("WORK", work)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    time.sleep(apart)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    output, errors = process.communicate(timeout=300)
    return process.returncode, time.monotonic() - began, output + errors


def test_a_second_interrupt_ends_a_factorisation() -> None:
    """It takes most of a minute, and Python sees no signal before its end."""
    code, seconds, text = _twice("torch.linalg.eigh(matrix + matrix.T)", apart=0.3)
    assert code == 130 and seconds < 5, (code, seconds, text)
    assert text == "rdc-dyn: ended by a second signal\n"


@pytest.mark.slow
def test_a_second_interrupt_waits_for_a_commit() -> None:
    code, _, text = _twice("with signals.held():\n            time.sleep(4); print('whole', flush=True)", apart=0.3)
    assert code == 130 and text.startswith("whole\n"), text


@pytest.mark.slow
def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    work = "try:\n            time.sleep(60)\n        finally:\n            time.sleep(1); print('kept', flush=True)"
    code, _, text = _twice(work, apart=0.0)
    assert (code, text) == (130, "kept\nrdc-dyn: stopped by a signal\n")
