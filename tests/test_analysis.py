"""Every script of `analysis/` runs on small inputs and prints what it is there for."""

from __future__ import annotations

import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import rdc_dyn
from rdc_dyn.scenario import load

ROOT = Path(rdc_dyn.__file__).parents[1]
NONE, NEWTON = {"method": "none"}, {"method": "newton_krylov", "tolerance": 1e-10}
SHORT = ("process.span=[0, 0.5]", "start.equilibrate.adam_steps=50", "threads=1")
#: Small versions of the sweeps in scenarios/sweeps.
SWEEPS: dict[str, tuple[tuple[str, ...], dict[str, list[Any]]]] = {
    "integrators": (
        SHORT,
        {"integrator.method": ["euler", "rk4"], "integrator.step_size": [0.5, 0.25], "corrector": [NONE, NEWTON]},
    ),
    "predictor": (
        SHORT,
        {
            "response": [{"kind": "finite_difference", "delta": 0.001, "predictor": p} for p in (False, True)]
            + [{"kind": "linear_response"}],
            "integrator.step_size": [0.25, 0.125],
        },
    ),
    "tolerances": (SHORT, {"integrator.rtol": [1e-3, 1e-5], "response.solver.rtol": [1e-4, 1e-8]}),
    "surface": (("integrator.step_size=0.25", *SHORT[1:]), {"process.path.gamma": [[6, 6], [7, 7], [8, 8]]}),
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, on a thread of this process, which has torch already."""
    folder = tmp_path_factory.mktemp("sweeps")
    for name, (overrides, grid) in SWEEPS.items():
        scenario = load(ROOT / "scenarios" / "sweeps" / f"linear_gaussian_{name}.yaml", overrides)
        with ThreadPoolExecutor(1) as executor:
            done = rdc_dyn.sweep(scenario, grid, output=folder / name, executor=executor, threads=1)
        assert not done.failed, done.failed
    return folder


def _script(name: str, source: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> str:
    matplotlib.use("Agg")
    figure = folder / "figure.png"
    monkeypatch.setattr(sys, "argv", [name, str(source), *([] if name == "first_trajectory" else [str(figure)])])
    runpy.run_path(str(ROOT / "analysis" / f"{name}.py"))
    assert name == "first_trajectory" or figure.stat().st_size > 10_000
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "sweep", "words"),
    [
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("integrators", "integrators", ("reference: closed form", "rk4, no corrector", "cheapest run")),
                ("corrector", "integrators", ("euler", "error off")),
                ("predictor", "predictor", ("finite_difference", "linear_response", "corrector")),
                ("tolerances", "tolerances", ("evaluations of the vector field", "is enough")),
            )
        ),
        ("equilibrium_surface", "surface", ("3 runs, 5 equilibria each", "dD/dgamma", "3 of 3")),
    ],
)
def test_scripts_on_sweeps(
    script: str,
    sweep: str,
    words: tuple[str, ...],
    sweeps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = _script(script, sweeps / sweep, tmp_path, capsys, monkeypatch)
    for word in words:
        assert word in printed, printed


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("first_trajectory", ("COMPLETED", "drift of C")),
        ("response_matrix", ("d ln . / d ln .", "eigenvalues of Hess F")),
    ],
)
def test_scripts_on_a_run(
    script: str,
    words: tuple[str, ...],
    sweeps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = min((sweeps / "integrators" / "runs").iterdir())
    printed = _script(script, run, tmp_path, capsys, monkeypatch)
    for word in words:
        assert word in printed, printed
