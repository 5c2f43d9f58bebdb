"""The scripts of the paper's figures, on small stand-ins: their tables against numbers computed here."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from tests import tiny

ANALYSIS = Path(rdc_dyn.__file__).parents[1] / "analysis"
GAMMAS = (2.0, 4.0, 6.0)
RECIPE: dict[str, Any] = {
    "response": {"kind": "finite_difference", "delta": 0.01},
    "corrector": {"method": "gradient", "steps": 50, "peak_learning_rate": 0.02},
}
OURS: dict[str, Any] = {"corrector": {"method": "newton_krylov"}}
ROUNDS: dict[str, Any] = {
    "response": {"kind": "none"},
    "corrector": {"method": "gradient", "steps": 10, "peak_learning_rate": 0.02, "schedule": "constant"},
}
SOURCE = {"name": "digits", "classes": [0, 1, 2], "limit": 60}
TARGET = {"name": "digits", "classes": [3, 4, 5], "limit": 60}
Table = dict[str, tuple[str, str, str]]
Script = Callable[..., Table]


def _scenario(process: dict[str, Any], **changes: Any) -> dict[str, Any]:
    scenario = tiny.images(objective={"decoder": {"likelihood": "bernoulli"}, "alphabet_size": 6}, **changes)
    scenario["start"] |= {"lam": 0.5, "gamma": 2.0} | changes.get("start", {})
    del scenario["process"], scenario["integrator"]["step_size"]
    scenario["integrator"]["step_size"] = 0.1
    return scenario | {"process": process}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two sweeps of figure 2; of the second a run was killed after two points, and one is missing."""
    folder = tmp_path_factory.mktemp("sweeps")
    process = {"kind": "iso_classification", "span": [0.0, 0.3]}
    for name, way in (("ours", OURS), ("recipe", RECIPE)):
        with ThreadPoolExecutor(1) as executor:
            grid = {"start.gamma": list(GAMMAS)}
            rdc_dyn.sweep(_scenario(process, **way), grid, output=folder / name, executor=executor, threads=1)
    runs = rdc_dyn.open_sweep(folder / "recipe").run
    killed = folder / "recipe" / "runs" / runs.sel(start_gamma=4.0).item()
    (killed / "trajectory.nc").unlink()
    log = (killed / "log.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    records = [k for k, line in enumerate(log) if json.loads(line)["event"] == "record"]
    (killed / "log.jsonl").write_text("".join(log[: records[1] + 1]), encoding="utf-8")
    shutil.rmtree(folder / "recipe" / "runs" / runs.sel(start_gamma=6.0).item())
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of figures 4a, 5 and 6; those of figure 6 hold nothing out."""
    folder = tmp_path_factory.mktemp("runs")
    moving = {"data": {"source": SOURCE, "target": TARGET, "validation_fraction": 0.2}}
    whole = {"data": {**moving["data"], "validation_fraction": 0.0}}
    geodesic = {"kind": "geodesic_transfer", "slope": -30, "span": [0.0, 0.3]}
    transfer = {"kind": "iso_classification_transfer", "lam_rate": -0.1, "span": [0.0, 1.0]}
    jump = {"kind": "prescribed", "shape": "jump", "span": [0.0, 1.0]}
    fine = {**jump, "path": {"lam": 0.5, "gamma": 2.0, "data_position": [0, 1]}}
    stay = {"kind": "prescribed", "span": [0.0, 0.1], "path": {"lam": 0.5, "gamma": 2.0}}
    hump = {"method": "gradient", "steps": 40, "peak_learning_rate": 0.02, "trace": 8}
    scenarios = {
        "equilibration": _scenario(
            {**jump, "span": [0.0, 0.1], "path": {"lam": 0.51, "gamma": 1.04}},
            start={"gamma": 1.0},
            **{**ROUNDS, "corrector": hump},
        ),
        "geodesic": _scenario(geodesic, **moving, **OURS),
        "geodesic_recipe": _scenario(geodesic, **moving, **RECIPE),
        "fine_tuning": _scenario(fine, **moving, **ROUNDS),
        "scratch": _scenario(stay, data={"source": TARGET, "validation_fraction": 0.2}, **ROUNDS),
        "transfer": _scenario(transfer, **whole, **OURS),
        "fine_tuning_whole": _scenario(fine, **whole, **ROUNDS),
        "scratch_whole": _scenario(stay, data={"source": TARGET, "validation_fraction": 0.0}, **ROUNDS),
    }
    for name, scenario in scenarios.items():
        trajectory = rdc_dyn.run(scenario, folder / name)
        assert trajectory.attrs["status"] == "COMPLETED", (name, trajectory.attrs["status_detail"])
    return folder


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Runs a script as from the command line, and reads its table."""
    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(ANALYSIS))

    def call(name: str, *places: str | Path, table: str = "table.csv", options: tuple[str, ...] = ()) -> Table:
        figure, file = tmp_path / "figure.png", tmp_path / table
        monkeypatch.setattr(sys, "argv", [name, *map(str, places), str(figure), str(file), *options])
        runpy.run_path(str(next(ANALYSIS.glob(f"{name}_*.py"))))
        assert figure.stat().st_size > 10_000
        if file.suffix == ".md":
            lines = file.read_text(encoding="utf-8").splitlines()[4:]
            cells = [[c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        else:
            with open(file, newline="", encoding="utf-8") as opened:
                cells = list(csv.reader(opened))[1:]
        assert all(len(row) == 4 for row in cells)
        return {claim: (paper, ours, recipe) for claim, paper, ours, recipe in cells}

    return call


def _numbers(cell: str) -> list[float]:
    return [float(text) for text in re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[+-]\d+)?", cell)]


def _agrees(cell: str, *expected: float) -> None:
    np.testing.assert_allclose(_numbers(cell)[: len(expected)], expected, rtol=2e-3, err_msg=cell)


def _open(sweep: Path, gamma: float) -> xr.Dataset:
    name = rdc_dyn.open_sweep(sweep).run.sel(start_gamma=gamma).item()
    return rdc_dyn.open_run(sweep / "runs" / name)


def _cost(run: xr.Dataset) -> float:
    work = run.gradient_evaluations + run.hessian_vector_products
    return float(work[-1] - work[0])


def test_figure_2_sets_both_ways_beside_each_other(sweeps: Path, script: Script) -> None:
    table = script("fig2", sweeps / "ours", sweeps / "recipe")
    ours = [_open(sweeps / "ours", gamma) for gamma in GAMMAS]
    recipe = [_open(sweeps / "recipe", gamma) for gamma in GAMMAS[:2]]
    assert table["runs to the end of their span"] == (
        "5 of 5",
        "3 of 3",
        "1 of 3 (gamma0 = 4: RUNNING after 2 points; gamma0 = 6: MISSING after 0 points)",
    )
    for k, way in enumerate((ours, recipe), 1):
        C = [run.classification_loss.values for run in way]
        drift = [float(abs(c / c[0] - 1).max()) for c in C]
        accuracy = [run.validation_accuracy.values for run in way]
        ranges = [np.ptp(a) for a in accuracy]
        cell = table["C on training data within (nat)"][k]
        inside = all(c.min() >= 0.06 and c.max() <= 0.2 for c in C)
        assert cell.startswith("yes" if inside else "no")
        _agrees(cell, min(c.min() for c in C), max(c.max() for c in C))
        cell = table["validation accuracy constant along each run: range <= 0.01"][k]
        assert cell.startswith("yes" if max(ranges) <= 0.01 else "no")
        _agrees(cell, max(ranges))
        assert table["C constant on training data: |C - C0| / C0 <= 0.05"][k].startswith("yes")
        _agrees(table["C constant on training data: |C - C0| / C0 <= 0.05"][k], max(drift))
        falls = np.concatenate([np.diff(run.distortion) for run in way]) < 0
        _agrees(table["D falls at every step"][k], falls.sum(), falls.size)
        _agrees(table["cost of the paths: gradients + products"][k], sum(map(_cost, way)))
        _agrees(table["wall time of the paths (s)"][k], sum(float(run.wall_time[-1] - run.wall_time[0]) for run in way))
        residuals = [float(run.equilibrium_residual.max()) for run in way]
        _agrees(table["largest |grad J| of each run (nat)"][k], min(residuals), max(residuals))
    assert table["same data, objective, start and path"][2] == "yes, 2 of 3 runs"
    _agrees(table["gamma0 = 2: gamma at the end"][1], float(ours[0].gamma[-1]))
    assert table["gamma0 = 6: gamma at the end"][2] == "not known"
    assert table["training data"][1] == "48"
    assert table["parameters"][1] == str(ours[0].attrs["parameters"])
    assert table["device"] == ("", "cpu", "cpu")
    assert "torch" in table["versions"][1]


def test_figure_3_compares_its_curve_with_that_of_figure_2(sweeps: Path, script: Script) -> None:
    options = ("--mnist", str(sweeps / "recipe"))
    table = script("fig3", sweeps / "ours", "-", table="table.md", options=options)
    here = [_open(sweeps / "ours", gamma).rdc.geodesic_straightness() for gamma in GAMMAS]
    there = _open(sweeps / "recipe", 2.0).rdc.geodesic_straightness()
    cell = table["(R, D) nearer to its chord than in figure 2"][1]
    _agrees(cell, float(np.median(here)), there)
    assert cell.startswith("yes" if np.median(here) < there else "no")
    assert {recipe for _, _, recipe in table.values()} == {"-"}
    assert "same data, objective, start and path" not in table


@pytest.mark.slow
def test_figure_4a_tells_what_equilibration_regains(runs: Path, script: Script) -> None:
    table = script("fig4a", runs / "equilibration")
    run = rdc_dyn.open_run(runs / "equilibration")
    J = json.loads(str(run.rdc.events.free_energy.values[np.flatnonzero(run.rdc.events.kind == "equilibrated")[0]]))
    F = float(run.free_energy[0])
    assert len(J) == 9
    assert table["(lam, gamma) before and after"][2] == "(0.5, 1), (0.51, 1.04)"
    assert table["updates of the equilibration"][2] == "40"
    _agrees(table["F before (nat)"][2], F)
    _agrees(table["J after the equilibration (nat)"][2], float(run.free_energy[1]))
    _agrees(table["share of the jump in J that is regained"][2], (J[0] - J[-1]) / (J[0] - F))
    equal = abs(J[-1] - F) <= 0.01 * abs(F)
    assert table["F about equal: |dF| <= 0.01 |F|"][2].startswith("yes" if equal else "no")
    _agrees(table["F about equal: |dF| <= 0.01 |F|"][2], abs(J[-1] / F - 1))
    bound = F + 0.01 * float(run.distortion[0]) + 0.04 * float(run.classification_loss[0])
    assert table["F is at most F + D dlam + C dgamma (nat)"][2].startswith("yes" if J[-1] <= bound else "no")
    _agrees(table["cost: gradients + products"][2], _cost(run))


def test_figure_4b_measures_slopes_and_work_of_the_first_run(sweeps: Path, script: Script) -> None:
    table = script("fig4b", sweeps / "ours", sweeps / "recipe")
    for k, name in enumerate(("ours", "recipe"), 1):
        run = _open(sweeps / name, 2.0)
        lam, gamma = run.lam.values, run.gamma.values
        assert table["run"][k] == "gamma0 = 2"
        _agrees(table["mean slope dgamma/dlam"][k], (gamma[-1] - gamma[0]) / (lam[-1] - lam[0]))
        slopes = np.diff(gamma) / np.diff(lam)
        _agrees(table["slopes dgamma/dlam of the steps"][k], slopes.min(), slopes.max())
        closure, F = abs(run.rdc.free_energy_closure()).max(), run.free_energy
        _agrees(table["F - F0 = int D dlam + C dgamma, to 1 %"][k], float(closure / abs(F - F[0]).max()))
        _agrees(table["(F - F0) / |F0| at the end"][k], float((F[-1] - F[0]) / abs(F[0])))
    assert table["mean slope dgamma/dlam"][0] == "6.8"


@pytest.mark.slow
def test_figure_5_compares_the_transfer_with_fine_tuning_and_from_scratch(runs: Path, script: Script) -> None:
    places = [runs / name for name in ("geodesic", "geodesic_recipe", "fine_tuning", "scratch")]
    table = script("fig5", *places)
    tuning, scratch = (rdc_dyn.open_run(place) for place in places[2:])
    low = float(tuning.validation_target_accuracy[0])
    for k, place in enumerate(places[:2], 1):
        run = rdc_dyn.open_run(place)
        accuracy, end = run.validation_accuracy.values, float(run.validation_target_accuracy[-1])
        _agrees(table["accuracy along the transfer"][k], accuracy.min(), accuracy.max())
        straight = run.rdc.geodesic_straightness()
        _agrees(table["(R, D) straight: distance from the chord <= 1 %"][k], straight)
        slopes = np.diff(run.rate) / np.diff(run.distortion)
        _agrees(table["dR/dD of the steps"][k], *sorted({float(f"{s:.4g}") for s in (slopes.min(), slopes.max())}))
        for claim, other in (
            ("accuracy at the end as from scratch: to 0.01", float(scratch.validation_accuracy[-1])),
            ("accuracy at the end as by fine-tuning: to 0.01", float(tuning.validation_target_accuracy[-1])),
        ):
            assert table[claim][k].startswith("yes" if abs(end - other) <= 0.01 else "no")
            _agrees(table[claim][k], end, other)
            assert table[claim][k].endswith("at t = 0.3")
        cell = table["fine-tuning starts below half of the transfer's least"][k]
        assert cell.startswith("yes" if low < 0.5 * accuracy.min() else "no")
        _agrees(cell, low, accuracy.min())
        _agrees(table["cost of the paths: gradients + products"][k], _cost(run))
    _agrees(table["fine-tuning: cost, gradients + products"][1], _cost(tuning))
    assert table["what is called validation is of"][1] == "held-out data"


def test_figure_6_says_that_nothing_was_held_out(runs: Path, script: Script) -> None:
    places = [runs / "transfer", "-", runs / "fine_tuning_whole", runs / "scratch_whole"]
    table = script("fig6", *places, table="table.md")
    names = ("transfer", "fine_tuning_whole", "scratch_whole")
    run, tuning, scratch = (rdc_dyn.open_run(runs / name) for name in names)
    assert table["what is called validation is of"][1] == "training data, none held out"
    _agrees(table["mean dlam/dt"][1], -0.1)
    loss = run.classification_loss.values
    cell = table["C constant on validation data: |C - C0| / C0 <= 0.05"][1]
    assert cell.startswith("yes" if abs(loss / loss[0] - 1).max() <= 0.05 else "no")
    ends = [float(ds.classification_loss[-1]) for ds in (run, tuning, scratch)]
    for name, other in (("fine-tuning", ends[1]), ("from scratch", ends[2])):
        cell = table[f"C at the end below {name}: by > 0.05 of it"][1]
        assert cell.startswith("yes" if ends[0] < 0.95 * other else "no")
        _agrees(cell, ends[0], other)
    # At its first point fine-tuning has seen the source alone, whose accuracy is not that of the target.
    first = float(tuning.accuracy[1]), float(tuning.accuracy[-1])
    _agrees(table["fine-tuning: accuracy on the target, first and last"][1], *first)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "-", "figure.png", "table.csv"), 4, "error: nowhere: not a sweep directory"),
        (("nowhere", "-", "figure.png", "table.txt"), 2, "expected a name that ends in .csv or .md"),
        (("nowhere", "-", "figure.png"), 2, "the following arguments are required: TABLE"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    monkeypatch.setattr(sys, "argv", ["fig2", *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ANALYSIS / "fig2_iso_classification.py"))
    assert stopped.value.code == code
    assert message in capsys.readouterr().err


def test_a_sweep_over_something_else_is_refused(
    tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as executor:
        grid = {"start.lam": [1.0, 1.1]}
        rdc_dyn.sweep(tiny.linear_gaussian(), grid, output=tmp_path / "sweep", executor=executor, threads=1)
    with pytest.raises(SystemExit) as stopped:
        script("fig2", tmp_path / "sweep", "-")
    assert stopped.value.code == 2
    assert "swept over start.lam; expected start.gamma alone" in capsys.readouterr().err


def test_a_run_without_a_course_is_refused(runs: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        script("fig4a", runs / "geodesic")
    assert stopped.value.code == 4
    assert "corrector.trace" in capsys.readouterr().err


def test_three_ways_of_one_network_stand_side_by_side(runs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(ANALYSIS))
    places = [runs / "geodesic", runs / "geodesic", runs / "geodesic_recipe", tmp_path / "a.png", tmp_path / "a.md"]
    monkeypatch.setattr(sys, "argv", ["exact_and_minibatches", *map(str, places)])
    runpy.run_path(str(ANALYSIS / "exact_and_minibatches.py"))
    ds, table = rdc_dyn.open_run(runs / "geodesic_recipe"), (tmp_path / "a.md").read_text(encoding="utf-8")
    assert f"{float(ds.gamma[-1]):.5g}, {float(ds.rate[-1]):.5g}" in table
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_transfers_over_seeds_are_means_and_differences_of_pairs(runs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Two seeds of (32) and of Remark 8, one of the others: what is held, means, errors, and differences of pairs."""
    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(ANALYSIS))
    remark = {"kind": "iso_functional_transfer", "hold": {"classification_loss": 1, "rate": 0.02}, "span": [0.0, 1.0]}
    data = {"source": SOURCE, "target": TARGET, "validation_fraction": 0.0}
    plain = {"kind": "iso_classification_transfer", "span": [0.0, 1.0]}
    for name, process, seed in (("transfer1", plain, 1), ("remark/0", remark, 0), ("remark/1", remark, 1)):
        scenario = _scenario({**process, "lam_rate": -0.1}, data=data, **OURS) | {"seed": seed}
        rdc_dyn.run(scenario, tmp_path / name)
    places = [runs / "transfer", tmp_path / "transfer1", tmp_path / "remark", runs / "fine_tuning_whole"]
    places.append(runs / "scratch_whole")
    monkeypatch.setattr(sys, "argv", ["seeds", str(tmp_path / "a.png"), str(tmp_path / "a.md"), *map(str, places)])
    runpy.run_path(str(ANALYSIS / "seeds_of_transfers.py"))
    lines = (tmp_path / "a.md").read_text(encoding="utf-8").splitlines()
    head, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")]
    names = ["C constant", "C + R/50 constant", "fine-tuning", "from scratch"]
    assert [row[0] for row in rows] == names
    bases, tuning = [rdc_dyn.open_run(place) for place in places[:2]], rdc_dyn.open_run(places[3])
    others = [rdc_dyn.open_run(places[2] / seed) for seed in ("0", "1")]
    base, other = (np.array([float(ds.gamma[-1]) for ds in both]) for both in (bases, others))
    assert 0 < float(rows[1][head.index("max abs(h/h₀ − 1)")]) < 1e-8
    gamma = head.index("gamma; less that at constant C")
    assert abs(base[1] - base[0]) > 1e-3  # the seeds differ
    errors = [values.std(ddof=1) / np.sqrt(2) for values in (base, other, other - base)]
    told = [_numbers(row[gamma]) for row in rows[:2]]
    np.testing.assert_allclose(
        [told[0][0], told[1][0], told[1][2]], [base.mean(), other.mean(), (other - base).mean()], 1e-3
    )
    np.testing.assert_allclose([told[0][1], told[1][1], told[1][3]], errors, rtol=0.06)
    cost = head.index("10^6 gradients of data; less that at constant C")
    _agrees(rows[2][cost], 120e-6 * _cost(tuning))


def _way(points: int = 4, **values: list[float]) -> dict[str, Any]:
    """A way of one made-up run."""
    ways, trajectory = import_module("ways"), tiny.trajectory(points)
    changed = {name: ("time", column) for name, column in values.items()}
    return {"run": ways.Run("COMPLETED", trajectory.assign(changed))}


def test_verdicts_can_be_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    claims, ways = import_module("claims"), import_module("ways")
    rate, nothing = ways.variable("rate"), {"run": ways.Run("FOLD", None)}
    assert claims.monotone(rate, 1)(_way(rate=[1.0, 2.0, 3.0, 4.0])) == "yes, 3 of 3 steps"
    assert claims.monotone(rate, 1)(_way(rate=[1.0, 2.0, 2.0, 4.0])) == "no, 2 of 3 steps"
    assert claims.bounded(ways.spread(rate), 0.5)(_way(rate=[1.0, 1.5, 1.2, 1.1])) == "yes, 0.5"
    assert claims.bounded(ways.spread(rate), 0.4)(_way(rate=[1.0, 1.5, 1.2, 1.1])) == "no, 0.5"
    assert claims.over(rate, 1.0, 2.0)(_way(rate=[1.0, 2.0, 1.5, 1.5])) == "yes, 1 to 2"
    assert claims.over(rate, 1.0, 1.9)(_way(rate=[1.0, 2.0, 1.5, 1.5])) == "no, 1 to 2"
    # A run that did not move shows nothing to be constant.
    assert claims.bounded(ways.spread(rate), 0.5)(_way(1, rate=[1.0])) == "not known"
    assert claims.over(rate)(nothing) == claims.monotone(rate, 1)(nothing) == "not known"
    assert claims.completed(nothing) == "0 of 1 (run: FOLD after 0 points)"


def test_what_differs_between_the_ways_is_named(sweeps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    claims, ways = import_module("claims"), import_module("ways")
    one, other = (ways.Run("COMPLETED", _open(sweeps / "ours", gamma)) for gamma in GAMMAS[:2])
    assert claims.same_problem({"run": one}, {"run": one}) == "yes, 1 of 1 runs"
    assert claims.same_problem({"run": one}, {"run": other}) == "no, start"
    text = one.trajectory.attrs["scenario"]

    def changed(old: str, new: str) -> dict[str, Any]:
        assert old in text, text
        return {"run": ways.Run("COMPLETED", one.trajectory.assign_attrs(scenario=text.replace(old, new)))}

    assert claims.same_problem({"run": one}, changed("clock: multipliers", "clock: alpha")) == "no, path"
    # How folds are met is a matter of the way.
    assert claims.same_problem({"run": one}, changed("on_fold: stop", "on_fold: relax")) == "yes, 1 of 1 runs"


def test_ends_are_compared_with_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ANALYSIS))
    transfers, name = import_module("transfers"), "validation_target_accuracy"

    def ending(value: float, arrived: float = 1.0) -> dict[str, Any]:
        return _way(4, **{name: [0.0, 0.0, 0.0, value], "data_position": [0.0, 0.1, 0.2, arrived]})

    own, other = ending(0.9), ending(0.85)
    within = "yes, 0.9 against 0.85"
    assert transfers.near("accuracy", other, 0.06)(own) == within
    assert transfers.near("accuracy", other, 0.04)(own) == "no, 0.9 against 0.85"
    assert transfers.above("accuracy", other, 0.04)(own) == "yes, 0.9 against 0.85"
    assert transfers.above("accuracy", other, 0.06)(own) == "no, 0.9 against 0.85"
    assert transfers.below("accuracy", own, 0.05)(other) == "yes, 0.85 against 0.9"
    assert transfers.below("accuracy", own, 0.06)(other) == "no, 0.85 against 0.9"
    assert transfers.near("accuracy", other, 0.06)(ending(0.9, arrived=0.5)) == "yes, 0.9 against 0.85, at t = 0.5"
    assert transfers.near("accuracy", other, 0.06)(ending(0.9, arrived=float(np.float32(1 - 6e-8)))) == within
    assert transfers.near("accuracy", {}, 0.06)(own) == "not known"
