"""Trajectories at other clocks: exact where recorded, of fourth order between, never smoothed over a jump."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from rdc_dyn.read.identities import to_common_clock
from rdc_dyn.status import UserError
from tests.output.paths import jumping, smooth
from tests.tiny import trajectory

_FINE = np.linspace(0, 1, 401)


@pytest.mark.parametrize("name", ["rate", "distortion", "gamma", "free_energy", "response"])
def test_fourth_order(name: str) -> None:
    exact = smooth(400)[name]
    errors = [float(abs(to_common_clock(smooth(n), _FINE)[name] - exact.values).max()) for n in (20, 40, 80)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.5).all() and errors[-1] > 1e-12, (orders, errors)


def test_recorded_values_are_kept_exactly() -> None:
    for run in (smooth(7), jumping(), trajectory(3)):
        xr.testing.assert_identical(to_common_clock(run, run), run)
        some = to_common_clock(run, [float(run.time[1]), float(run.time[0]) + 1e-3, float(run.time[2])])
        for name in run.data_vars:
            kept = run[name].isel(time=[1, 2]).values
            np.testing.assert_array_equal(some[name].isel(time=[0, 2]).values, kept)


def test_times_that_differ_by_rounding_are_the_same() -> None:
    run = jumping()
    shaken = run.time.values * (1 + 2e-16)
    np.testing.assert_array_equal(to_common_clock(run, shaken).distortion.values, run.distortion.values)


def test_nothing_is_smoothed_over_a_jump() -> None:
    run = jumping(9, at=4)
    fine = np.linspace(0, 0.8, 161)
    found = to_common_clock(run, fine)
    before, gap, after = fine <= 0.3, (fine > 0.3 + 1e-9) & (fine < 0.4 - 1e-9), fine >= 0.4 - 1e-9
    np.testing.assert_allclose(found.distortion[before], fine[before] ** 2, atol=1e-14)
    np.testing.assert_allclose(found.distortion[after], 10 + fine[after] ** 3, atol=1e-13)
    assert gap.sum() > 5
    assert found.distortion[gap].isnull().all()
    assert found.gradient_evaluations[gap].values.tolist() == [30.0] * int(gap.sum())
    assert int((found.jump_theta != 0).sum()) == 1


def test_rules() -> None:
    run = jumping(9, at=20)
    found = to_common_clock(run, [0.15, 0.95, -0.1])
    assert float(found.gradient_evaluations[0]) == 10.0
    assert float(found.wall_time[0]) == float(run.wall_time[1])
    np.testing.assert_allclose(found.equilibrium_residual[0], 1e-9)  # the larger of 1e-9 and 1e-10
    signed = run.assign(constraint_residual=("time", [0.0, 1e-9, -3e-9, *[0.0] * 6]))
    assert float(to_common_clock(signed, [0.15]).constraint_residual[0]) == -3e-9
    assert found.isel(time=[1, 2])[["rate", "gradient_evaluations", "equilibrium_residual"]].to_array().isnull().all()
    assert found.time.values.tolist() == [0.15, 0.95, -0.1]
    assert found.attrs == run.attrs and found.rate.attrs == run.rate.attrs
    assert found.response.dims == run.response.dims


def test_a_followed_fold_is_linear_and_spoils_nothing() -> None:
    """λ = 1 − |s − 0.55|: a kink between 0.5 and 0.6; smooth on either side."""
    times = np.linspace(0, 1, 11)
    index = np.where(times < 0.55, 0.0, 1.0)
    side = np.where(times < 0.55, times**3, -(times**3))
    run = trajectory(11).assign_coords(time=times, lam=("time", 1 - abs(times - 0.55)))
    run = run.assign(morse_index=("time", index), rate=("time", side))
    found = to_common_clock(run, [0.25, 0.575, 0.95])
    np.testing.assert_allclose(found.lam, [1 - 0.3, 0.95, 0.6], atol=1e-14)
    np.testing.assert_allclose(found.rate[[0, 2]], [0.25**3, -(0.95**3)], atol=1e-14)
    assert side.min() <= float(found.rate[1]) <= side.max()


def test_a_clock_that_runs_down() -> None:
    run = smooth(10)
    down = run.isel(time=slice(None, None, -1))
    clock = [0.05, 0.33, 0.9, 1.0]
    np.testing.assert_allclose(to_common_clock(down, clock).rate, to_common_clock(run, clock).rate, rtol=1e-14)


@pytest.mark.parametrize("points", [0, 1, 2, 3])
def test_few_points(points: int) -> None:
    run = smooth(10).isel(time=slice(points))
    found = to_common_clock(run, [0.0, 0.15, 5.0])
    assert found.sizes["time"] == 3 and found.response.shape[:2] == (3, 3)
    assert found.rate.notnull().values.tolist() == [points > 0, points > 2, False]


def test_sparse_columns() -> None:
    run = smooth(10)
    sparse = np.where(np.arange(11) % 5 == 0, np.arange(11.0), np.nan)
    run = run.assign(smallest_eigenvalue=("time", sparse), validation_rate=("time", sparse))
    found = to_common_clock(run, [0.25])
    assert float(found.smallest_eigenvalue[0]) == pytest.approx(2.5)
    assert float(found.validation_rate[0]) == pytest.approx(2.5)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="one-dimensional clock of finite numbers"):
        to_common_clock(smooth(), [0.0, np.nan])
    with pytest.raises(UserError, match="not monotone"):
        to_common_clock(smooth().isel(time=[0, 2, 1, 3]), [0.1])
