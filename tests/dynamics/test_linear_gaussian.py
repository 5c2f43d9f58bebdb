"""The linear-Gaussian problem, whose free energy is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.dynamics import Integrator, IsoFunctional, IsoFunctionalTransfer, Prescribed, SurfacePoint, linear_response
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, LinearSolver, Preconditioner
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.status import NumericalFailure
from tests.problems import (
    closed_form,
    closed_form_hessian,
    controls,
    equilibrium,
    generator,
    linear_gaussian,
    oracle,
    oracle_objective,
    problem,
    trajectory,
)

SOLVERS: dict[str, Callable[[], LinearSolver]] = {
    "dense": Dense,
    "cg": lambda: ConjugateGradient(1e-12),
    "preconditioned cg": lambda: ConjugateGradient(1e-12, preconditioner=Preconditioner(Factorised())),
}


def check_against_closed_form(objective: LinearGaussian, at: Linearisation, solver: LinearSolver) -> None:
    gradient, hessian = closed_form_hessian(objective, at.controls)
    assert at.value == pytest.approx(float(closed_form(objective, *at.controls.unbind())), rel=1e-12)
    torch.testing.assert_close(at.forces, gradient, rtol=1e-9, atol=1e-9)
    response = linear_response(at, solver, 0.0)
    torch.testing.assert_close(response.matrix[1:], hessian[:2], rtol=1e-8, atol=1e-9)
    # R = F − λF_λ − γF_γ, differentiated
    rate = gradient - at.controls[0] * hessian[0] - at.controls[1] * hessian[1]
    rate[:2] -= gradient[:2]
    torch.testing.assert_close(response.matrix[0], rate, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(3, 2, 2), (4, 1, 3), (2, 2, 1), (3, 2, 4)])
def test_equilibrium_and_response(shape: tuple[int, int, int], solver: str) -> None:
    """Ranks below, at and above what the data support; with q = 4 some codes are not used."""
    objective = linear_gaussian(*shape)
    for c in (controls(2.0, 3.0), controls(1.0, 6.0, 0.5), controls(5.0, 1.0, 1.0)):
        check_against_closed_form(objective, equilibrium(objective, c), SOLVERS[solver]())


def test_free_energy_is_the_gaussian_integral() -> None:
    """J(θ) by the determinant lemma against −E ln N((x, y); 0, BBᵀ + Ψ) with the constants of theory §5."""
    objective = linear_gaussian()
    theta = objective.initial(generator(5))
    lam, gamma, t = controls(1.7, 2.9, 0.3)
    n, m, sigma, tau = 3, 2, objective.distortion_variance, objective.label_variance
    psi = torch.cat([(sigma / lam).expand(n), (tau / gamma).expand(m)])
    b = theta.view(5, 2)
    covariance = b @ b.T + torch.diag(psi)
    moment = objective.second_moment(t)
    gaussian = 0.5 * (5 * np.log(2 * np.pi) + torch.logdet(covariance) + (moment @ covariance.inverse()).trace())
    constants = n * lam / 2 * np.log(2 * np.pi * sigma) - n / 2 * torch.log(2 * np.pi * sigma / lam)
    constants = constants + m * gamma / 2 * np.log(2 * np.pi * tau) - m / 2 * torch.log(2 * np.pi * tau / gamma)
    torch.testing.assert_close(objective.free_energy(theta, lam, gamma, t), constants + gaussian)


def test_rotations_are_zero_modes_and_do_no_harm() -> None:
    objective = linear_gaussian(4, 2, 3)
    at = equilibrium(objective, controls(4.0, 5.0))
    assert at.kernel.shape[0] == 3
    assert float(torch.stack([at.mv(n) for n in at.kernel]).norm()) < 1e-8
    assert float((at.mixed @ at.kernel.T).abs().max()) < 1e-12
    # b is orthogonal to the rotations off the equilibrium too, which is what makes the restricted solve right.
    away = FreeEnergy(objective, Work()).linearise(at.theta + 0.1, at.controls)
    assert float((away.mixed @ away.kernel.T).abs().max()) < 1e-12
    response = linear_response(at, Dense(), 0.0)
    assert float((response.directions @ at.kernel.T).abs().max()) < 1e-10


def test_gauge_is_irrelevant() -> None:
    """Turning z leaves R, D, C and M alone."""
    objective = linear_gaussian(3, 2, 2)
    at = equilibrium(objective, controls(3.0, 4.0))
    angle = torch.tensor(0.7)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]).double()
    turned = FreeEnergy(objective, Work()).linearise((at.theta.view(-1, 2) @ turn).flatten(), at.controls)
    torch.testing.assert_close(turned.functionals, at.functionals)
    torch.testing.assert_close(
        linear_response(turned, Dense(), 0.0).matrix, linear_response(at, Dense(), 0.0).matrix, rtol=1e-9, atol=1e-9
    )


def test_one_multiplier_zero_is_reverse_water_filling() -> None:
    """γ = 0: D = n/2 ln 2πσ² + Σ min(s_i, σ²/λ)/2σ² + … as F_λ of the closed form at γ → 0."""
    objective = linear_gaussian(3, 2, 3)
    at = equilibrium(objective, controls(2.0, 0.0))
    s = torch.linalg.eigvalsh(objective.source[:3, :3])
    sigma, lam = objective.distortion_variance, 2.0
    active = s > sigma / lam
    rate = 0.5 * (lam * s[active] / sigma).log().sum()
    distortion = 1.5 * np.log(2 * np.pi * sigma) + torch.where(active, sigma / lam, s).sum() / (2 * sigma)
    assert float(at.functionals[0]) == pytest.approx(float(rate), abs=1e-9)
    assert float(at.functionals[1]) == pytest.approx(float(distortion), abs=1e-9)


def test_oracle_points() -> None:
    """F, R, D, C and the (λ, γ) columns of M of the reference file at data position 0, to 1e-8."""
    reference = oracle()
    objective = oracle_objective(reference["problem"])
    checked = 0
    for point in reference["points"]:
        at = equilibrium(objective, controls(*point["s"]))
        response = linear_response(at, ConjugateGradient(1e-12, preconditioner=Preconditioner(Factorised())), 0.0)
        assert at.value == pytest.approx(point["F"], rel=1e-8)
        np.testing.assert_allclose(at.functionals, point["RDC"], rtol=1e-8)
        np.testing.assert_allclose(response.matrix[:, :2], np.array(point["response"])[:, :2], rtol=1e-8)
        # The mixture is one more control: its column comes by the same code.
        assert float(at.forces[2]) == pytest.approx(point["dFdt"], rel=1e-8)
        np.testing.assert_allclose(response.matrix[:, 2], np.array(point["response"])[:, 2], rtol=1e-7)
        checked += point["s"][2] == 0
    assert checked == 2


def test_oracle_iso_classification_curve() -> None:
    """rk4 and the bordered corrector follow γ(λ), R and D of the reference curve to 1e-8."""
    reference = oracle()
    curve = reference["iso_classification"]
    objective = oracle_objective(reference["problem"])
    start = curve["start"]
    run = problem(objective, IsoFunctional((0.0, 3.15)), start[0], start[1], Integrator("rk4"), 0.15)
    records, status = trajectory(run)
    assert status == "COMPLETED"
    # Nine points on a smooth curve: their interpolating polynomial is good to 1e-10 and better.
    fits = {
        name: np.polynomial.Polynomial.fit(curve["lam"], curve[key], 8)
        for name, key in (("gamma", "gam"), ("rate", "R"), ("distortion", "D"))
    }
    assert records[-1].values["lam"] == pytest.approx(8.0, abs=0.1)
    for record in records:
        for name, fit in fits.items():
            assert record.values[name] == pytest.approx(float(fit(record.values["lam"])), abs=1e-8)
        assert abs(record.values["classification_loss"] - curve["C0"]) <= 1e-10
        assert record.values["equilibrium_residual"] <= 1e-10


def test_prescribed_path_ends_at_the_closed_form() -> None:
    objective = linear_gaussian()
    process = Prescribed((0.0, 2.0), (2.0, 4.0), (3.0, 2.0), shape="exponential")
    records, status = trajectory(problem(objective, process, 2.0, 3.0, Integrator("heun3"), 0.25))
    assert status == "COMPLETED"
    for record in records:
        tau = record.time / 2
        assert record.values["lam"] == pytest.approx(2 * 2**tau, rel=1e-14)
        assert record.values["gamma"] == pytest.approx(3 * (2 / 3) ** tau, rel=1e-14)
        c = controls(record.values["lam"], record.values["gamma"])
        assert record.values["free_energy"] == pytest.approx(float(closed_form(objective, *c.unbind())), rel=1e-12)
        gradient, hessian = closed_form_hessian(objective, c)
        assert record.values["distortion"] == pytest.approx(float(gradient[0]), abs=1e-9)
        np.testing.assert_allclose(np.array(record.response)[1:, :2], hessian[:2, :2], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("clock", ["alpha", "multipliers", "rate_distortion", "lam"])
def test_clocks(clock: str) -> None:
    """α = 1, unit speed in (λ, γ), in (R, D) and of λ, against the closed form's Hessian."""
    objective = linear_gaussian()
    c = controls(3.0, 4.0)
    _, hessian = closed_form_hessian(objective, c)
    at = equilibrium(objective, c)
    matrix = linear_response(at, Dense(), 0.0).matrix
    here = SurfacePoint(c, matrix, at.forces)
    rates = IsoFunctional((0.0, 1.0), clock=clock).rates(0.0, here)  # type: ignore[arg-type]
    d_lam, d_gamma, c_gamma = hessian[0, 0], hessian[0, 1], hessian[1, 1]
    tangent = torch.stack([-c_gamma, d_gamma])
    d_dot = -(d_lam * c_gamma - d_gamma**2)  # Ḋ = −α det Hess F (29)
    speed = {
        "alpha": 1.0,
        "multipliers": float(tangent.norm()),
        "rate_distortion": float(d_dot.abs() * (1 + 3.0**2) ** 0.5),
        "lam": float(tangent[0]),
    }
    torch.testing.assert_close(rates[:2], tangent / speed[clock], rtol=1e-8, atol=1e-10)
    assert float((matrix @ rates)[2]) == pytest.approx(0.0, abs=1e-12)
    assert float((matrix @ rates)[0]) == pytest.approx(-3.0 * float((matrix @ rates)[1]), rel=1e-7)


@pytest.mark.slow
def test_backward_span_returns_to_the_start() -> None:
    objective = linear_gaussian()
    there, _ = trajectory(problem(objective, IsoFunctional((0.0, 1.0)), 3.0, 4.0, Integrator("rk4"), 0.1))
    end = there[-1].values
    back, status = trajectory(
        problem(objective, IsoFunctional((1.0, 0.0)), end["lam"], end["gamma"], Integrator("rk4"), 0.1)
    )
    assert status == "COMPLETED"
    assert back[-1].time == 0.0
    assert back[-1].values["lam"] == pytest.approx(3.0, abs=1e-6)
    assert back[-1].values["gamma"] == pytest.approx(4.0, abs=1e-6)


@pytest.mark.parametrize(("clock", "time"), [("lam", float), ("log_lam", math.log)])
def test_lam_as_the_clock_follows_the_same_curve(
    clock: Literal["lam", "log_lam"], time: Callable[[float], float]
) -> None:
    """γ at λ is that of the path at unit speed; C stays, and time is λ or ln λ."""
    objective = linear_gaussian()
    there, _ = trajectory(problem(objective, IsoFunctional((0.0, 1.0)), 3.0, 4.0, Integrator("rk4"), 0.1))
    end = there[-1].values
    process = IsoFunctional((time(3.0), time(float(end["lam"]))), clock=clock)
    again, status = trajectory(problem(objective, process, 3.0, 4.0, Integrator("rk4"), 0.1))
    assert status == "COMPLETED"
    assert again[-1].values["lam"] == pytest.approx(end["lam"], abs=1e-6)
    assert again[-1].values["gamma"] == pytest.approx(end["gamma"], abs=1e-5)


@pytest.mark.parametrize(("clock", "elapsed"), [("lam", 0.5), ("log_lam", math.log(3.5 / 3.0))])
def test_with_lam_as_the_clock_gamma_alone_restores_and_its_slope_must_not_vanish(
    clock: Literal["lam", "log_lam"], elapsed: float
) -> None:
    here = SurfacePoint(controls(3.0, 4.0), torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, -0.25, 0]]), torch.zeros(3))
    process = IsoFunctional((0.0, 1.0), clock=clock)
    assert process.free_directions(here).tolist() == [[0.0, 1.0, 0.0]]
    assert {name: value for name, (value, _) in process.divisors(here).items()} == {"h_gamma": -0.25}
    assert IsoFunctional((0.0, 1.0)).divisors(here) == {}
    assert process.elapsed(here, replace(here, controls=controls(3.5, 9.0))) == pytest.approx(elapsed)
    with pytest.raises(NumericalFailure, match="derivative of what is held"):
        process.rates(0.0, replace(here, matrix=torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0, 0]])))


def test_a_small_slope_of_the_loss_counts_beside_large_ones_of_the_distortion() -> None:
    """In float32: C_γ = −2e-4 is no rounding of C, however D varies; a slope of D that cancels to 2e-4 is."""
    matrix = torch.tensor([[0.9, 0.02, -5.0], [-0.9, 0.01, 2e2], [-3e-4, -2e-4, 1.4]])
    here = SurfacePoint(controls(4.0, 100.0), matrix, torch.zeros(3))
    assert float(IsoFunctionalTransfer((0.0, 1.0), -1.5).rates(0.0, here)[1]) == pytest.approx(7e3, rel=0.01)
    cancels = replace(here, matrix=torch.tensor([[2e2, 3e2, 0.0], [-2e2, -3e2 + 2e-4, 0.0], [0.0, 0.0, 0.0]]))
    with pytest.raises(NumericalFailure, match=r"derivative of what is held: 0\.000"):
        IsoFunctional((0.0, 1.0), (1.0, 1.0, 0.0)).rates(0.0, cancels)
