"""The figure of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from rdc_dyn.output.plot import plot_trajectory, save_figure
from tests.tiny import trajectory


def _panels(figure: Figure) -> list[list[str]]:
    """Labels of the legend of each panel; the fifth axes are the colour bar."""
    legends = [axes.get_legend() for axes in figure.axes[:4]]
    return [[text.get_text() for text in legend.get_texts()] for legend in legends if legend is not None]


def test_four_labelled_panels() -> None:
    figure = plot_trajectory(trajectory())
    assert len(figure.axes) == 5
    for axes in figure.axes[:4]:
        assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel()
    assert "lambda" in figure.axes[4].get_ylabel()
    assert figure.get_suptitle() == "tiny   [completed]"


def test_every_residual_that_exists_has_a_line() -> None:
    assert _panels(plot_trajectory(trajectory()))[3] == [
        r"$\|\nabla_\theta J\|$", "held functional", "linear solves", "free-energy closure"
    ]  # fmt: skip


def test_nothing_held() -> None:
    run = trajectory()
    figure = plot_trajectory(run.assign(constraint_residual=run.constraint_residual * np.nan))
    assert "held functional" not in _panels(figure)[3]


def test_the_lines_are_the_data() -> None:
    run = trajectory()
    figure = plot_trajectory(run)
    path, multipliers, losses, _ = figure.axes[:4]
    np.testing.assert_array_equal(path.lines[0].get_xydata(), np.stack([run.rate, run.distortion], 1))
    np.testing.assert_array_equal(multipliers.lines[0].get_xydata(), np.stack([run.lam, run.gamma], 1))
    np.testing.assert_array_equal(losses.lines[0].get_ydata(), run.rate - run.rate[0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_one_point(tmp_path: Path, ending: str) -> None:
    save_figure(plot_trajectory(trajectory(1)), str(tmp_path / f"f.{ending}"))
    assert (tmp_path / f"f.{ending}").stat().st_size > 2000


def test_from_the_accessor() -> None:
    assert isinstance(trajectory().rdc.plot(), Figure)
