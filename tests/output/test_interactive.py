"""Pages that can be turned: what they hold, and in a browser that the marks move together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.read.plots.interactive import interactive_page, surface_page, trajectory_page
from rdc_dyn.read.report import run_report
from tests.tiny import linear_gaussian

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
#: Moves the slider to its end, and leaves the places of all marks in the page's title.
_PROBE = """<script>setTimeout(() => {
  const page = document.querySelector(".plotly-graph-div"), marks = page.layout.meta.marks;
  page.emit("plotly_sliderchange", {slider: {active: 100}});
  document.title = JSON.stringify(marks.map(([mark, line]) => [page.data[mark].x[0], page.data[line].x.at(-1)]));
}, 500);</script></body>"""


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return rdc_dyn.run(linear_gaussian())


def _dom(file: Path) -> str:
    """A page as it stands after its scripts have run in a browser."""
    assert BROWSER is not None
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    return subprocess.run([*words, file.as_uri()], capture_output=True, text=True, timeout=120).stdout


def test_a_page_needs_nothing_from_elsewhere(run: xr.Dataset) -> None:
    page = interactive_page(trajectory_page({"one": run, "other": run}))
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"http", page)
    figure = run.rdc.plot(backend="plotly")
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == 3 + 3 + 3  # paths, losses, and residuals of a process that holds nothing
    assert f"R = {float(run.rate[0]):.6g}" in lines[0].text[0]


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_the_slider_moves_every_mark(run: xr.Dataset, tmp_path: Path) -> None:
    page = interactive_page(trajectory_page({"one": run, "short": run.isel(time=slice(0, 3))}))
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", _PROBE), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", _dom(file))
    assert title is not None
    places = json.loads(title[1])
    assert len(places) == 2 * 5 and all(mark == end for mark, end in places)


def test_plots_of_runs_sweeps_and_surfaces(tmp_path: Path) -> None:
    tree = linear_gaussian()
    rdc_dyn.run(tree, tmp_path / "run")
    rdc_dyn.surface(tree, [1.0, 2.0], [2.0, 3.0], tmp_path / "surface")
    rdc_dyn.sweep(tree, {"start.gamma": [1.0, 1.2]}, output=tmp_path / "sweep", threads=1)
    for name in ("run", "surface", "sweep"):
        for suffix in (".html", ".png"):
            done = CliRunner().invoke(main, ["plot", str(tmp_path / name), "-o", str(tmp_path / (name + suffix))])
            assert done.exit_code == 0, done.output
            assert (tmp_path / (name + suffix)).stat().st_size > 10_000
    assert "1.2" in (tmp_path / "sweep.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_a_report_may_hold_the_same(run: xr.Dataset, tmp_path: Path) -> None:
    page = run_report(run.assign_attrs(title="</title><script>alert(1)</script>"), interactive=True)
    assert "<script>alert(1)" not in page and page.count("<html") == 1
    (tmp_path / "page.html").write_text(page.replace("</body>", _PROBE), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", _dom(tmp_path / "page.html"))
    assert title is not None
    places = json.loads(title[1])
    assert places and all(mark == end for mark, end in places)


def test_a_title_of_a_stranger_is_no_markup(run: xr.Dataset) -> None:
    page = interactive_page(trajectory_page(run.assign_attrs(title="</title><script>alert(1)</script>")))
    assert "<script>alert(1)" not in page


def test_refusals(run: xr.Dataset) -> None:
    with pytest.raises(rdc_dyn.UserError, match="unknown backend 'bokeh'"):
        run.rdc.plot(backend="bokeh")
    row = rdc_dyn.surface(linear_gaussian(), [1.0, 2.0], [2.0])
    with pytest.raises(rdc_dyn.UserError, match="at least two values"):
        surface_page(row)
    with pytest.raises(rdc_dyn.UserError, match="at least two values"):
        row.rdc.plot_surface()
