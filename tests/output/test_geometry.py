"""Arclength, curvature, equilibrium mask and drift, against closed forms; along other dimensions too."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from rdc_dyn.read import identities
from rdc_dyn.status import UserError
from tests.output.paths import curve, jumping, smooth
from tests.tiny import trajectory

_U = np.linspace(0, 1, 41)


def _circle(angles: np.ndarray, radius: float) -> np.ndarray:
    """In a plane that is parallel to no axis."""
    first, second = np.array([0.6, 0.8, 0.0]), np.array([-0.48, 0.36, 0.8])
    return radius * (np.cos(angles) * first[:, None] + np.sin(angles) * second[:, None]) + 5


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_circle(radius: float) -> None:
    angles = 2 * _U + 0.3 * _U**2  # not at unit speed
    run = curve(_U, _circle(angles, radius))
    np.testing.assert_allclose(identities.curvature(run), 1 / radius, rtol=2e-5)
    np.testing.assert_allclose(identities.arclength(run), radius * angles, rtol=1e-8)


def test_order_on_an_ellipse() -> None:
    def errors(points: int) -> tuple[float, float]:
        s = np.linspace(0, 1, points)
        run = curve(s, np.stack([2 * np.cos(2 * s), np.sin(2 * s), 0 * s]))
        exact = 2 / (4 * np.sin(2 * s) ** 2 + np.cos(2 * s) ** 2) ** 1.5
        fine = np.linspace(0, 1, 100_001)
        length = np.trapezoid(2 * np.hypot(2 * np.sin(2 * fine), np.cos(2 * fine)), fine)
        return float(abs(identities.curvature(run) - exact).max()), abs(float(identities.arclength(run)[-1]) - length)

    (bent, long), (bent2, long2) = errors(21), errors(41)
    assert bent / bent2 > 8 and bent2 < 5e-3
    assert long / long2 > 12 and long2 < 1e-6


def test_line() -> None:
    run = curve(_U, np.stack([1 + 3 * _U**2, 2 - 4 * _U**2, 0 * _U + 0.4]))
    assert float(abs(identities.curvature(run)).max()) < 1e-8
    np.testing.assert_allclose(identities.arclength(run), 5 * _U**2, atol=1e-13)
    assert identities.geodesic_straightness(run) < 1e-15


def test_a_jump_is_no_length() -> None:
    run = jumping(9, at=4)
    length = identities.arclength(run)
    assert float(length[4]) == float(length[3])
    assert float(length[-1]) < 3
    assert float(abs(identities.curvature(run)).max()) < 10  # no corner of the jump in it


def test_a_point_that_rests() -> None:
    run = curve([0, 1, 2, 3, 4], np.array([[0, 1, 1, 2, 3]] * 3, dtype=float))
    np.testing.assert_allclose(identities.arclength(run) / np.sqrt(3), [0, 1, 1, 2, 3])
    np.testing.assert_allclose(identities.curvature(run), 0, atol=1e-12)


@pytest.mark.parametrize("points", [0, 1, 2])
def test_short(points: int) -> None:
    run = smooth().isel(time=slice(points))
    assert identities.arclength(run).sizes["time"] == identities.curvature(run).sizes["time"] == points
    assert identities.curvature(run).isnull().all()
    assert identities.equilibrium_mask(run).sizes["time"] == points
    assert identities.drift(run).sizes["time"] == points
    assert np.isnan(identities.geodesic_straightness(run)) == (points < 2)


@pytest.mark.parametrize(
    ("text", "attributes", "passes"),
    [
        ("corrector: {tolerance: 1.0e-5}\nstart: {equilibrate: {tolerance: 1.0e-3}}", {}, [True, False, False]),
        ("corrector: {method: none}\nstart: {equilibrate: {tolerance: 1.0e-3}}", {}, [True, True, False]),
        ("corrector: {tolerance: null}", {"dtype": "float32"}, [True, False, False]),
        ("name: x", {"dtype": "float64"}, [False, False, False]),
    ],
)
def test_equilibrium_mask(text: str, attributes: dict[str, str], passes: list[bool]) -> None:
    run = trajectory(3).assign(equilibrium_residual=("time", [1e-6, 5e-4, np.nan]))
    mask = identities.equilibrium_mask(run.assign_attrs(scenario=text, **attributes))
    assert mask.dtype == bool and mask.values.tolist() == passes
    assert identities.equilibrium_mask(run, 1.0).values.tolist() == [True, True, False]
    with pytest.raises(UserError, match="expected a positive number"):
        identities.equilibrium_mask(run, -1.0)


def test_drift_of_anything() -> None:
    run = smooth()
    expected = run.rate - run.rate[0] + 0.5 * (run.distortion - run.distortion[0])
    np.testing.assert_allclose(identities.drift(run, {"rate": 1, "distortion": 0.5}), expected, atol=1e-15)
    assert identities.drift(run, {"rate": 1, "distortion": 0.5}).attrs["units"] == "nat"
    np.testing.assert_array_equal(run.rdc.drift("lam"), run.lam - run.lam[0])
    with pytest.raises(UserError, match="no variable 'distorsion' along time; nearest: distortion"):
        run.rdc.drift("distorsion")
    with pytest.raises(UserError, match="no functional"):
        run.rdc.drift({})


def test_along_other_dimensions_and_lazily() -> None:
    runs = [smooth(8), smooth(8).assign(rate=smooth(8).rate ** 2)]
    many = xr.concat(runs, dim="integrator_method")
    functions = (
        identities.drift, identities.maxwell_residual, identities.hessian_eigenvalues, identities.first_law_residual,
        identities.free_energy_closure, identities.equilibrium_mask, identities.arclength, identities.curvature,
    )  # fmt: skip
    for data in (many, many.transpose("time", ...), many.chunk(integrator_method=1)):
        for function in functions:
            together = function(data)
            assert together.chunks is not None or data.chunks is None or not data.chunks, function.__name__
            for k, run in enumerate(runs):
                alone = function(run)
                one = together.isel(integrator_method=k).transpose(*alone.dims)
                np.testing.assert_allclose(one.values, alone.values, rtol=1e-12, err_msg=function.__name__)
