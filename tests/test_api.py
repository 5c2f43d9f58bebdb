"""The Python API: run, open_run, the accessor."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import rdc_dyn
from rdc_dyn.scenario import dump, from_mapping, loads
from rdc_dyn.store.checkpoint import load_checkpoint, save_checkpoint
from rdc_dyn.store.log import read_log
from rdc_dyn.store.run_directory import last_checkpoint
from tests.tiny import images, linear_gaussian


def _without_clock(run: xr.Dataset) -> xr.Dataset:
    """What must not depend on when and where a run happened."""
    run = run.drop_vars("wall_time")
    run.attrs.pop("history")
    return run


def _script(code: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(rdc_dyn.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mapping_path_and_scenario_give_the_same_bits(tmp_path: Path) -> None:
    tree = linear_gaussian()
    file = tmp_path / "tiny.yaml"
    file.write_text(dump(from_mapping(tree)))
    first = rdc_dyn.run(tree)
    assert first.attrs["status"] == "COMPLETED"
    np.testing.assert_allclose(first.time.values, [0, 0.1, 0.2, 0.3, 0.4], rtol=1e-15)
    for scenario in (file, str(file), from_mapping(tree)):
        assert _without_clock(rdc_dyn.run(scenario)).identical(_without_clock(first))


def test_the_run_directory_holds_what_run_returns(tmp_path: Path) -> None:
    returned = rdc_dyn.run(linear_gaussian(), tmp_path / "run")
    assert rdc_dyn.open_run(tmp_path / "run").identical(returned)
    logged = read_log(tmp_path / "run")
    assert [r.values["rate"] for r in logged.records] == list(returned.rate.values)
    assert [(e["event"], e["status"]) for e in logged.events] == [("end", "COMPLETED")]
    assert logged.attributes.items() <= returned.attrs.items()
    assert (tmp_path / "run" / "scenario.yaml").read_text() == returned.attrs["scenario"]


def test_attributes(tmp_path: Path) -> None:
    tree = linear_gaussian()
    run = rdc_dyn.run(tree)
    assert all(isinstance(value, (str, int, float)) and not isinstance(value, bool) for value in run.attrs.values())
    assert loads(run.attrs["scenario"]) == from_mapping(tree)
    expected = {"title": "tiny", "seed": 0, "device": "cpu", "dtype": "float64", "threads": 1, "parameters": 10}
    assert expected.items() <= run.attrs.items()
    assert f"torch {torch.__version__}".split("+")[0] in run.attrs["versions"]


def test_seed_changes_the_data_and_the_digest() -> None:
    one, two = (rdc_dyn.run(images(seed=seed)) for seed in (0, 1))
    assert one.attrs["data_digest"] != two.attrs["data_digest"]
    assert not np.allclose(one.rate, two.rate)
    assert "validation_rate" in one and "fresh_distortion" not in one


def test_device_and_dtype() -> None:
    run = rdc_dyn.run(linear_gaussian(dtype="float32", device="auto"), device="cpu")
    assert (run.attrs["dtype"], run.attrs["device"], run.rate.dtype) == ("float32", "cpu", np.float64)
    for device, why in (("cuda:99", "torch sees"), ("gpu", "is no device")):
        with pytest.raises(rdc_dyn.UserError, match=why):
            rdc_dyn.run(linear_gaussian(), device=device)


def test_numerical_stop_keeps_the_trajectory(tmp_path: Path) -> None:
    tree = linear_gaussian(start={"equilibrate": {"adam_steps": 0, "newton_steps": 1}})
    with pytest.warns(rdc_dyn.RunWarning, match="NOT_AT_EQUILIBRIUM: the start is not an equilibrium"):
        run = rdc_dyn.run(tree, tmp_path / "run")
    assert run.attrs["status"] == "NOT_AT_EQUILIBRIUM"
    assert "|grad J|" in run.attrs["status_detail"]
    assert run.sizes["time"] == 0
    assert rdc_dyn.open_run(tmp_path / "run").identical(run)


def test_stop_on_the_way_keeps_the_points_so_far(tmp_path: Path) -> None:
    # One Newton step cannot bring a long Euler step back, and no halving is allowed.
    tree = linear_gaussian(
        corrector={"method": "newton_krylov", "tolerance": 1e-12, "max_iterations": 1},
        process={"path": {"lam": 1.3, "gamma": 2.0}},
        integrator={"smallest_step": 0.2},
    )
    with pytest.warns(rdc_dyn.RunWarning, match="STEP_UNDERFLOW") as issued:
        run = rdc_dyn.run(tree, tmp_path / "run")
    assert issued[0].filename == __file__  # the user's own line, as in a notebook
    assert "CORRECTOR_DIVERGED" in run.attrs["status_detail"]
    assert run.sizes["time"] >= 1
    assert [e["event"] for e in read_log(tmp_path / "run").events] == ["rejected", "end"]


def test_time_limit(tmp_path: Path) -> None:
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        run = rdc_dyn.run(linear_gaussian(output={"every": 10}), tmp_path / "run", max_time=1e-9)
    assert run.sizes["time"] == 1
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_time_limit_after_the_end_is_no_limit() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", rdc_dyn.RunWarning)
        assert rdc_dyn.run(linear_gaussian(), max_time=1e4).attrs["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("output", "times", "checkpoints"),
    [
        ({}, [0, 0.1, 0.2, 0.3, 0.4], [0, 4]),
        ({"every": 3}, [0, 0.3, 0.4], [0, 4]),
        ({"every": 100}, [0, 0.4], [0, 4]),
        ({"every": 2, "checkpoint_every": 1}, [0, 0.2, 0.4], [2, 4]),
        ({"checkpoint_every": 3}, [0, 0.1, 0.2, 0.3, 0.4], [3, 4]),
        ({"theta": "none"}, [0, 0.1, 0.2, 0.3, 0.4], []),
    ],
)
def test_output_is_honoured(tmp_path: Path, output: dict[str, Any], times: list[float], checkpoints: list[int]) -> None:
    run = rdc_dyn.run(linear_gaussian(output=output), tmp_path / "run")
    np.testing.assert_allclose(run.time.values, times, rtol=1e-12)
    files = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [file.name for file in files] == [f"{i:06d}.safetensors" for i in checkpoints]
    for index, file in zip(checkpoints, files):
        checkpoint, at = load_checkpoint(file), run.sel(time=0.1 * index, method="nearest")
        assert checkpoint.time == float(at.time)
        np.testing.assert_array_equal(checkpoint.controls[:2], [float(at.lam), float(at.gamma)])


def test_start_from_an_earlier_run(tmp_path: Path) -> None:
    first = rdc_dyn.run(linear_gaussian(), tmp_path / "first")
    onward = linear_gaussian(process={"path": {"lam": 1.4, "gamma": 2.0}})
    onward["start"] = {"from": "first"}
    (tmp_path / "onward.yaml").write_text(dump(from_mapping(onward)))
    second = rdc_dyn.run(tmp_path / "onward.yaml", tmp_path / "second")
    for name in ("lam", "gamma", "rate", "distortion", "classification_loss", "free_energy"):
        np.testing.assert_allclose(second[name].values[0], first[name].values[-1], rtol=1e-9)
    # Adam must not touch an equilibrium: the first point costs Newton a step or none.
    assert float(second.gradient_evaluations[0]) < 10
    # The copy of the scenario in the run directory means the same folder, which a file may not name by itself.
    copied = tmp_path / "second" / "scenario.yaml"
    with pytest.raises(rdc_dyn.ScenarioError, match=r"start\.from: leaves the folder of the scenario"):
        rdc_dyn.run(copied)
    again = rdc_dyn.run(loads(copied.read_text()))
    assert _without_clock(again).identical(_without_clock(second))


def test_start_from_something_else_is_refused(tmp_path: Path) -> None:
    rdc_dyn.run(linear_gaussian(), tmp_path / "first")
    tree = linear_gaussian(objective={"latent_dim": 1})
    tree["start"] = {"from": str(tmp_path / "first")}
    with pytest.raises(rdc_dyn.DataError, match="has 10 parameters, this objective has 5"):
        rdc_dyn.run(tree)
    file = tmp_path / "first" / "checkpoints" / "000004.safetensors"
    save_checkpoint(file, replace(load_checkpoint(file), objective="finite_latent 0"))
    with pytest.raises(rdc_dyn.DataError, match="run of the objective finite_latent, this one is linear_gaussian"):
        rdc_dyn.run(linear_gaussian(start={"from": str(tmp_path / "first")}))
    tree["start"] = {"from": str(tmp_path / "missing")}
    with pytest.raises(rdc_dyn.DataError, match="no checkpoint there"):
        rdc_dyn.run(tree)


class _SignalAt:
    """A progress display that is interrupted at the third record."""

    def __init__(self) -> None:
        self.records, self.closed = 0, False

    def equilibrating(self, phase: str, step: int, free_energy: float, residual: float) -> None: ...

    def record(self, record: Any, fraction: float) -> None:
        self.records += 1
        if self.records == 3:
            raise KeyboardInterrupt

    def event(self, event: Any) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_interrupt_between_record_and_display(tmp_path: Path) -> None:
    progress = _SignalAt()
    with pytest.warns(rdc_dyn.RunWarning, match="INTERRUPTED"):
        run = rdc_dyn.run(linear_gaussian(), tmp_path / "run", progress=progress)
    np.testing.assert_allclose(run.time.values, [0, 0.1, 0.2], rtol=1e-12)
    assert progress.closed
    assert len(read_log(tmp_path / "run").records) == 3


@pytest.mark.parametrize("place", ["to_record", "freeze"])
def test_interrupt_while_a_point_is_kept_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    module = import_module("rdc_dyn.running.recorder")
    real, calls = getattr(module, place), []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(module, place, interrupted)
    with pytest.warns(rdc_dyn.RunWarning, match="INTERRUPTED"):
        run = rdc_dyn.run(linear_gaussian(output={"checkpoint_every": 1}), tmp_path / "run")
    np.testing.assert_allclose(run.time.values, [0], rtol=1e-12)
    newest = last_checkpoint(tmp_path / "run")
    assert load_checkpoint(newest).time == {"to_record": 0.1, "freeze": 0.0}[place]
    monkeypatch.setattr(module, place, real)
    whole = rdc_dyn.run(linear_gaussian(output={"checkpoint_every": 1}))
    assert _without_clock(rdc_dyn.resume(tmp_path / "run")).identical(_without_clock(whole))


def test_a_citation_names_what_made_the_run() -> None:
    run = rdc_dyn.run(linear_gaussian(), max_time=60)
    text = rdc_dyn.cite(run)
    assert text.count("@") == 2 and "arXiv:2002.12406" in text and rdc_dyn.__version__ in text
    assert run.attrs["commit"] in text and "rdc\\_dyn" in rdc_dyn.cite()


def test_accessor_comes_with_the_package_however_it_is_imported(tmp_path: Path) -> None:
    code = """
import sys
import rdc_dyn
assert not {"xarray", "torch", "matplotlib"} & set(sys.modules), "heavy"
import xarray
assert hasattr(xarray.Dataset, "rdc")
assert "torch" not in sys.modules
import inspect, pkgutil
assert type(xarray.__spec__.loader).__name__ == "SourceFileLoader"
assert not any("rdc_dyn" in type(f).__module__ for f in sys.meta_path), "the hook stays"
print(sorted(rdc_dyn.__all__) == sorted(n for n in rdc_dyn.__all__ if getattr(rdc_dyn, n)))
"""
    assert _script(code, tmp_path) == "True\n"
    code = "import xarray, rdc_dyn; assert hasattr(xarray.Dataset, 'rdc'); print('rdc')"
    assert _script(code, tmp_path) == "rdc\n"
    code = "import rdc_dyn.read.units, xarray; print(type(xarray.Dataset().rdc).__name__)"
    assert _script(code, tmp_path) == "RdcAccessor\n", "a module of ours may be what imports xarray first"
    code = "import rdc_dyn, importlib.util; importlib.util.find_spec('xarray'); import xarray; xarray.Dataset.rdc"
    assert _script(code, tmp_path) == "", "torch._dynamo asks for a spec without importing it"


def test_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        rdc_dyn.rnu  # noqa: B018


def test_frozen_noise_that_is_learnt_by_heart_is_said(tmp_path: Path) -> None:
    """One sample of z per datum and few data: D and C on fresh noise are another thing altogether."""
    tree = images(data={"source": {"limit": 30}, "validation_fraction": 0.0}, process={"span": [0.0, 0.1]})
    tree["objective"] = {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [4], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [4], "likelihood": "bernoulli"},
        "samples": 1,
        "weight_prior_precision": 1e-2,
    }
    tree["start"] = {"lam": 0.5, "gamma": 1.0, "equilibrate": {"adam_steps": 500}}
    tree["process"] = {"kind": "prescribed", "span": [0.0, 0.1], "path": {"lam": 0.51, "gamma": 1.01}}
    with pytest.warns(rdc_dyn.RunWarning, match="on fresh noise"):
        run = rdc_dyn.run(tree, tmp_path / "run")
    assert run.attrs["status"] == "COMPLETED"
    assert "fresh_distortion" in run and "fresh_classification_loss" in run
    gap = abs(run.fresh_classification_loss - run.classification_loss) / run.classification_loss
    assert float(gap[0]) > 0.05
    warned = [event for event in read_log(tmp_path / "run").events if event["event"] == "warning"]
    assert len(warned) == 1
    assert "samples" in warned[0]["text"]


@pytest.mark.parametrize("on_fold", [None, "follow"])
def test_a_saddle_is_said_where_the_path_is_to_stay_on_minima(on_fold: str | None, tmp_path: Path) -> None:
    """As λ and γ rise a second code would be used; MINRES does not notice that A is indefinite where it is not."""
    tree = linear_gaussian(
        start={"lam": 0.1, "gamma": 0.1},
        process={"path": {"lam": 1.0, "gamma": 1.0}, "span": [0.0, 1.0], "look_ahead": False, "on_fold": on_fold},
        response={"solver": {"method": "minres", "preconditioner": "none"}},
        output={"checkpoint_every": 1},
    )
    with pytest.warns(rdc_dyn.RunWarning, match="no minimum") if on_fold is None else nullcontext():
        run = rdc_dyn.run(tree, tmp_path / "run")
    assert run.attrs["status"] == "COMPLETED"
    unstable = run.time.values[run.smallest_eigenvalue.values < 0]
    assert 0 < len(unstable) < run.sizes["time"]
    warned = [event for event in read_log(tmp_path / "run").events if "no minimum" in event["text"]]
    assert [event["time"] for event in warned] == ([unstable[0]] if on_fold is None else [])


def test_what_stops_a_run_and_what_relaxing_changed_are_in_the_dataset(tmp_path: Path) -> None:
    """λ and γ fall to where the second code ceases to be used: a bracket; relaxed, zeros but for the jump."""
    tree = linear_gaussian(process={"path": {"lam": 0.1, "gamma": 0.1}, "span": [0.0, 1.0]})
    with pytest.warns(rdc_dyn.RunWarning, match="BRANCH_POINT"):
        run = rdc_dyn.run(tree, tmp_path / "run")
    assert run.time.values[-1] == run.attrs["stopped_after"] < run.attrs["stopped_before"]
    assert run.attrs["stopped_before"] - run.attrs["stopped_after"] <= 1e-4
    assert "jump_rate" not in run
    assert run.morse_index.values[0] == 0
    assert run.smallest_eigenvalue.values[0] > 0
    assert run.singular_distance.values[-1] <= 1e-4
    relaxed = rdc_dyn.run(linear_gaussian(process={**tree["process"], "on_fold": "relax"}, output={"every": 3}))
    assert relaxed.attrs["status"] == "COMPLETED"
    jumped = relaxed.jump_theta.values > 0
    assert 1 <= jumped.sum() < len(jumped)
    assert (relaxed.jump_rate.values[~jumped] == 0).all()
