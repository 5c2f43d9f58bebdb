"""Identities on trajectories of a free energy that is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from rdc_dyn.read import identities
from rdc_dyn.record import Record
from rdc_dyn.store.dataset import to_dataset
from tests.tiny import ATTRIBUTES

_A, _B, _M = 0.7, 0.4, 0.9


def _point(s: float) -> Record:
    """F = a ln(1 + λ) + b ln(1 + γ) + m ln(1 + λ + γ) along λ = 1 + s², γ = 1 + sin 2s: concave, D = F_λ, C = F_γ."""
    lam, gamma = 1 + s**2, 1 + np.sin(2 * s)
    mixed = 1 + lam + gamma
    free_energy = _A * np.log(1 + lam) + _B * np.log(1 + gamma) + _M * np.log(mixed)
    d, c = _A / (1 + lam) + _M / mixed, _B / (1 + gamma) + _M / mixed
    d_lam, d_gamma = -_A / (1 + lam) ** 2 - _M / mixed**2, -_M / mixed**2
    c_gamma = -_B / (1 + gamma) ** 2 - _M / mixed**2
    penalty = 0.05 * lam * gamma  # any share of R + Ω
    values = {
        "lam": lam, "gamma": gamma, "rate": free_energy - lam * d - gamma * c - penalty, "distortion": d,
        "classification_loss": c, "weight_penalty": penalty, "free_energy": free_energy,
    }  # fmt: skip
    return Record(s, values, ((0.0, 0.0, 0.0), (d_lam, d_gamma, 0.0), (d_gamma, c_gamma, 0.0)))


def _path(steps: int) -> xr.Dataset:
    return to_dataset([_point(s) for s in np.linspace(0.0, 1.0, steps + 1)], ATTRIBUTES)


def _largest(values: xr.DataArray) -> float:
    return float(abs(values).max())


def test_maxwell_holds_and_notices_a_wrong_response() -> None:
    path = _path(10)
    assert _largest(identities.maxwell_residual(path)) < 1e-15
    wrong = path.copy(deep=True)
    wrong.response.loc["distortion", "gamma"] *= 1.01
    scale = np.sqrt(path.response.sel(functional="distortion", control="lam").values
                    * path.response.sel(functional="classification_loss", control="gamma").values)  # fmt: skip
    exact = 0.01 * abs(path.response.sel(functional="distortion", control="gamma").values) / scale
    np.testing.assert_allclose(identities.maxwell_residual(wrong).values, exact, rtol=1e-10)


@pytest.mark.parametrize("identity", [identities.first_law_residual, identities.free_energy_closure])
def test_closure_falls_with_the_fourth_power_of_the_step(identity: Callable[[xr.Dataset], xr.DataArray]) -> None:
    # The residual of a step falls with the fifth power, and there are 1/h of them.
    coarse, fine = (float(abs(identity(_path(n)).cumsum() if identity is identities.first_law_residual else
                              identity(_path(n))).isel(time=-1)) for n in (10, 20))  # fmt: skip
    assert 0 < coarse < 1e-4
    assert 14 < coarse / fine < 18


@pytest.mark.parametrize("name", ["rate", "weight_penalty", "distortion", "classification_loss", "lam", "gamma"])
def test_first_law_notices_a_wrong(name: str) -> None:
    path = _path(20)
    wrong = path.assign({name: path[name] * 1.01})
    assert _largest(identities.first_law_residual(path)) < 1e-7
    assert _largest(identities.first_law_residual(wrong)) > 1e-5


@pytest.mark.parametrize("name", ["free_energy", "distortion", "classification_loss", "lam", "gamma"])
def test_free_energy_closure_notices_a_wrong(name: str) -> None:
    path = _path(20)
    wrong = path.assign({name: path[name] * 1.01})
    assert _largest(identities.free_energy_closure(path)) < 1e-7
    assert _largest(identities.free_energy_closure(wrong)) > 1e-4


@pytest.mark.parametrize("identity", [identities.first_law_residual, identities.free_energy_closure])
def test_a_wrong_response_costs_the_order(identity: Callable[[xr.Dataset], xr.DataArray]) -> None:
    path = _path(20)
    wrong = path.copy(deep=True)
    wrong.response.loc["distortion", "lam"] *= 1.5
    assert _largest(identity(wrong)) > 20 * _largest(identity(path))


def test_hessian_eigenvalues() -> None:
    path = _path(5)
    values = identities.hessian_eigenvalues(path)
    assert values.dims == ("time", "eigenvalue")
    assert (values < 0).all()
    np.testing.assert_array_less(values[:, 0], values[:, 1])
    d_lam = path.response.sel(functional="distortion", control="lam")
    c_gamma = path.response.sel(functional="classification_loss", control="gamma")
    np.testing.assert_allclose(values.sum("eigenvalue").values, (d_lam + c_gamma).values)
    convex = path.assign(response=-path.response)
    assert (identities.hessian_eigenvalues(convex) > 0).all()


def test_drift() -> None:
    path = _path(5)
    held = path.assign(classification_loss=path.classification_loss * 0 + 0.3)
    assert _largest(identities.drift(held)) == 0
    assert float(identities.drift(path)[0]) == 0
    expected = path.distortion.values - path.distortion.values[0]
    np.testing.assert_array_equal(identities.drift(path, "distortion").values, expected)
    assert identities.drift(path).attrs["units"] == "nat"


def test_geodesic_straightness() -> None:
    path, u = _path(8), np.linspace(0, 1, 9)

    def bent(by: float) -> float:
        rate, distortion = 1 + 3 * u, 5 - 4 * u
        bulge = by * 4 * u * (1 - u) * 5  # normal to the chord, whose length is 5; largest in the middle
        return identities.geodesic_straightness(
            path.assign(rate=("time", rate + 0.8 * bulge), distortion=("time", distortion + 0.6 * bulge))
        )

    assert bent(0.0) < 1e-15
    assert bent(0.1) == pytest.approx(0.1, rel=1e-12)
    assert bent(-0.1) == pytest.approx(0.1, rel=1e-12)


def test_accessor_is_the_free_functions() -> None:
    path = _path(4)
    for name in ("drift", "maxwell_residual", "hessian_eigenvalues", "first_law_residual", "free_energy_closure"):
        xr.testing.assert_identical(getattr(path.rdc, name)(), getattr(identities, name)(path))
    assert path.rdc.geodesic_straightness() == identities.geodesic_straightness(path)


@pytest.mark.parametrize("points", [0, 1])
def test_short_trajectories(points: int) -> None:
    path = _path(4).isel(time=slice(points))
    for name in ("maxwell_residual", "hessian_eigenvalues", "first_law_residual", "free_energy_closure"):
        assert getattr(path.rdc, name)().sizes["time"] == points, name
    assert (path.rdc.first_law_residual() == 0).all()
