"""Orders by regression, floors by the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, t

from rdc_dyn.comparison.errors import observed_order, stagnated
from rdc_dyn.scenario.sections.integrators import METHODS

STEPS = np.array([0.5, 0.25, 0.125, 0.0625, 0.03125])


@pytest.mark.parametrize("p", [1, 2, 4])
def test_a_power_is_found_exactly(p: int) -> None:
    found = observed_order(STEPS, 3 * STEPS**p)
    assert found.value == pytest.approx(p, abs=1e-12)
    assert found.points == 5
    assert found.high - found.low < 1e-10


@pytest.mark.parametrize("p", [1, 2, 4])
def test_the_confidence_is_that_of_student(p: int) -> None:
    error = STEPS**p * np.exp(0.1 * np.random.default_rng(p).standard_normal(5))
    found, known = observed_order(STEPS, error), linregress(np.log(STEPS), np.log(error))
    assert found.value == pytest.approx(known.slope)
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 3) * known.stderr)
    assert found.low < p < found.high


def test_what_few_points_do_not_say() -> None:
    two, one = observed_order(STEPS[:2], STEPS[:2]), observed_order(STEPS[:1], STEPS[:1])
    assert two.value == pytest.approx(1)
    assert np.isnan([two.low, two.high, one.value, one.low]).all()
    assert (two.points, one.points) == (2, 1)
    assert np.isnan(observed_order(np.array([0.1, 0.1]), np.array([1.0, 2.0])).value)


def test_errors_of_zero_and_nan_are_left_out() -> None:
    found = observed_order(STEPS, np.array([0.25, 0.0625, np.nan, 0.0, 0.0625**2 / 4]))
    assert found.points == 3


@pytest.mark.parametrize("p", [1, 2, 4])
def test_no_floor_no_point_left_out(p: int) -> None:
    assert not stagnated(STEPS, STEPS**p, "step_size").any()


def test_points_at_a_floor_are_found_in_any_order() -> None:
    steps = np.append(STEPS, 0.015625)
    error = steps**4 + 2e-5  # at the third step the law gives twelve times the floor, at the fourth three quarters
    expected = np.array([False, False, False, True, True, True])
    assert (stagnated(steps, error, "step_size") == expected).all()
    mixed = np.array([3, 0, 4, 5, 1, 2])
    assert (stagnated(steps[mixed], error[mixed], "step_size") == expected[mixed]).all()


def test_a_plateau_at_large_steps_is_no_floor() -> None:
    assert not stagnated(STEPS, np.array([1.0, 1.1, 0.25, 0.0625, 0.0156]), "step_size").any()


def test_a_series_may_lie_at_its_floor_altogether() -> None:
    assert stagnated(STEPS, np.array([2.0, 1.0, 2.1, 1.5, 1.7]), "step_size").all()


def test_a_step_takes_as_many_evaluations_as_its_section_says() -> None:
    from rdc_dyn.dynamics import integrator
    from tests.problems import linear_gaussian, problem, trajectory

    for method, known in METHODS.items():
        process = integrator_path(0.1)
        run = problem(linear_gaussian(), process, 1.2, 1.5, integrator.Integrator(method), 0.1, look_ahead=False)
        assert trajectory(run)[0][-1].values["vector_field_evaluations"] == known.stages, method


def integrator_path(length: float):  # type: ignore[no-untyped-def]
    from rdc_dyn.dynamics import IsoFunctional

    return IsoFunctional((0.0, length))
