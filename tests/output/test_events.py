"""What happened in a run, as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.read.events import events
from rdc_dyn.record import Event
from rdc_dyn.status import DataError
from rdc_dyn.store.log import to_text
from rdc_dyn.store.run_directory import open_run
from rdc_dyn.store.run_writer import RunWriter
from tests.tiny import ATTRIBUTES, linear_gaussian, record, trajectory


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, Path]:
    """A run whose steps are much too long: their corrections fail."""
    scenario = linear_gaussian(
        process={"path": {"lam": 30.0}},
        integrator={"step_size": 0.4},
        corrector={"method": "newton_krylov", "max_iterations": 3},
    )
    folder = tmp_path_factory.mktemp("events") / "run"
    return rdc_dyn.run(scenario, folder), folder


def test_rejected_steps_halvings_failures_and_the_end(failed: tuple[xr.Dataset, Path]) -> None:
    run, _ = failed
    table = run.rdc.events
    kinds = table.kind.values.tolist()
    rejected = table.isel(event=[k for k, kind in enumerate(kinds) if kind == "rejected"])
    assert rejected.sizes["event"] >= 2
    assert all(name in rdc_dyn.Status.__members__ for name in rejected.status.values)
    assert "CORRECTOR_DIVERGED" in rejected.status.values
    assert (rejected.halved_to <= rejected.step_size).all()
    tried = rejected.step_size.values
    assert tried[1] == pytest.approx(float(rejected.halved_to[0]))
    assert kinds[-1] == "end" and table.status.values[-1] == run.attrs["status"]
    frame = table.to_dataframe()
    assert list(frame.columns[:3]) == ["time", "kind", "status"] and frame.columns[-1] == "text"
    assert "rejected" in frame.to_string()


def test_memory_log_and_file_agree(failed: tuple[xr.Dataset, Path], tmp_path: Path) -> None:
    run, folder = failed
    for source in (folder, str(folder), folder / "trajectory.nc", open_run(folder), run.isel(time=[0])):
        xr.testing.assert_identical(events(source), run.rdc.events)
    copy = tmp_path / "alone.nc"
    copy.write_bytes((folder / "trajectory.nc").read_bytes())
    xr.testing.assert_identical(events(copy), run.rdc.events)
    assert open_run(folder).encoding["source"] == str(folder / "trajectory.nc")
    assert rdc_dyn.run(linear_gaussian()).rdc.events.kind.values.tolist() == ["end"]


def test_an_unfinished_run_has_them(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", "name: tiny\n")
    writer.begin(ATTRIBUTES)
    writer.record(record())
    jump = {"jump_theta": 0.5, "jump_rate": np.nan, "names": ["a", "b"], "far": np.inf}
    writer.event(Event("relaxed", 0.1, "λ <jumps>", jump))
    opened = open_run(tmp_path / "run")
    table = opened.rdc.events
    assert opened.encoding["source"] == str(tmp_path / "run")
    assert table.text.item() == "λ <jumps>" and table.jump_theta.item() == 0.5 and table.far.item() == np.inf
    assert np.isnan(table.jump_rate.item()) and np.isnan(table.step_size.item())
    assert table.names.item() == '["a", "b"]' and table.status.item() == ""


def test_none_and_damaged() -> None:
    assert events(trajectory().assign_attrs(events=to_text([]))).sizes["event"] == 0
    with pytest.raises(DataError, match="no attribute events"):
        events(trajectory())
    for text in ("{", "[]", '{"time": 0}'):
        with pytest.raises(DataError, match="damaged"):
            events(trajectory().assign_attrs(events=text))
