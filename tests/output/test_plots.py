"""Every figure: labels, nothing cut off, no offsets, the lines are the data, the same run the same look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rdc_dyn.read import plots
from rdc_dyn.read.plots import new_figure, save_figure, style, styles
from rdc_dyn.record import FUNCTIONALS
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.dataset import to_dataset
from tests.output.figures import clipped, offsets, unlabelled
from tests.output.paths import grid, jumping, smooth
from tests.tiny import ATTRIBUTES, record, trajectory

_PLOTS = (
    plots.plot_path,
    plots.plot_multipliers,
    plots.plot_losses,
    plots.plot_residuals,
    plots.plot_trajectory,
    plots.plot_surface3d,
)
_FLAT = _PLOTS[:-1]
_RUNS: dict[str, Callable[[], xr.Dataset | dict[str, xr.Dataset]]] = {
    "smooth": smooth,
    "jumping": jumping,
    "one point": lambda: trajectory(1),
    "large numbers": lambda: smooth().assign(rate=smooth().rate * 1e-6 + 123456, distortion=smooth().distortion * 1e5),
    "several": lambda: {"rk4, h = 0.1": smooth(), "euler, h = 0.05": smooth(20), "jumping": jumping()},
    "many": lambda: {f"a run with a long name {k}": smooth(4) for k in range(12)},
}
each_plot = pytest.mark.parametrize("plot", _PLOTS, ids=lambda p: p.__name__)


@each_plot
@pytest.mark.parametrize("kind", _RUNS)
def test_labelled_and_whole(plot: Callable[..., Figure], kind: str) -> None:
    figure = plot(_RUNS[kind]())
    assert not clipped(figure)
    assert not offsets(figure)
    assert not unlabelled(figure)


@pytest.mark.parametrize("plot", [plots.plot_surface3d, plots.plot_free_energy_surface])
def test_surface_of_a_grid(plot: Callable[..., Figure]) -> None:
    figure = plot(grid())
    assert not clipped(figure) and not offsets(figure) and not unlabelled(figure)
    assert len(figure.axes[0].collections) == 1


def _xy(line: Line2D) -> np.ndarray:
    """What a line draws."""
    return np.asarray(line.get_xydata(), dtype=float)


def test_a_line_is_no_surface() -> None:
    with pytest.raises(UserError, match=r"expected a grid of equilibria over two dimensions; got \(time: 3\)"):
        plots.plot_free_energy_surface(trajectory())


def test_the_checks_notice() -> None:
    figure, axes = new_figure()
    axes[0, 0].set(xlabel="x", xlim=(1e6, 1e6 + 1))
    axes[0, 0].xaxis.get_major_formatter().set_useOffset(1e6)
    figure.text(0.97, 0.5, "reaches beyond the edge")
    assert clipped(figure) == ["reaches beyond the edge"]
    assert offsets(figure) and unlabelled(figure)


@each_plot
def test_no_points(plot: Callable[..., Figure]) -> None:
    with pytest.raises(DataError, match="the trajectory has no points"):
        plot(trajectory(0))
    assert plot({"empty": trajectory(0), "whole": trajectory(3)})


@pytest.mark.parametrize("plot", _FLAT, ids=lambda p: p.__name__)
def test_in_given_axes(plot: Callable[..., Figure]) -> None:
    wanted = {"plot_losses": 3, "plot_residuals": 4, "plot_trajectory": 4}.get(plot.__name__, 1)
    figure, axes = new_figure(1, wanted)
    assert plot(smooth(), axes=axes) is figure
    assert all(panel.lines for panel in axes.flat)
    with pytest.raises(UserError, match=f"2 given; expected {wanted}" if wanted != 2 else "given"):
        plot(smooth(), axes=new_figure(1, 2)[1])


def test_the_lines_are_the_data() -> None:
    run = smooth()
    path = plots.plot_path(run).axes[0]
    np.testing.assert_array_equal(_xy(path.lines[0]), np.stack([run.rate, run.distortion], 1))
    multipliers = plots.plot_multipliers(run).axes[0]
    np.testing.assert_array_equal(_xy(multipliers.lines[0]), np.stack([run.lam, run.gamma], 1))
    for panel, name in zip(plots.plot_losses(run).axes, FUNCTIONALS):
        np.testing.assert_array_equal(_xy(panel.lines[0])[:, 1], run[name])
    closure = _xy(plots.plot_residuals(run).axes[3].lines[0])[:, 1]
    np.testing.assert_allclose(closure[1:], abs(run.rdc.free_energy_closure().values[1:]))
    assert closure[0] == 1e-17  # exactly zero, drawn at the foot


def test_a_jump_is_seen() -> None:
    run = jumping(9, at=4)
    panel = plots.plot_losses(run).axes[1]
    before, after, leap, mark = (_xy(line) for line in (panel.lines[0], *panel.lines[1:2], *panel.lines[2:4]))
    assert len(before) == 4 and len(after) == 5
    np.testing.assert_array_equal(leap, [before[-1], after[0]])
    np.testing.assert_array_equal(mark, [after[0]])
    assert "jump to another branch" in [text.get_text() for text in panel.figure.legends[0].get_texts()]


def test_the_same_run_has_the_same_look_everywhere() -> None:
    runs = {"b": smooth(), "a": smooth(5), "c": smooth(7)}
    wanted = {name: look.color for name, look in styles(list(runs)).items()}
    for plot in _PLOTS:
        for names in (list(runs), list(runs)[::-1]):
            panel = plot({name: runs[name] for name in names}).axes[0]
            colours = [line.get_color() for line in panel.lines if len(_xy(line)) > 1]
            assert colours == [wanted[name] for name in names], plot.__name__
    one = plots.plot_losses({"c": runs["c"]}, look=styles(list(runs))).axes[0]
    assert one.lines[0].get_color() == wanted["c"]
    with pytest.raises(UserError, match="no style for 'c'"):
        plots.plot_losses({"c": runs["c"]}, look=styles(["a"]))


def test_styles_differ_and_repeat_late() -> None:
    names = [f"{k:03}" for k in range(56)]
    assert len(set(styles(names).values())) == 56
    assert styles(names) == styles(names[::-1] + names)
    assert len({s.color for s in styles(names[:8]).values()}) == 8


def test_four_panels() -> None:
    figure = plots.plot_trajectory(trajectory())
    assert figure.get_suptitle() == "tiny   [completed]"
    assert style.LABELS["lam"] in [axes.get_ylabel() for axes in figure.axes]


@pytest.mark.parametrize("panel", [2, 3])
def test_legends_of_the_lower_panels_lie_outside_of_the_data(panel: int) -> None:
    figure = plots.plot_trajectory(smooth())
    figure.canvas.draw()
    axes = figure.axes[panel]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.bbox.y1


def test_nothing_held() -> None:
    run = trajectory()
    figure = plots.plot_trajectory(run.assign(constraint_residual=run.constraint_residual * np.nan))
    legend = figure.axes[3].get_legend()
    assert legend is not None and not any("held" in text.get_text() for text in legend.get_texts())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_save(tmp_path: Path, ending: str) -> None:
    save_figure(plots.plot_trajectory(trajectory(1)), tmp_path / f"f.{ending}")
    assert (tmp_path / f"f.{ending}").stat().st_size > 2000


def test_from_the_accessor() -> None:
    run = trajectory()
    for name in (
        "plot",
        "plot_path",
        "plot_multipliers",
        "plot_losses",
        "plot_residuals",
        "plot_dissipation",
        "plot_surface3d",
    ):
        assert isinstance(getattr(run.rdc, name)(), Figure), name


def test_dissipation_is_drawn_with_its_error_beside_ageing_and_accuracies() -> None:
    extra = {"dissipation_error": 0.1, "ageing": 0.2, "code_accuracy": 0.9, "validation_accuracy": 0.8}
    records = [record(0.1 * i, dissipation=0.3 * i, **extra) for i in range(4)]
    lost, ageing, accuracy = plots.plot_dissipation(to_dataset(records, ATTRIBUTES)).axes
    assert _xy(lost.lines[0])[:, 1].tolist() == pytest.approx([0.0, 0.3, 0.6, 0.9])
    band = np.asarray(lost.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == pytest.approx(-0.1) and band[:, 1].max() == pytest.approx(1.0)
    assert _xy(ageing.lines[0])[:, 1].tolist() == [0.2] * 4
    legend = accuracy.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["code accuracy", "accuracy", "validation accuracy"]
    empty = plots.plot_dissipation(to_dataset([record(0.1 * i) for i in range(3)], ATTRIBUTES)).axes
    assert [text.get_text() for text in empty[1].texts] == ["none"]
