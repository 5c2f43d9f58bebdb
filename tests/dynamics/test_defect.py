"""Where a correction begins: the integrator's local error drawn on. It saves Newton steps and moves no result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rdc_dyn.dynamics import Defect, Integrator, IsoFunctional, Prescribed, Process, State, first_guess
from rdc_dyn.simulate import step
from tests.problems import Fold, controls, linear_gaussian, points_and_events, problem, trajectory

NOWHERE = torch.zeros(0, 3, dtype=torch.float64)


def _defects(q: np.poly1d, order: int, steps: list[tuple[float, float]]) -> tuple[Defect, ...]:
    """Local errors h^{p+1} q(s) of one parameter, and none of the controls."""
    found = []
    for begin, end in steps:
        middle, h = 0.5 * (begin + end), end - begin
        error = torch.tensor([h ** (order + 1) * q(middle)], dtype=torch.float64)
        found.append(Defect(middle, h, error, controls(0.0, 0.0)))
    return tuple(found)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_local_error_whose_coefficient_is_a_straight_line_is_foreseen(order: int) -> None:
    """Steps of different lengths, as after a step that was cut short."""
    q = np.poly1d([3.0, -1.0])
    known = _defects(q, order, [(0.0, 0.4), (0.4, 0.5)])
    start, predicted = (State(torch.tensor([x], dtype=torch.float64), controls(1.0, 2.0)) for x in (6.0, 7.0))
    guess = first_guess(known, start, predicted, (0.5, 0.7), order, NOWHERE)
    assert float(guess.theta) == pytest.approx(7.0 + 0.2 ** (order + 1) * q(0.6), rel=1e-12)
    assert torch.equal(guess.controls, predicted.controls)
    assert torch.equal(first_guess((), start, predicted, (0.5, 0.7), order, NOWHERE).theta, predicted.theta)


def test_multipliers_move_along_the_free_directions_and_stay_positive() -> None:
    start, predicted = (State(torch.tensor([x], dtype=torch.float64), controls(1.0, 2.0)) for x in (0.0, 9.0))
    free = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    for shift, expected in ((controls(0.5, 0.5), (1.42, 2.56)), (controls(-9.0, -9.0), (1.0, 2.0))):
        defect = Defect(0.05, 0.1, torch.ones(1, dtype=torch.float64), shift)
        guess = first_guess((defect,), start, predicted, (0.1, 0.2), 1, free)
        np.testing.assert_allclose(guess.controls[:2], expected, rtol=1e-12)


def test_an_error_as_long_as_the_step_is_not_drawn_on() -> None:
    """Behind a kink of a given path the last error says nothing."""
    start = State(torch.zeros(1, dtype=torch.float64), controls(1.0, 2.0))
    defect = Defect(0.05, 0.1, torch.ones(1, dtype=torch.float64), controls(0.0, 0.0))
    for length, used in ((1.9, False), (2.1, True)):
        predicted = replace(start, theta=start.theta + length)
        assert (first_guess((defect,), start, predicted, (0.1, 0.2), 1, NOWHERE) is predicted) != used


def _misses(process: Process, h: float, kept: int) -> float:
    """|θ* − θ_guess| at the end of a path of four Euler steps."""
    run = problem(linear_gaussian(), process, 1.2, 1.5, Integrator("euler"), h, tolerance=1e-12, look_ahead=False)
    *_, before, last = points_and_events(run)[0]
    euler = State(last.at.theta - last.defects[-1].theta, last.at.controls - last.defects[-1].controls)
    known = before.defects[len(before.defects) - kept :]
    free = process.free_directions(before.here)
    guess = first_guess(known, before.state, euler, (before.time, last.time), 1, free)
    return float(torch.cat([last.at.theta - guess.theta, last.at.controls - guess.controls]).norm())


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("held", [True, False])
def test_each_defect_raises_the_order_of_the_guess_by_one(kept: int, held: bool) -> None:
    """Euler misses by O(h²), with one defect by O(h³), with two by O(h⁴)."""
    steps = (0.04, 0.02, 0.01)
    errors = []
    for h in steps:
        span = (0.0, 4 * h)
        given = Prescribed(span, (1.2, 1.2 + 4 * h), (1.5, 1.5 + 4 * h))
        errors.append(_misses(IsoFunctional(span) if held else given, h, kept))
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order == pytest.approx(2 + kept, abs=0.25), errors


@pytest.mark.parametrize("method", ["euler", "midpoint"])
def test_it_saves_newton_steps_and_moves_no_result(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path with every correction begun at the prediction; `relax` and rejected steps play no part here."""
    run = problem(linear_gaussian(), IsoFunctional((0.0, 0.8)), 1.2, 1.5, Integrator(method), 0.05)
    drawn_on, _ = trajectory(run)
    monkeypatch.setattr(step, "first_guess", lambda defects, start, predicted, clock, order, free: predicted)
    plain, _ = trajectory(problem(linear_gaussian(), IsoFunctional((0.0, 0.8)), 1.2, 1.5, Integrator(method), 0.05))
    for one, other in zip(drawn_on, plain, strict=True):
        for name in ("lam", "gamma", "rate", "distortion", "classification_loss"):
            assert one.values[name] == pytest.approx(other.values[name], abs=1e-9)
    saved = plain[-1].values["corrector_iterations"] - drawn_on[-1].values["corrector_iterations"]
    assert saved >= len(plain) // 2, (plain[-1].values["corrector_iterations"], saved)


def test_nothing_is_drawn_on_from_one_branch_to_another() -> None:
    """The double well: beyond the fold the minimum that takes over has no history."""
    up = Prescribed((0.0, 1.5), (0.0, 1.5), (1.0, 1.0))
    run = problem(Fold(beyond=True), up, 0.0, 1.0, Integrator("euler"), 0.05, on_fold="relax")
    points, events = points_and_events(run)
    (jumped,) = [i for i, p in enumerate(points) if p.jump]
    assert any(e.kind == "relaxed" for e in events)
    assert len(points[jumped - 1].defects) == 2
    assert points[jumped].defects == () and points[jumped].response.before is None
