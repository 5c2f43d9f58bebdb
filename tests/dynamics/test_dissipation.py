"""∫ D dλ + C dγ + ∂_tF dt − (F − F₀): zero on the surface, proportional to speed where θ lags behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics import (
    Constraint,
    Correction,
    Corrector,
    Departure,
    Integrator,
    IsoFunctional,
    NoResponse,
    Prescribed,
    SecantFilter,
    State,
)
from rdc_dyn.read.verify import laws
from rdc_dyn.simulate import to_record
from rdc_dyn.store.dataset import to_dataset
from tests.problems import linear_gaussian, points_and_events, problem
from tests.tiny import ATTRIBUTES


@dataclass(frozen=True)
class Relaxation(Corrector):
    """θ ← θ − η ∇J a few times: a system whose relaxation takes a time of its own."""

    steps: int
    rate: float

    def correct(
        self, free_energy: FreeEnergy, state: State, constraint: Constraint | None, departure: Departure | None = None
    ) -> Correction:
        theta = state.theta
        for _ in range(self.steps):
            theta = theta - self.rate * free_energy.gradient(theta, state.controls)[1]
        return Correction(State(theta, state.controls), free_energy.linearise(theta, state.controls), self.steps, None)


def test_it_is_proportional_to_speed() -> None:
    """The same path in 20, 40 and 80 steps of one relaxation: half the speed, half the dissipation."""
    found = []
    for count in (20, 40, 80):
        run = problem(
            linear_gaussian(), Prescribed((0.0, 1.0), (1.0, 1.3), (1.0, 1.5), (0.0, 0.0)), 1.0, 1.0,
            Integrator("euler"), 1 / count, look_ahead=False,
        )  # fmt: skip
        points, events = points_and_events(replace(run, corrector=Relaxation(20, 0.1), response=NoResponse()))
        assert events[-1].values["status"] == "COMPLETED"
        assert all(after.dissipation > before.dissipation for before, after in pairwise(points[2:]))
        found.append(points[-1].dissipation)
    assert found[1] / found[0] == pytest.approx(0.5, abs=0.06)
    assert found[2] / found[1] == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_an_exact_path_dissipates_nothing_beyond_its_quadrature() -> None:
    for h, bound in ((0.1, 1e-5), (0.05, 1e-6)):
        run = problem(linear_gaussian(), IsoFunctional((0.0, 0.3)), 1.0, 1.0, Integrator("rk4"), h, look_ahead=False)
        points, _ = points_and_events(run)
        assert 0 < abs(points[-1].dissipation) < bound
        assert abs(points[-1].dissipation) < points[-1].dissipation_error


def test_an_estimated_hessian_takes_most_of_the_quadrature_away() -> None:
    """Of an exact path whose M is filtered from its own steps, what is left is within its standard error."""
    run = problem(linear_gaussian(), IsoFunctional((0.0, 0.3)), 1.0, 1.0, Integrator("euler"), 0.05, look_ahead=False)
    filtered, _ = points_and_events(replace(run, response=SecantFilter()))
    plain = sum(
        float(0.5 * (a.at.forces + b.at.forces) @ (b.at.controls - a.at.controls)) - (b.at.value - a.at.value)
        for a, b in pairwise(filtered)
    )
    last = filtered[-1]
    assert abs(last.dissipation) < 0.2 * abs(plain)
    assert abs(last.dissipation) < 2 * last.dissipation_error


def test_verify_refuses_one_that_is_negative_beyond_its_error() -> None:
    run = problem(linear_gaussian(), IsoFunctional((0.0, 0.3)), 1.0, 1.0, Integrator("rk4"), 0.1, look_ahead=False)
    records = [to_record(run, point) for point in points_and_events(run)[0]]
    text = {**ATTRIBUTES, "guarantees": "surface"}
    good = {f.name: f for f in laws(to_dataset(records, text))}["dissipation ≥ 0"]
    assert good.verdict == "ok"
    worse = [replace(r, values={**r.values, "dissipation": -0.1, "dissipation_error": 0.01}) for r in records]
    bad = {f.name: f for f in laws(to_dataset(worse, text))}["dissipation ≥ 0"]
    assert bad.verdict == "FAILED"
