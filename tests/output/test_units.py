"""Nats and bits: what is converted, what is not, what figures say, and that nothing mixes the two silently."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.read import plots, shown
from rdc_dyn.read.plots.interactive import surface_page, trajectory_page
from rdc_dyn.read.report import run_report
from rdc_dyn.record import VARIABLES
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.dataset import MATRICES, write_netcdf
from tests.output.figures import clipped
from tests.output.paths import grid, smooth
from tests.tiny import linear_gaussian, trajectory


def _texts(figure: Figure) -> str:
    """All words of a figure: its axes, legends and texts."""
    return "\n".join(text.get_text() for text in figure.findobj(match=Text) if isinstance(text, Text))


def _xy(panel: Axes) -> np.ndarray:
    """What the first line of a panel draws."""
    return np.asarray(panel.lines[0].get_xydata(), dtype=float)


def test_what_carries_nats_is_converted_and_nothing_else() -> None:
    run = trajectory()
    bits = run.rdc.in_units("bits")
    for name, variable in (VARIABLES | MATRICES).items():
        if name in run.variables:
            factor = 1 / math.log(2) if variable.units == "nat" else 1.0
            np.testing.assert_allclose(bits[name], run[name] * factor, rtol=1e-15)
            assert bits[name].attrs == run[name].attrs | {"units": variable.units.replace("nat", "bit")}
    for name in ("time", "lam", "gamma", "accuracy", "gradient_evaluations", "wall_time"):
        assert bits[name].variable.identical(run[name].variable), name
    assert set(bits.coords) == set(run.coords) and bits.attrs == run.attrs
    assert run.rdc.in_units("nats") is run and bits.rdc.in_units("bits") is bits
    xr.testing.assert_allclose(bits.rdc.in_units("nats"), run, rtol=1e-15)


def test_a_coordinate_and_an_inverse_are_converted_too() -> None:
    run = smooth().swap_dims(time="rate")
    assert float(run.rdc.in_units("bits").rate.to_index()[0]) == pytest.approx(float(run.rate[0]) / math.log(2))
    curved = xr.Dataset({"curvature": smooth().rdc.curvature()})
    bits = curved.rdc.in_units("bits").curvature
    np.testing.assert_allclose(bits, curved.curvature * math.log(2))
    assert bits.attrs["units"] == "bit-1"


def test_identities_are_in_nats_whatever_the_dataset_is_in() -> None:
    run = smooth()
    bits = run.rdc.in_units("bits")
    for name in ("free_energy_closure", "first_law_residual", "arclength", "curvature", "drift", "hessian_eigenvalues"):
        one, other = getattr(run.rdc, name)(), getattr(bits.rdc, name)()
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-14, err_msg=name)
        assert other.attrs == one.attrs, name
    tolerance = 1.2e-9  # between the residual in nats and in bits
    assert bits.rdc.equilibrium_mask(tolerance).equals(run.rdc.equilibrium_mask(tolerance))


def test_a_dataset_in_bits_is_written_and_read_back_in_bits_and_is_no_run(tmp_path: Path) -> None:
    run = trajectory()
    bits = run.rdc.in_units("bits")
    write_netcdf(bits, tmp_path / "bits.nc")
    with xr.open_dataset(tmp_path / "bits.nc") as read:
        assert read.rate.attrs["units"] == "bit"
        xr.testing.assert_allclose(read.rdc.in_units("nats"), run, rtol=1e-15)
    (tmp_path / "run").mkdir()
    write_netcdf(bits, tmp_path / "run" / "trajectory.nc")
    with pytest.raises(DataError, match="rate is in bit and not in nat"):
        rdc_dyn.open_run(tmp_path / "run")


@pytest.mark.parametrize("plot", [plots.plot_path, plots.plot_losses, plots.plot_trajectory, plots.plot_surface3d])
def test_a_figure_in_bits(plot: Any) -> None:
    run = smooth()
    words = {units: _texts(plot(run, units=units)) for units in ("nats", "bits")}
    assert "(nat)" in words["nats"] and "(bit)" not in words["nats"]
    assert "(bit)" in words["bits"] and "(nat)" not in words["bits"]
    assert not clipped(plot(run, units="bits"))
    assert _texts(plot(run.rdc.in_units("bits"))) == words["nats"]  # whatever it is in, it is drawn as asked


def test_the_lines_of_a_figure_in_bits_are_the_data_in_bits() -> None:
    run = smooth()
    bits = run.rdc.in_units("bits")
    path = plots.plot_path({"a": run}, units="bits").axes[0]
    np.testing.assert_allclose(_xy(path), np.stack([bits.rate, bits.distortion], 1))
    both = [plots.plot_residuals(run, units=units).axes for units in ("nats", "bits")]
    for one, other in zip(*both):
        ratio = _xy(other)[1:, 1] / _xy(one)[1:, 1]
        relative = "sqrt" in one.get_ylabel()
        np.testing.assert_allclose(ratio, 1.0 if relative else 1 / math.log(2), rtol=1e-6)
        assert ("(bit)" in other.get_ylabel()) is not relative
    multipliers = plots.plot_multipliers(run, units="bits").axes[0]
    np.testing.assert_array_equal(_xy(multipliers), np.stack([run.lam, run.gamma], 1))


def test_surfaces_and_pages_in_bits() -> None:
    surface = grid().isel(time=0, drop=True).rename(start_lam="lam_", start_gamma="gamma_")
    surface = surface.assign_coords(lam_=surface.lam, gamma_=surface.gamma).drop_vars(["lam", "gamma"])
    surface = surface.rename(lam_="lam", gamma_="gamma")
    for name in ("rate", "distortion", "classification_loss", "free_energy"):
        surface[name].attrs["units"] = "nat"
    assert "free energy $F$ (bit)" in _texts(surface.rdc.plot_surface(units="bits"))
    assert "free energy $F$ (bit)" in _texts(surface.rdc.plot_free_energy_surface(units="bits"))
    assert surface_page(surface, units="bits").data[0].colorbar.title.text == "classification loss C (bit)"
    page = trajectory_page(smooth(), units="bits")
    assert page.layout.xaxis.title.text == "rate R (bit)" and page.layout.scene.xaxis.title.text == "R (bit)"
    line = next(trace for trace in page.data if trace.mode == "lines+markers")
    rate = float(smooth().rate[0]) / math.log(2)
    assert line.x[0] == pytest.approx(rate) and f"R = {rate:.6g} bit<br>" in line.text[0]


@pytest.mark.parametrize(
    ("units", "hint"),
    [("bit", "did you mean bits"), ("nat", "did you mean nats"), ("shannon", "expected nats or bits")],
)
def test_unknown_units_are_refused_in_one_line(units: Any, hint: str, tmp_path: Path) -> None:
    run = trajectory()
    for call in (
        run.rdc.in_units,
        lambda units: run.rdc.plot(units=units),
        lambda units: run.rdc.plot_losses(units=units),
    ):
        with pytest.raises(UserError, match=f"units: '{units}' is unknown; {hint}"):
            call(units)
    done = CliRunner().invoke(main, ["plot", str(tmp_path), "-o", str(tmp_path / "f.png"), "--units", units])
    assert done.exit_code == 2 and hint in done.output and done.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_draws_in_bits(tmp_path: Path) -> None:
    rdc_dyn.run(linear_gaussian(), tmp_path / "run")
    file = tmp_path / "f.html"
    done = CliRunner().invoke(main, ["plot", str(tmp_path / "run"), "-o", str(file), "--units", "bits"])
    assert done.exit_code == 0, done.output
    assert "rate R (bit)" in file.read_text(encoding="utf-8")


_NOTE = "minus a log density"


@pytest.mark.parametrize("below", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_negative_distortion_is_explained_where_it_is_shown(below: bool, tmp_path: Path) -> None:
    run = smooth()
    shift = 10.0 if below else 0.0
    run["distortion"] = run.distortion - shift
    for plot in (plots.plot_path, plots.plot_losses, plots.plot_trajectory, plots.plot_surface3d):
        figure = plot(run)
        assert _texts(figure).count(_NOTE) == below, plot.__name__
        assert not clipped(figure), plot.__name__
    assert (_NOTE in str(trajectory_page(run).layout.yaxis.title.text)) is below
    assert ("D is minus a log density and may be negative." in run_report(run)) is below
    (tmp_path / "run").mkdir()
    write_netcdf(run, tmp_path / "run" / "trajectory.nc")
    told = CliRunner().invoke(main, ["info", str(tmp_path / "run")])
    assert told.exit_code == 0, told.output
    assert ("\nD is minus a log density and may be negative.\n" in told.output) is below


def test_a_negative_c_is_explained_as_well() -> None:
    run = smooth()
    below = {name: run[name] - 10.0 for name in ("distortion", "classification_loss")}
    assert shown.note(run.assign(below)) == "D and C are minus log densities and may be negative."
    assert shown.note(run.assign(rate=run.rate - 10.0)) == ""
    figure = plots.plot_losses(run.assign(below))
    assert _texts(figure).count(_NOTE) == 2 and not clipped(figure)


def test_what_the_accessor_shows_has_the_units_of_the_dataset() -> None:
    shown = repr(trajectory().rdc.in_units("bits").rdc)
    (line,) = [line for line in shown.splitlines() if line.startswith("rate ")]
    assert line.endswith("bit")
