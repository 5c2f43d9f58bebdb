"""What objects show of themselves: `ds.rdc`, the result of a sweep, a status, and the mistakes of a scenario."""

from __future__ import annotations

import copy
import pickle
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.read.accessor import RdcAccessor
from rdc_dyn.scenario import Mistake, from_mapping
from rdc_dyn.status import DataError, Status, UserError
from rdc_dyn.store.sweep_directory import SweptRun
from rdc_dyn.sweeps import SweepResult
from tests.tiny import linear_gaussian, trajectory

_HOSTILE = "<script>alert('\x1b[31m1')</script> & \u202eso"


class _Words(HTMLParser):
    """The tags and the cells of a part of a page; every tag closes as it opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def _words(thing: object) -> _Words:
    text = thing._repr_html_()  # type: ignore[attr-defined]
    assert not re.search("[\x00-\x08\x1b\u202e]", text)
    words = _Words(text)
    assert words.tags <= {"div", "b", "p", "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    return words


def _rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}


def test_a_trajectory_tells_how_it_went() -> None:
    ds = rdc_dyn.run(linear_gaussian(), progress=False)
    text = repr(ds.rdc)
    assert text.startswith("<rdc: tiny>\ncompleted: the process ran to the end of its span\n5 points, time 0 to 0.4\n")
    rows = _rows(text)
    assert rows["lam"][:2] == ["1", "1.2"] and rows["gamma"][:2] == ["1", "1.5"]
    for name in ("rate", "distortion", "classification_loss"):
        assert rows[name] == [*(f"{value:.6g}" for value in ds[name].values[[0, -1]]), "nat"]
    assert rows["gradient_evaluations"] == [f"{value:.0f}" for value in ds.gradient_evaluations.values[[0, -1]]]
    assert rows["wall_time"][-1] == "s"
    words = _words(ds.rdc)
    cells = {cell for line in text.splitlines() for cell in re.split(r"  +", line.strip()) if cell}
    assert {cell for cell in cells if "members:" not in cell and cell in rows} <= set(words.cells)
    assert "completed: the process ran to the end of its span" in words.cells


def test_every_method_is_named_and_is_there() -> None:
    text = repr(trajectory().rdc)
    named = re.split(r",\s+", text.partition("members: ")[2])
    assert {"plot()", "drift()", "surface()", "events"} <= set(named)
    assert all(callable(getattr(RdcAccessor, name.removesuffix("()"))) == name.endswith("()") for name in named)
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_run_that_can_go_on_says_so(tmp_path: Path) -> None:
    with pytest.warns(rdc_dyn.RunWarning):
        ds = rdc_dyn.run(linear_gaussian(), tmp_path / "run", max_time=1e-9, progress=False)
    assert "time limit: stopped by the time limit; what was computed is kept (1e-09 s)\n1 points" in repr(ds.rdc)
    assert "rdc_dyn.resume goes on" in repr(ds.rdc)
    assert "rdc_dyn.resume" not in repr(trajectory().rdc)


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (xr.Dataset(), "no dimensions"),
        (xr.Dataset({"a": ("x", [1.0, 2.0])}), "x: 2"),
        (trajectory(0), "no points"),
        (trajectory().drop_vars(["rate", "time"]), "3 points"),
        (trajectory().expand_dims(seed=2), "seed: 2, time: 3"),
        (trajectory().assign(rate=("time", ["a", "b", "c"])), "completed: done"),
        (trajectory().assign(rate=("time", [np.nan, 1.0, np.inf])), "completed: done"),
        (trajectory().assign_attrs(status=np.array([1, 2]), status_message=3, title=None), "[1 2]: 3"),
        (trajectory().chunk(time=1), "completed: done"),
    ],
)
def test_any_dataset_shows_itself(dataset: xr.Dataset, told: str) -> None:
    assert told in repr(dataset.rdc)
    assert any(told in cell for cell in _words(dataset.rdc).cells)


def test_of_a_lazy_trajectory_two_points_are_read() -> None:
    read = []

    def note(block: np.ndarray) -> np.ndarray:
        read.append(block.shape)
        return block

    ds = trajectory(50).chunk(time=1)
    ds["rate"] = ds.rate.copy(data=ds.rate.data.map_blocks(note, dtype=float, meta=np.empty(0)))
    assert "rate" in repr(ds.rdc)
    assert read == [(1,), (1,)]


def test_words_of_strangers_are_escaped() -> None:
    ds = trajectory().assign_attrs(title=_HOSTILE, status=_HOSTILE, status_message=_HOSTILE, status_detail=_HOSTILE)
    assert "&lt;script&gt;" in ds.rdc._repr_html_()
    assert "\x1b" not in repr(ds.rdc) and "\u202e" not in repr(ds.rdc)
    _words(ds.rdc)
    point = SweptRun("0" * 12, {"name": _HOSTILE}, "failed", _HOSTILE, _HOSTILE, None)
    result = SweepResult(Path(_HOSTILE), (point,), ())
    assert "\x1b" not in repr(result)
    _words(result)
    error = rdc_dyn.ScenarioError([Mistake(_HOSTILE, _HOSTILE, _HOSTILE)])
    assert "\x1b" not in repr(error) + "".join(error._render_traceback_())
    _words(error)
    assert "\x1b" not in "".join(DataError(_HOSTILE)._render_traceback_())


def test_a_long_sweep_shows_what_failed_first_and_counts_the_rest() -> None:
    points = [SweptRun(f"{i:012d}", {"seed": i}, "done", "COMPLETED", "done", None) for i in range(30)]
    points.append(SweptRun("f" * 12, {"integrator.step_size": 0.5}, "failed", "FAILED", "no such folder", None))
    result = SweepResult(Path("sweeps/my"), tuple(points), ())
    assert repr(result) == f"<SweepResult: 30 done, 1 failed of 31 points in {Path('sweeps/my')}>"
    cells = _words(result).cells
    assert cells[:2] == ["SweepResult", f"30 done, 1 failed of 31 points in {Path('sweeps/my')}"]
    assert cells[6:10] == ["f" * 12, "step_size=0.5", "failed", "no such folder"]
    assert cells[-1] == "and 11 more"
    assert sum(cell.startswith("seed=") for cell in cells) == 19


@pytest.mark.parametrize("status", Status)
def test_a_status_shows_its_name_and_sentence(status: Status) -> None:
    assert status.name in repr(status) and status.value in repr(status)
    assert _words(status).cells == [status.name, f": {status.value}"]
    assert pickle.loads(pickle.dumps(status)) is copy.deepcopy(status) is status


def test_a_scenario_shows_its_mistakes_one_by_one() -> None:
    tree = linear_gaussian(integrator={"step": 0.1}, start={"lam": -1.0})
    with pytest.raises(rdc_dyn.ScenarioError) as refused:
        from_mapping(tree)
    error = refused.value
    first, *lines = repr(error).splitlines()
    assert first == "ScenarioError: 2 mistakes"
    assert [line.strip() for line in lines] == [str(each) for each in error.problems]
    assert error._render_traceback_() == [first, *lines]
    words = _words(error)
    assert words.cells[0] == first and "li" in words.tags
    for problem in error.problems:
        assert problem.where in words.cells
        assert any(problem.message in cell for cell in words.cells)
    one = pickle.loads(pickle.dumps(rdc_dyn.ScenarioError(error.problems[:1])))
    assert repr(one).splitlines()[0] == "ScenarioError: 1 mistake"


def test_other_mistakes_are_one_line_in_a_notebook() -> None:
    assert UserError("device gpu: is no device")._render_traceback_() == ["UserError: device gpu: is no device"]
    assert DataError("x.npz: missing")._render_traceback_() == ["DataError: x.npz: missing"]


def test_jumps_are_counted_and_many_of_them_come_with_advice() -> None:
    run = trajectory(4)
    assert "jump" not in repr(run.rdc)
    few = run.assign(jump_theta=("time", [0.0, 0.0, 0.0, 0.3]))
    assert "1 of them behind a jump to another branch" in repr(few.rdc) and "prior_precision" not in repr(few.rdc)
    many = run.assign(jump_theta=("time", [0.0, 0.1, 0.2, 0.3]))
    assert "3 of them" in repr(many.rdc) and "a larger objective.weight_prior_precision" in repr(many.rdc)
