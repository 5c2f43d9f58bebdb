"""M from the secants of exact points: its errors hold, it learns, and noise is not taken for response."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import Integrator, IsoFunctional, IsoFunctionalTransfer, Process, SecantFilter
from rdc_dyn.dynamics.responses.base import Estimate, Known
from rdc_dyn.dynamics.responses.secant_filter import _response, _updated
from rdc_dyn.simulate import Point
from tests.dynamics.test_transfer import pair
from tests.problems import controls, linear_gaussian, points_and_events, problem


def exact_points(process: Process, step: float) -> list[Point]:
    objective = pair((4, 2, 2)) if isinstance(process, IsoFunctionalTransfer) else linear_gaussian()
    lam, gamma = (3.0, 4.0) if objective.x_dim == 4 else (1.0, 1.0)
    run = problem(objective, process, lam, gamma, Integrator("rk4"), step, look_ahead=False)
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    return points


def filtered(points: list[Point], noise: torch.Tensor | None = None) -> list[Point]:
    """The same points with the responses that a filter makes of them."""
    found: list[Point] = []
    for point in points:
        objective = linear_gaussian() if point.at.theta.numel() == 10 else pair((4, 2, 2))
        before = Known(found[-1].state, found[-1].response) if found else None
        response = SecantFilter().at_point(FreeEnergy(objective, Work()), point.at, before, noise)
        found.append(replace(point, response=response))
    return found


def test_its_errors_hold_and_shrink() -> None:
    points = exact_points(IsoFunctionalTransfer((0.0, 0.5), 0.4), 0.05)
    found = filtered(points)
    for exact, one in zip(points, found):
        assert one.response.error is not None and one.response.estimate is not None
        missed = (one.response.matrix - exact.response.matrix).abs()[1:]
        assert bool((missed <= 4 * one.response.error[1:]).all())
        assert one.response.estimate.surprise < 3
        torch.testing.assert_close(one.response.matrix[1:, :2], one.response.matrix[1:, :2].T)
    first, last = found[0].response.error, found[-1].response.error
    assert first is not None and last is not None
    assert float(last[2, 2]) < 0.4 * float(first[2, 2])


def test_along_the_path_it_knows_what_is_held() -> None:
    """The rates of constant C that it gives are those of the surface."""
    process = IsoFunctional((0.0, 1.0))
    points = exact_points(process, 0.05)
    one = filtered(points)[-1]
    torch.testing.assert_close(process.rates(1.0, one.here), process.rates(1.0, points[-1].here), rtol=3e-2, atol=3e-3)


def test_no_multiplier_is_thought_to_move_the_others_loss_more_than_its_own_does() -> None:
    """C_λ is 0 ± 0.3 times the less of C/λ and R/λγ, and steps that tell nothing add a few per cent to its error."""
    points = exact_points(IsoFunctional((0.0, 0.1)), 0.05)
    for point, one in zip(points, filtered(points, torch.full((3,), 1e6, dtype=torch.float64))):
        lam, gamma, (rate, _, c) = *point.at.controls[:2], point.at.functionals
        assert one.response.error is not None
        assert 0.29 < float(one.response.error[2, 0] * lam / torch.minimum(c, rate / gamma)) < 0.33


def test_noise_is_not_taken_for_response() -> None:
    """Points whose (D, C) are said to be uncertain by more than they change leave M where it was guessed."""
    points = exact_points(IsoFunctional((0.0, 0.2)), 0.05)
    unsure = filtered(points, torch.full((3,), 10.0, dtype=torch.float64))
    guess, kept = (
        p.response.matrix[1, 0] * p.at.controls[0] ** 2 / p.at.functionals[0] for p in unsure[:: len(unsure) - 1]
    )
    assert float(kept) == pytest.approx(float(guess), rel=0.1)


@pytest.mark.parametrize(("estimated", "taken"), [(1e-6, -1e-2), (-5e-3, -1e-2), (-0.2, -0.2)])
def test_a_merely_uncertain_slope_is_as_large_as_its_error(estimated: float, taken: float) -> None:
    """C_γ ± 0.01: it never counts as zero, at which (32) would have no direction, and a known one is not touched."""
    at = exact_points(IsoFunctional((0.0, 0.1)), 0.05)[0].at
    implicit = torch.diag(torch.tensor([-1.0, estimated, 0.0], dtype=torch.float64))
    zero, errors = torch.zeros_like(implicit), torch.tensor([0.1, 0.01, 0.01, 0.1, 0.1, 0.1], dtype=torch.float64)
    found = _response(at, Estimate(implicit, zero, torch.diag(errors.square()), errors[:3], errors))
    assert float(found.matrix[2, 1]) == pytest.approx(taken) and float(found.matrix[1, 0]) == pytest.approx(-1.0)
    assert found.estimate is not None and torch.equal(found.estimate.implicit, implicit)


def test_a_turn_of_what_moves_with_t_is_not_taken_for_a_response_to_the_multipliers() -> None:
    """t doubles while λ and γ move by a few per cent, and the changes of D and C with t turn to nothing meanwhile."""
    explicit = torch.zeros((3, 3), dtype=torch.float64)
    explicit[0, 2], explicit[1, 2] = 30.0, 0.1
    explicit = explicit + explicit.T
    sizes = torch.tensor([190.0, 0.5, 1.2e-3, 30.0, 0.1, 40.0], dtype=torch.float64)
    implicit = torch.zeros_like(explicit)
    implicit[0, 0], implicit[1, 1] = -0.7 * sizes[0], -0.7 * sizes[2]
    implicit[0, 2] = implicit[2, 0] = -0.7 * sizes[3]
    errors = torch.tensor([0.05, 1e-4, 0.05], dtype=torch.float64)
    known = Estimate(implicit, explicit, torch.diag((0.1 * sizes).square()), errors, sizes)
    then, now = controls(0.2, 30.0, 0.25), controls(0.192, 29.0, 0.5)
    turned = implicit.clone()
    turned[0, 2] = turned[2, 0] = 0.0
    changed = (explicit + turned) @ (now - then)
    functionals = torch.tensor([7.6, 130.0, 0.036], dtype=torch.float64)
    at: Any = SimpleNamespace(theta=then, controls=now, forces=changed, functionals=functionals)
    start: Any = SimpleNamespace(
        state=SimpleNamespace(controls=then), response=SimpleNamespace(forces=torch.zeros_like(changed))
    )
    found = _updated(known, start, at, explicit, errors)
    assert float(found.implicit[0, 0] / implicit[0, 0]) == pytest.approx(1.0, abs=0.2)
    assert abs(float(found.implicit[0, 2])) < 0.3 * abs(float(implicit[0, 2]))
