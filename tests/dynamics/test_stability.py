"""How far the next singular point is, the smallest eigenvalue and the Morse index."""

from __future__ import annotations

import math

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import (
    Monitor,
    linear_response,
)
from rdc_dyn.linalg import Dense, Factorised, Preconditioner, materialise, spectrum
from rdc_dyn.objective import Objective
from tests.problems import (
    Fold,
    blobs,
    controls,
    equilibrium,
    finite_latent,
    generator,
    linear_gaussian,
)


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
    monkeypatch.setattr("rdc_dyn.linalg.morse.SMALL", 0)
    at = equilibrium(finite_latent(blobs(), 3, 1e-3), controls(0.3, 1.5))
    values = torch.linalg.eigvalsh(materialise(at))
    found = spectrum(at, Preconditioner(Factorised()))
    assert found.morse_index is None
    assert found.smallest == pytest.approx(float(values[0]), rel=2e-2)
