"""The layout of a trajectory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rdc_dyn.record import CONTROLS, FUNCTIONALS, VARIABLES, Record
from rdc_dyn.store.dataset import to_dataset
from tests.tiny import ATTRIBUTES, record, trajectory

#: The contract, written out: renaming a variable is a change that users see.
_NEEDED = [
    "rate",
    "distortion",
    "classification_loss",
    "weight_penalty",
    "free_energy",
    "accuracy",
    "equilibrium_residual",
    "constraint_residual",
    "step_size",
    "vector_field_evaluations",
    "gradient_evaluations",
    "hessian_vector_products",
    "krylov_iterations",
    "krylov_residual",
    "corrector_iterations",
    "preconditioner_builds",
    "preconditioner_products",
    "wall_time",
    "response",
]
_OPTIONAL = [
    "validation_rate",
    "validation_distortion",
    "validation_classification_loss",
    "validation_free_energy",
    "validation_accuracy",
    "validation_target_accuracy",
    "validation_target_classification_loss",
    "fresh_distortion",
    "fresh_classification_loss",
]


def test_names_are_the_contract() -> None:
    dataset = trajectory()
    assert set(dataset.data_vars) == set(_NEEDED)
    assert set(dataset.coords) == {"time", "functional", "control", "lam", "gamma", "data_position"}
    assert set(_OPTIONAL) <= {name for name, variable in VARIABLES.items() if variable.optional}


def test_dimensions() -> None:
    dataset = trajectory(4)
    assert dict(dataset.sizes) == {"time": 4, "functional": 3, "control": 3}
    assert dataset.response.dims == ("functional", "control", "time")
    assert "time" in dataset.xindexes
    assert all(dataset[name].dims == ("time",) for name in [*CONTROLS, *_NEEDED] if name != "response")
    assert list(dataset.functional.values) == list(FUNCTIONALS)
    assert list(dataset.control.values) == list(CONTROLS)


def test_everything_numeric_is_float64_and_says_what_it_is() -> None:
    dataset = trajectory()
    for name in [*CONTROLS, *_NEEDED, "time"]:
        assert dataset[name].dtype == np.float64, name
        assert dataset[name].attrs["long_name"], name
        assert dataset[name].attrs["units"] in ("nat", "1", "s"), name


def test_values_and_order_of_the_response() -> None:
    dataset = to_dataset([record(0.25, rate=3.5)], ATTRIBUTES)
    assert float(dataset.rate.sel(time=0.25)) == 3.5
    assert float(dataset.response.sel(functional="distortion", control="lam", time=0.25)) == -1 / 3
    assert float(dataset.response.sel(functional="rate", control="gamma", time=0.25)) == 0.2
    assert math.isnan(float(dataset.response.sel(functional="classification_loss", control="data_position").item()))


def test_optional_variable_is_there_once_a_record_has_it() -> None:
    dataset = to_dataset([record(0.0), record(1.0, fresh_distortion=2.0)], ATTRIBUTES)
    assert "validation_rate" not in dataset
    np.testing.assert_array_equal(dataset.fresh_distortion.values, [math.nan, 2.0])


def test_missing_needed_variable_is_nan() -> None:
    dataset = to_dataset([Record(0.0, {"rate": 1.0}, ((0.0,) * 3,) * 3)], ATTRIBUTES)
    assert math.isnan(float(dataset.accuracy[0]))


def test_no_points() -> None:
    dataset = trajectory(0)
    assert dict(dataset.sizes) == {"time": 0, "functional": 3, "control": 3}
    assert set(dataset.data_vars) == set(_NEEDED)
    assert dataset.response.dtype == dataset.time.dtype == np.float64


def test_attributes_and_conventions() -> None:
    assert trajectory().attrs == {"Conventions": "CF-1.11", **ATTRIBUTES}


def test_unknown_variable_is_refused() -> None:
    with pytest.raises(ValueError, match="no such variable: ratte"):
        Record(0.0, {"ratte": 1.0}, ())
