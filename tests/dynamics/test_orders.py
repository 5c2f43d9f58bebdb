"""Every integrator converges with its order on an iso-classification path, corrector off; the corrector holds C."""

from __future__ import annotations

import numpy as np
import pytest

from rdc_dyn.dynamics import Integrator, IsoFunctional
from rdc_dyn.dynamics.integrator import ADAPTIVE
from rdc_dyn.scenario.sections.integrators import INTEGRATORS, METHODS
from tests.problems import ORDERS, linear_gaussian, problem, trajectory

SPAN = (0.0, 1.6)
START = (1.2, 1.5)
#: Step sizes at which the error is far above the solver's floor and the leading term already rules.
STEPS = {
    1: (0.1, 0.05, 0.025),
    2: (0.2, 0.1, 0.05),
    3: (0.4, 0.2, 0.1),
    4: (0.4, 0.2, 0.1),
    5: (0.8, 0.4, 0.2),
    8: (1.6, 0.8),
}


def end_of(method: str, step_size: float, *, corrector: bool = False, rtol: float | None = None) -> np.ndarray:
    """(λ, γ, R, D, C) at the end of the span: no gauge in it."""
    integrator = Integrator(method, rtol, None if rtol is None else rtol * 1e-2)
    run = problem(linear_gaussian(), IsoFunctional(SPAN), *START, integrator, step_size, corrector=corrector)
    records, status = trajectory(run)
    assert status == "COMPLETED"
    names = ("lam", "gamma", "rate", "distortion", "classification_loss")
    return np.array([records[-1].values[name] for name in names])


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return end_of("dopri8", 0.1)


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=[] if m in ("euler", "rk4") else pytest.mark.slow) for m in ORDERS if m != "dopri8"],
)
def test_observed_order(method: str, reference: np.ndarray) -> None:
    steps = STEPS[ORDERS[method]]
    errors = [float(np.abs(end_of(method, h) - reference).max()) for h in steps]
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert min(errors) > 1e-10, "at the solver's floor the order means nothing"
    assert order == pytest.approx(ORDERS[method], abs=0.2), errors


def test_scenarios_offer_the_methods_that_the_integrator_knows() -> None:
    offered = set(INTEGRATORS.members) - {"given"}
    adaptive = {method for method in offered if "rtol" in INTEGRATORS.members[method].model_fields}
    assert adaptive == ADAPTIVE and offered == set(METHODS)


def test_dopri8_is_far_better_than_dopri5_at_the_same_step(reference: np.ndarray) -> None:
    errors = [float(np.abs(end_of(method, 0.4) - reference).max()) for method in ("dopri5", "dopri8")]
    assert errors[1] < 1e-2 * errors[0]


@pytest.mark.slow
def test_error_control_follows_the_tolerance(reference: np.ndarray) -> None:
    loose, tight = (float(np.abs(end_of("dopri5", 1.6, rtol=rtol) - reference).max()) for rtol in (1e-3, 1e-8))
    assert loose < 1e-2
    assert tight < 1e-3 * loose


@pytest.mark.parametrize(
    "method",
    ["rk4", *(pytest.param(m, marks=pytest.mark.slow) for m in ("euler", "midpoint", "heun3", "bosh3", "dopri5"))],
)
def test_bordered_corrector_holds_the_classification_loss(method: str) -> None:
    run = problem(linear_gaussian(), IsoFunctional(SPAN), *START, Integrator(method), 0.2)
    records, status = trajectory(run)
    assert status == "COMPLETED"
    assert len(records) == 9
    assert max(abs(r.values["constraint_residual"]) for r in records) <= 1e-10
    assert max(r.values["equilibrium_residual"] for r in records) <= 1e-10


@pytest.mark.slow
def test_evaluations_per_step() -> None:
    """The first stage is counted though its response is at hand; so cost is comparable between methods."""
    for method, stages in (("euler", 1), ("midpoint", 2), ("heun3", 3), ("rk4", 4), ("dopri5", 7)):
        run = problem(linear_gaussian(), IsoFunctional(SPAN), *START, Integrator(method), 0.8)
        records, _ = trajectory(run)
        assert records[-1].values["vector_field_evaluations"] == 2 * stages, method
