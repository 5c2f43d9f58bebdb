"""M from the secants of exact points: its errors hold, it learns, and noise is not taken for response."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import Integrator, IsoFunctional, IsoFunctionalTransfer, Process, SecantFilter
from rdc_dyn.dynamics.responses.base import Known
from rdc_dyn.simulate import Point
from tests.dynamics.test_transfer import pair
from tests.problems import linear_gaussian, points_and_events, problem


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


def test_noise_is_not_taken_for_response() -> None:
    """Points whose (D, C) are said to be uncertain by more than they change leave M where it was guessed."""
    points = exact_points(IsoFunctional((0.0, 0.2)), 0.05)
    unsure = filtered(points, torch.full((3,), 10.0, dtype=torch.float64))
    guess, kept = (
        p.response.matrix[1, 0] * p.at.controls[0] ** 2 / p.at.functionals[0] for p in unsure[:: len(unsure) - 1]
    )
    assert float(kept) == pytest.approx(float(guess), rel=0.1)
