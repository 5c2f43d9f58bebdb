"""The surface over a grid of (λ, γ), against the closed form and against runs of single nodes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.comparison.exact_path import closed_form
from rdc_dyn.dynamics import Grid
from rdc_dyn.scenario import dump, from_mapping
from tests.tiny import images, linear_gaussian

LAM, GAMMA = (1.0, 1.5, 2.0), (3.0, 2.0)


@pytest.mark.parametrize("along", ["lam", "gamma"])
def test_every_node_is_visited_once_and_neighbours_follow_each_other(along: Any) -> None:
    grid = Grid((0.0, 5.0), LAM, GAMMA, along)
    nodes = [grid.node(number) for number in range(6)]
    assert nodes[0] == (0, 0) and len(set(nodes)) == 6
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in pairwise(nodes))
    like = torch.zeros(3, dtype=torch.float64)
    for number, (i, j) in enumerate(nodes):
        assert grid.prescribed(float(number), like).tolist() == [LAM[i], GAMMA[j], 0.0]
    between = grid.prescribed(0.5, like) - 0.5 * (grid.prescribed(0.0, like) + grid.prescribed(1.0, like))
    assert float(between.abs().max()) < 1e-15


def test_the_surface_is_that_of_the_closed_form() -> None:
    tree = linear_gaussian()
    found = rdc_dyn.surface(tree, LAM, GAMMA)
    assert dict(found.rate.sizes) == {"lam": 3, "gamma": 2} and found.attrs["status"] == "COMPLETED"
    exact = closed_form(from_mapping(tree))
    assert exact is not None
    for lam in LAM:
        for gamma in GAMMA:
            here, losses = found.sel(lam=lam, gamma=gamma), exact.at(np.array([lam, gamma, 0.0])).losses
            assert float(here.rate) == pytest.approx(losses[0], abs=1e-8)
            assert float(here.distortion) == pytest.approx(losses[1], abs=1e-8)
            assert float(here.classification_loss) == pytest.approx(losses[2], abs=1e-8)
    assert float(found.rdc.concavity_gap().max()) == 0.0
    assert float(found.rdc.hessian_eigenvalues().max()) <= 1e-12
    assert found.sel(lam=1.0, gamma=3.0).visited == 0
    found.rdc.plot_free_energy_surface()


def test_a_node_that_is_not_the_lowest_shows_in_the_gap() -> None:
    found = rdc_dyn.surface(linear_gaussian(), LAM, GAMMA)
    raised = found.free_energy + xr.where((found.lam == 1.5) & (found.gamma == 2.0), 0.5, 0.0)
    gap = found.assign(free_energy=raised).rdc.concavity_gap()
    worst = gap.where(gap == gap.max(), drop=True)
    assert (worst.lam.item(), worst.gamma.item()) == (1.5, 2.0) and 0.0 < float(gap.max()) < 0.5


@pytest.mark.slow
def test_the_command_stops_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(dump(from_mapping(images())))
    words = ["surface", str(tmp_path / "tiny.yaml"), "--lam", "0.5:1:3", "--gamma", "2:4:2:log", "-q"]
    stopped = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "stopped"), "--max-time", "0.001s"])
    assert stopped.exit_code == 5, stopped.output
    assert CliRunner().invoke(main, ["resume", str(tmp_path / "stopped"), "-q"]).exit_code == 0
    whole = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "whole")])
    assert whole.exit_code == 0 and "3 x 2 equilibria; F is concave" in whole.output, whole.output
    one, two = (rdc_dyn.open_run(tmp_path / name).rdc.surface() for name in ("stopped", "whole"))
    np.testing.assert_array_equal(one.free_energy, two.free_energy)
    np.testing.assert_allclose(one.lam, [0.5, 0.75, 1.0])
    assert bool(two.free_energy.notnull().all())  # a branch that ends leaves no node out
    assert CliRunner().invoke(main, ["verify", str(tmp_path / "whole")]).exit_code == 0
    info = CliRunner().invoke(main, ["info", str(tmp_path / "whole")])
    assert info.exit_code == 0, info.output


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("0.5:1", "is no axis"),
        ("0:1:3:log", "is no axis"),
        ("1,x", "is no axis"),
        ("1", "the grid has one node"),
        ("1,1", "expected values that rise or fall"),
        ("-1,1", "must be >= 0"),
        ("nan,1", "nan"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, axis: str, message: str) -> None:
    (tmp_path / "tiny.yaml").write_text(dump(from_mapping(images())))
    words = ["surface", str(tmp_path / "tiny.yaml"), "--lam", axis, "--gamma", "2", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and message in done.output, done.output
    assert not (tmp_path / "out").exists()


def test_other_runs_are_no_surface() -> None:
    with pytest.raises(rdc_dyn.UserError, match="form no grid"):
        rdc_dyn.run(linear_gaussian()).rdc.surface()
