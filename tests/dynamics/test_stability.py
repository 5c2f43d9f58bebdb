"""How far the next singular point is, the smallest eigenvalue and the Morse index."""

from __future__ import annotations

import math

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import Monitor, linear_response
from rdc_dyn.dynamics.stability import Approach, approach
from rdc_dyn.linalg import Dense, Factorised, Preconditioner, materialise, spectrum
from rdc_dyn.linalg.ritz import Spectrum, dense_spectrum
from rdc_dyn.objective import Objective
from rdc_dyn.status import Status
from tests.problems import Fold, blobs, controls, equilibrium, finite_latent, generator, linear_gaussian


@pytest.mark.parametrize("objective", [linear_gaussian(), finite_latent(blobs(), 3, 1e-3)], ids=["gaussian", "finite"])
def test_drift_is_the_derivative_of_a(objective: Objective) -> None:
    theta = objective.initial(generator()) + 0.1 * torch.randn(objective.size, generator=generator(1)).double()
    velocity, v = torch.randn(2, objective.size, generator=generator(2), dtype=torch.float64)
    rates, at = controls(0.3, -0.2, 0.4 if objective.moves else 0.0), controls(2.0, 3.0, 0.3)
    free_energy = FreeEnergy(objective, Work())
    product = free_energy.linearise(theta, at).drift(velocity, rates).mv(v)
    h = 1e-4
    ends = [free_energy.linearise(theta + k * h * velocity, at + k * h * rates).mv(v) for k in (-2, -1, 1, 2)]
    difference = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    torch.testing.assert_close(product, difference, rtol=1e-7, atol=1e-8)


def test_distance_to_a_fold_in_closed_form() -> None:
    """A = 2θ, θ̇ = −1/2θ: δ = 2θ² = 2(1 − λ)."""
    at = equilibrium(Fold(), controls(0.9, 1.0))
    response = linear_response(at, Dense(), 0.0)
    rates = controls(1.0, 0.0)
    found = Monitor(Preconditioner(Factorised())).look(at, rates @ response.directions, rates, None, 1.0)
    assert found.approach.distance == pytest.approx(0.2, rel=1e-10)
    away = Monitor(Preconditioner(Factorised())).look(at, -rates @ response.directions, -rates, None, 1.0)
    assert away.approach.distance == math.inf


def test_distance_is_the_smallest_of_the_pencil() -> None:
    """Against all eigenvalues of A⁻¹ dA/ds, on a problem with a zero mode."""
    objective = linear_gaussian(4, 2, 2)
    at = equilibrium(objective, controls(2.0, 3.0, 0.2))
    response = linear_response(at, Dense(), 0.0)
    rates = controls(-0.7, 0.4, 0.3)
    velocity = rates @ response.directions
    found = Monitor(Preconditioner(Factorised()), rtol=1e-10, max_iterations=200).look(at, velocity, rates, None, 1.0)
    drift = at.drift(velocity, rates)
    change = torch.stack([drift.mv(row) for row in torch.eye(objective.size, dtype=torch.float64)])
    inside = torch.eye(objective.size, dtype=torch.float64) - at.kernel.T @ at.kernel
    values = torch.linalg.eigvals(torch.linalg.solve(materialise(at), inside @ change @ inside)).real
    assert float(-1 / values.min()) == pytest.approx(found.approach.distance, rel=1e-6)


def test_smallest_eigenvalue_and_morse_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every eigenvalue at hand, and by the search that large problems use; a saddle has a negative one."""
    objective = linear_gaussian(4, 2, 2)
    saddle = FreeEnergy(objective, Work()).linearise(torch.zeros(objective.size).double(), controls(2.0, 3.0))
    for at in (equilibrium(objective, controls(2.0, 3.0)), saddle):
        values = torch.linalg.eigvalsh(torch.stack([at.mv(e) for e in torch.eye(at.size, dtype=torch.float64)]))
        live = values[values.abs() > 1e-9]
        found = spectrum(at, Preconditioner(Factorised()))
        assert found.morse_index == int((live < 0).sum()) == (12 if at is saddle else 0)
        assert found.smallest == pytest.approx(float(live[0]), rel=1e-9)
    monkeypatch.setattr("rdc_dyn.linalg.ritz.SMALL", 0)
    at = equilibrium(finite_latent(blobs(), 3, 1e-3), controls(0.3, 1.5))
    values = torch.linalg.eigvalsh(materialise(at))
    found = spectrum(at, Preconditioner(Factorised()))
    assert found.morse_index is None
    assert found.smallest == pytest.approx(float(values[0]), rel=2e-2)


def test_an_approach_knows_how_far_a_step_may_go_and_what_ends_it() -> None:
    """g = x is linear, g = √x goes as its root; δ is twice the distance then, and falls twice as fast."""
    for power, status in ((1.0, Status.BRANCH_POINT), (0.5, Status.FOLD)):
        left = [0.5, 0.3]
        before, now = (Approach(x / power) for x in left)
        found = now.after(before, elapsed=left[0] - left[1])
        assert found.rate == pytest.approx(1 / power) and found.ends_as is status
        assert found.reach == pytest.approx(0.75 * left[1])
    assert Approach(1.0).after(None, 0.1) == Approach(1.0) == Approach(1.0).after(Approach(), 0.1)
    assert Approach(1.0).after(Approach(9.0), 0.1).rate == 2.0 and Approach(1.0).after(Approach(0.5), 0.1).rate == 1.0
    assert Approach(1.0, status=Status.BOUND_REACHED).ends_as is Status.BOUND_REACHED


def test_an_approach_by_the_secant_is_that_of_its_sizes() -> None:
    found = approach("lam", Status.BOUND_REACHED, before=-0.5, now=-0.3, elapsed=0.1)
    assert found.distance == pytest.approx(0.15)  # 0.3 at a speed of 2
    assert approach("lam", Status.BOUND_REACHED, before=0.3, now=0.5, elapsed=0.1).distance == math.inf
    assert found.rate == 2.0 and found.reach == pytest.approx(0.75 * 0.15 / 2)


def test_an_eigenvalue_that_is_zero_to_rounding_is_not_negative() -> None:
    values = torch.tensor([-1e-17, -0.5, 1.0, 3.0], dtype=torch.float64)
    kernel = torch.zeros(0, 4, dtype=torch.float64)
    assert dense_spectrum(torch.diag(values), kernel) == Spectrum(-0.5, 1)
    assert dense_spectrum(torch.diag(values.clamp_min(-1e-17)), kernel).morse_index == 0
