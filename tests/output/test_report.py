"""Reports: one whole page that needs nothing else, with what it should tell, and everything escaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from rdc_dyn.cli import main
from rdc_dyn.read.report import run_report, sweep_report
from rdc_dyn.status import DataError
from rdc_dyn.store.dataset import write_netcdf
from rdc_dyn.store.log import to_text
from rdc_dyn.store.sweep_directory import FORMAT, read_sweep, sealed
from tests.output.paths import jumping, smooth
from tests.tiny import ATTRIBUTES, trajectory

_VOID = {"meta", "img", "br", "link", "hr", "input"}
_HOSTILE = "<script>alert(1)</script> & \"quoted\" 'text'"


class _Page(HTMLParser):
    """Tags that close as they opened, ids, links, resources and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        assert len(found) == len(attrs)
        self.ids += [found["id"]] if found.get("id") else []  # type: ignore[list-item]
        self.links += [found["href"]] if found.get("href") else []  # type: ignore[list-item]
        self.sources += [found["src"]] if found.get("src") else []  # type: ignore[list-item]
        if tag == "img":
            assert found.get("alt")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _check(text: str) -> _Page:
    assert text.startswith("<!DOCTYPE html>") and len(text) < 5_000_000
    page = _Page(text)
    assert len(set(page.ids)) == len(page.ids)
    assert page.links and all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert all(link.startswith("#") for link in page.links)
    assert page.sources and all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    for source in page.sources:
        assert b"<svg" in base64.b64decode(source.partition(",")[2])[:2000]
    assert not page.tags & {"script", "iframe", "link", "object"}
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None and "url(" not in style[1] and "@import" not in style[1]
    return page


def _events() -> str:
    lines = [{"event": "rejected", "time": 0.1, "text": f"rejected {_HOSTILE}", "step_size": 0.25, "halved_to": 0.125}]
    return to_text([*lines, {"event": "end", "time": 1.0, "text": "done", "status": "COMPLETED"}])


def test_run() -> None:
    run = smooth(10).assign_attrs(commit="abc", scenario="name: tiny # 1 < 2\n", events=_events(), title=_HOSTILE)
    text = run_report(run)
    page = _check(text)
    assert page.ids == ["summary", "residuals", "cost", "figures", "events", "provenance", "scenario"]
    for wanted in (_HOSTILE, "0.25 0.125", "1 < 2", "commit abc", "11 recorded points", "completed: done", "2 events"):
        assert " ".join(wanted.split()) in page.text, wanted
    worst = abs(run.rdc.free_energy_closure())
    place = float(worst.time[int(worst.argmax("time"))])
    row = f"closure of F against the work {float(worst.max()):.2e} {place:.6g} nat"
    assert row in page.text
    assert f"distortion {float(run.distortion[0]):.6g} {float(run.distortion[-1]):.6g} nat" in page.text
    assert len(page.sources) == 4
    assert run_report(run) == text  # the same run, the same page


@pytest.mark.slow
def test_run_with_jump_failure_and_no_events() -> None:
    text = run_report(jumping().assign_attrs(status="FOLD", status_message="a fold", status_detail="lam = 1"))
    assert "fold: a fold (lam = 1)" in _check(text).text and '<p class="bad">fold' in text
    assert "carries no events" in text
    _check(run_report(trajectory(1)))
    with pytest.raises(DataError, match="no points"):
        run_report(trajectory(0))


def test_many_events_are_cut_and_it_says_so() -> None:
    lines = [{"event": "warning", "time": float(k), "text": f"number {k}."} for k in range(250)]
    page = _check(run_report(trajectory().assign_attrs(events=to_text(lines))))
    assert "The first 200 of 250 events." in page.text
    assert "number 199." in page.text and "number 200." not in page.text


def _sweep(path: Path, runs: dict[str, xr.Dataset | None]) -> Path:
    """A sweep directory; None is a run that left no trajectory."""
    points = []
    for k, (method, run) in enumerate(runs.items()):
        name = f"{k:012x}"
        values = {"integrator.method": method}
        points.append({"name": name, "values": values})
        if run is None:
            (path / "failed").mkdir(parents=True, exist_ok=True)
            failure = {"name": name, "values": values, "exit_code": 4, "message": f"no data {_HOSTILE}"}
            (path / "failed" / f"{name}.json").write_bytes(sealed(failure))
            continue
        (path / "runs" / name).mkdir(parents=True, exist_ok=True)
        write_netcdf(run, path / "runs" / name / "trajectory.nc")
    manifest = {"format": FORMAT, "program": "rdc_dyn 0 abc", "scenario": "name: tiny\n",
                "keys": ["integrator.method"], "points": points}  # fmt: skip
    (path / "sweep.json").write_bytes(sealed(manifest))
    return path


def test_sweep(tmp_path: Path) -> None:
    stopped = smooth(4).assign_attrs(status="FOLD", status_message="a fold", status_detail="")
    runs = {"euler": smooth(5), "rk4": smooth(10), "heun2": stopped, "dopri5": None}
    page = _check(sweep_report(read_sweep(_sweep(tmp_path / "s", runs)), None, f"too few runs {_HOSTILE}"))
    assert "4 runs over integrator.method: 2 done, 2 failed, 0 missing." in page.text
    for wanted in ("euler completed 6", "a fold", f"no data {_HOSTILE}", f"too few runs {_HOSTILE}", "All runs.",
                   "program of the sweep rdc_dyn 0 abc"):  # fmt: skip
        assert wanted in page.text, wanted
    assert len(page.sources) == 4


def test_heads_of_a_sweep_s_table_are_short() -> None:
    from rdc_dyn.read.report.sweep import _short

    assert _short(["integrator.method", "integrator.step_size", "corrector"]) == ["method", "step_size", "corrector"]
    assert _short(["integrator.method", "corrector.method", "seed"]) == [
        "integrator.method",
        "corrector.method",
        "seed",
    ]


@pytest.mark.slow
def test_many_runs_are_chosen_evenly_and_it_says_so(tmp_path: Path) -> None:
    path = _sweep(tmp_path / "s", {f"method {k:02}": smooth(4) for k in range(15)})
    page = _check(sweep_report(read_sweep(path)))
    assert "12 of 15 runs, evenly chosen." in page.text and "Every run came to the end" in page.text


def test_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantities = ["error_losses", "error_closure"]
    comparison = xr.Dataset(
        {
            "error_losses": ("run", [1e-3, 1e-12]), "error_closure": ("run", [2e-3, np.nan]),
            "gradient_equivalents": ("run", [10.0, 20.0]), "wall_time": ("run", [1.0, 2.0]),
            "at_floor": (("run", "quantity"), [[False, False], [True, False]]),
            "floor_reason": (("run", "quantity"), [["", ""], ["the linear solver's rtol = 1e-09", ""]]),
            "order": (("series_name", "quantity"), [[1.02, np.nan]]),
            "order_low": (("series_name", "quantity"), [[0.9, np.nan]]),
            "order_high": (("series_name", "quantity"), [[1.1, np.nan]]),
        },
        {"run": ["a", "b"], "series": ("run", ["euler", "euler"]), "resolution": ("run", [0.1, 0.05]),
         "quantity": quantities, "series_name": ["euler"]},
    )  # fmt: skip
    from rdc_dyn.read.plots import plot_path

    monkeypatch.setattr("rdc_dyn.read.report.sweep.plot_work_precision", lambda comparison: plot_path(smooth()))
    page = _check(sweep_report(read_sweep(_sweep(tmp_path / "s", {"euler": smooth(5)})), comparison))
    assert "euler 1.02 [0.90, 1.10]" in page.text
    assert "euler 0.1 1.00e-03 2.00e-03 10 1" in page.text  # no star
    assert "euler 0.05 1.00e-12* 20 2" in page.text
    assert "error runs floor (R, D, C) 1 the linear solver's rtol = 1e-09" in page.text  # whose floor, as compare says
    assert len(page.sources) == 5


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run of the sweep has a point"):
        sweep_report(read_sweep(_sweep(tmp_path / "s", {"euler": trajectory(0), "rk4": None})))


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["report", *map(str, arguments)])
        return result.exit_code, result.output

    (tmp_path / "run").mkdir()
    write_netcdf(smooth(5).assign_attrs(ATTRIBUTES), tmp_path / "run" / "trajectory.nc")
    page = tmp_path / "page.html"
    assert call(tmp_path / "run", "-o", page) == (0, f"wrote {page}\n")
    _check(page.read_text(encoding="utf-8"))
    (tmp_path / "empty").mkdir()
    write_netcdf(trajectory(0), tmp_path / "empty" / "trajectory.nc")
    for directory, output, code, text in (
        (tmp_path / "run", tmp_path / "page.txt", 2, "ends in .html"),
        (tmp_path / "run", tmp_path / "no" / "page.html", 4, "there is no folder"),
        (tmp_path / "none", page, 4, "not a run directory"),
        (tmp_path / "empty", page, 4, "no points"),
    ):
        found, shown = call(directory, "-o", output)
        assert found == code and text in shown and shown.count("\n") == 1, shown
