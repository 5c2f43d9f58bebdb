"""Twelve points by two workers against one, with one thread each."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import rdc_dyn
from rdc_dyn.sweeps import sweep

_SCENARIO = Path(rdc_dyn.__file__).parents[1] / "scenarios" / "linear_gaussian_iso_classification.yaml"
_POINTS = 12


def _seconds(folder: Path, jobs: int) -> float:
    grid = {"integrator.step_size": [2.5 / (20 + number) for number in range(_POINTS)]}
    start = time.perf_counter()
    result = sweep(_SCENARIO, grid, output=folder / f"jobs{jobs}", jobs=jobs, threads=1)
    assert result.exit_code == 0, [point.message for point in result.failed]
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = (_seconds(Path(folder), jobs) for jobs in (1, 2))
    print(f"{_POINTS} points: {one:.1f} s with one worker, {two:.1f} s with two, ratio {two / one:.2f} (goal <= 0.60)")


if __name__ == "__main__":
    main()
