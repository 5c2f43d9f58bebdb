"""What only saves time changes no result: the same path with no preconditioner, memory, kept graph or whole block."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.dynamics.responses.linear_response import LinearResponse
from tests.tiny import images

#: |∇J| that the corrector leaves; γ, which has to hold C, is less certain by 1/C_γ.
_TOLERANCE = 1e-9
_PLAIN_SOLVER = {"preconditioner": "none", "memory": 0}
_IN_BLOCKS = {"graph": "recomputed", "memory": 1e-4}


def _run(solver: dict[str, Any], linearisation: dict[str, Any]) -> xr.Dataset:
    tree = images(
        process={"kind": "iso_classification", "span": [0.0, 0.3]},
        response={"solver": {"method": "cg", **solver}},
        corrector={"method": "newton_krylov", "tolerance": _TOLERANCE},
        linearisation=linearisation,
    )
    del tree["process"]["path"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rdc_dyn.run(tree)


@cache
def _default() -> xr.Dataset:
    return _run({}, {})


@pytest.mark.parametrize(
    ("solver", "linearisation"),
    [
        ({"preconditioner": "none"}, {}),
        ({"memory": 0}, {}),
        ({}, {"graph": "recomputed"}),
        ({}, _IN_BLOCKS),
        (_PLAIN_SOLVER, _IN_BLOCKS),
    ],
)
def test_the_path_is_that_of_the_defaults(solver: dict[str, Any], linearisation: dict[str, Any]) -> None:
    _same_path(_run(solver, linearisation), linearisation)


def test_the_path_without_first_guesses_of_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    with_guess, work = LinearResponse._solve, int(_default().krylov_iterations[-1])
    monkeypatch.setattr(LinearResponse, "_solve", lambda self, energy, at, start: with_guess(self, energy, at, None))
    bare = _run({}, {})
    assert int(bare.krylov_iterations[-1]) > work
    _same_path(bare, {})


def _same_path(bare: xr.Dataset, linearisation: dict[str, Any]) -> None:
    whole = _default()
    assert whole.attrs["status"] == bare.attrs["status"] == "COMPLETED"
    assert whole.attrs["linearisation_graph"] == "kept" and float(whole.equilibrium_residual.max()) <= _TOLERANCE
    if linearisation:
        assert bare.attrs["linearisation_graph"] == "recomputed"
    if linearisation == _IN_BLOCKS:
        assert 0 < bare.attrs["linearisation_block"] < 48
    assert whole.time.values.tolist() == bare.time.values.tolist()
    for name in ("lam", "gamma", "rate", "distortion", "classification_loss", "free_energy"):
        error = abs(whole[name].values - bare[name].values) / abs(whole[name].values).max()
        assert float(error.max()) <= 10 * _TOLERANCE, name
