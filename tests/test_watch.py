"""A function as `progress=`: what it gets, what its exceptions do, what is refused, and the page that tells how."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.running.progress import Silent
from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.sweeps.progress import Count
from tests.tiny import linear_gaussian

_PAGE = Path(rdc_dyn.__file__).parents[1] / "docs" / "howto" / "watch.md"
Call = tuple[int, dict[str, float]]


class Heard:
    """Keeps what it is told, and raises at the third call if it has something to raise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls: list[Call] = []
        self.error = error

    def __call__(self, step: int, values: dict[str, float]) -> None:
        self.calls.append((step, values))
        if self.error is not None and len(self.calls) == 3:
            raise self.error


def _numbers(ds: xr.Dataset) -> dict[str, dict[int, float]]:
    """The numbers of each variable by the index of their point."""
    along = {str(name): each.values for name, each in ds.variables.items() if each.dims == ("time",)}
    return {name: {i: x for i, x in enumerate(each) if not np.isnan(x)} for name, each in along.items()}


def test_a_function_gets_every_point_with_the_names_of_the_dataset() -> None:
    heard = Heard()
    ds = rdc_dyn.run(linear_gaussian(output={"every": 2}), progress=heard)
    assert [step for step, _ in heard.calls] == list(range(ds.sizes["time"])) == [0, 1, 2]
    assert [values.pop("fraction") for _, values in heard.calls] == pytest.approx([0, 0.5, 1])
    numbers = _numbers(ds)
    assert len(numbers["smallest_eigenvalue"]) == 2 and not numbers["accuracy"]
    for step, values in heard.calls:
        assert values == {name: each[step] for name, each in numbers.items() if step in each}
        assert {type(value) for value in values.values()} == {float}


def test_nothing_is_shown_beside_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    rdc_dyn.run(linear_gaussian(), progress=lambda step, values: None)
    assert capsys.readouterr() == ("", "")


def test_a_function_counts_on_where_a_run_resumes(tmp_path: Path) -> None:
    tree, heard = linear_gaussian(output={"checkpoint_every": 1}), Heard()
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.run(tree, tmp_path / "run", max_time=1e-9, progress=heard)
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.resume(tmp_path / "run", max_time=1e-9, progress=heard)
    ds = rdc_dyn.resume(tmp_path / "run", progress=heard)
    assert ds.attrs["status"] == "COMPLETED"
    assert dict(heard.calls).keys() == set(range(ds.sizes["time"]))
    for step, values in heard.calls:  # a point may be told twice, as the run begins again with its last one
        assert (values["time"], values["rate"]) == (float(ds.time[step]), float(ds.rate[step]))


def test_an_exception_costs_no_point_and_names_its_line(tmp_path: Path) -> None:
    heard = Heard(KeyError("no such\x1b[31m board"))
    with pytest.warns(rdc_dyn.RunWarning) as caught:
        ds = rdc_dyn.run(linear_gaussian(), tmp_path / "run", progress=heard)
    assert ds.attrs["status"] == "COMPLETED" and len(heard.calls) == ds.sizes["time"] == 5
    assert rdc_dyn.open_run(tmp_path / "run").identical(ds)
    (warning,) = caught
    assert str(warning.message) == "progress: Heard raised KeyError: 'no such\\x1b[31m board'; the run goes on"
    assert Path(warning.filename) == Path(__file__)
    assert "raise self.error" in Path(__file__).read_text("utf-8").splitlines()[warning.lineno - 1]


def test_a_function_that_always_fails_is_told_of_once(tmp_path: Path) -> None:
    def watch(step: int, values: dict[str, float]) -> None:
        raise OSError("the board is away")

    for _ in range(2):  # another run tells of it again
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            rdc_dyn.run(linear_gaussian(), progress=watch)
        told = [str(each.message) for each in caught if issubclass(each.category, rdc_dyn.RunWarning)]
        assert set(told) == {"progress: watch raised OSError: the board is away; the run goes on"}
        assert len(told) < 5


def test_a_function_can_stop_a_run(tmp_path: Path) -> None:
    with pytest.warns(rdc_dyn.RunWarning, match="INTERRUPTED"):
        ds = rdc_dyn.run(linear_gaussian(), tmp_path / "run", progress=Heard(KeyboardInterrupt()))
    assert (ds.attrs["status"], ds.sizes["time"]) == ("INTERRUPTED", 3)
    assert checkpoints(tmp_path / "run")
    assert rdc_dyn.resume(tmp_path / "run", progress=False).sizes["time"] == 5


def test_a_surface_takes_a_function() -> None:
    heard = Heard()
    ds = rdc_dyn.surface(linear_gaussian(), lam=[1.0, 1.1], gamma=[1.0, 1.2], progress=heard)
    found = {(values["lam"], values["gamma"]): values["rate"] for _, values in heard.calls}
    assert len(found) == 4
    for (lam, gamma), rate in found.items():
        assert float(ds.rate.sel(lam=lam, gamma=gamma, method="nearest")) == rate


_NO_PROGRESS = {
    "True": True,
    "a word": "Auto",
    "a number": 3,
    "a class": Silent,
    "takes one": lambda step: None,
    "takes three": lambda step, values, more: None,
    "an object": object(),
}


@pytest.mark.parametrize("kind", _NO_PROGRESS)
def test_what_is_no_progress_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    progress: Any = _NO_PROGRESS[kind]
    calls: dict[str, tuple[Callable[[], Any], ...]] = {
        "equilibrating, record, event and close": (
            lambda: rdc_dyn.run(linear_gaussian(), tmp_path / "run", progress=progress),
            lambda: rdc_dyn.resume(tmp_path / "run", progress=progress),
            lambda: rdc_dyn.surface(linear_gaussian(), [1.0], [1.0], tmp_path / "run", progress=progress),
        ),
        "begin, running, outcome and close": (
            lambda: rdc_dyn.sweep(
                linear_gaussian(), {"integrator.step_size": [0.4]}, output=tmp_path / "run", progress=progress
            ),
        ),
    }
    for methods, each in calls.items():
        for call in each:
            with pytest.raises(rdc_dyn.UserError) as refused:
                call()
            assert re.fullmatch(
                rf'progress: .+; expected "auto", False, a function of \(step, values\), or .+ the methods {methods}',
                str(refused.value),
            )
            assert refused.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_can_also_be_called_is_an_object() -> None:
    class Both(Silent):
        points = 0

        def __call__(self, step: int, values: dict[str, float]) -> None:
            raise AssertionError

        def record(self, record: Any, fraction: float) -> None:
            self.points += 1

    both = Both()
    rdc_dyn.run(linear_gaussian(), progress=both)
    assert both.points == 5


def _sweep(grid: Any, output: Path, progress: Any) -> None:
    with ThreadPoolExecutor(1) as here:  # torch is imported already
        rdc_dyn.sweep(linear_gaussian(), grid, output=output, executor=here, threads=1, progress=progress)


def test_a_function_hears_of_each_point_of_a_sweep(tmp_path: Path) -> None:
    heard = Heard()
    grid: list[dict[str, list[Any]]] = [{"start.equilibrate.newton_steps": [0]}, {"start.from": ["/nowhere"]}]
    _sweep(grid, tmp_path / "sweep", heard)
    assert [step for step, _ in heard.calls] == [0, 1]
    assert [values["failed"] for _, values in heard.calls] == [1.0, 2.0]
    assert [values["fraction"] for _, values in heard.calls] == [0.5, 1.0]


def test_a_sweep_shows_lines_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: tuple[Any, ...] = ("auto", False, Count())
    for number, progress in enumerate(asked):
        _sweep({"start.from": ["/nowhere"]}, tmp_path / str(number), progress)
        assert ("failed (FAILED)" in capsys.readouterr().out) == (progress == "auto")


def _block(title: str) -> str:
    """The Python below a heading of the page."""
    found = re.search(rf"^## {title}\n.*?```python\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_page_shows_what_runs_with_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module, reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(_block("TensorBoard"), str(_PAGE), "exec"), {})
    ds = rdc_dyn.open_run("runs/first")
    read = accumulator.EventAccumulator("tensorboard/first", size_guidance={"scalars": 0}).Reload()
    numbers = {name: each for name, each in _numbers(ds).items() if each}
    assert set(read.Tags()["scalars"]) == {*numbers, "fraction"}
    for name, each in numbers.items():
        told = read.Scalars(name)
        assert [one.step for one in told] == list(each)
        np.testing.assert_allclose([one.value for one in told], list(each.values()), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("title", "module", "log"),
    [("Weights & Biases", "wandb", "init().__enter__().log"), ("MLflow", "mlflow", "log_metrics")],
)
def test_the_other_services_get_every_point(
    title: str, module: str, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = MagicMock()
    monkeypatch.setitem(sys.modules, module, service)
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(dump(from_mapping(linear_gaussian())))
    exec(compile(_block(title), str(_PAGE), "exec"), {})
    ds = rdc_dyn.open_run("runs/my")
    calls = [call for call in service.mock_calls if call[0] == log]
    assert [call.kwargs for call in calls] == [{"step": step} for step in range(ds.sizes["time"])]
    assert [call.args[0]["rate"] for call in calls] == list(ds.rate.values)


@pytest.mark.parametrize("title", ["TensorBoard", "Weights & Biases", "MLflow"])
def test_each_service_takes_ten_lines_at_most(title: str) -> None:
    block = _block(title)
    compile(block, str(_PAGE), "exec")
    assert len(block.splitlines()) <= 10
