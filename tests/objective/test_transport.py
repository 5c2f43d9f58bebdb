"""Data that move from source to target along a coupling: the plan, both ends of the path, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data import coupling as couplings
from rdc_dyn.data.coupling import Coupling, optimal_coupling, read_coupling
from rdc_dyn.data.datasets import Selection, Transport, load_data
from rdc_dyn.data.samples import Data
from rdc_dyn.dynamics import linear_response
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import Objective
from rdc_dyn.scenario import dump, from_mapping, load
from rdc_dyn.status import DataError
from tests.named_data import named, sets
from tests.problems import FLOAT, amortised, blobs, controls, equilibrium, finite_latent, generator, importance_weighted
from tests.tiny import images


def moving(count: int = 20, goal: int = 30) -> Data:
    """Two unlike sets of blobs, coupled optimally."""
    source, target = blobs(count, seed=1).source, blobs(goal, seed=2).source
    return Data(source, target, None, 3, optimal_coupling(source.x, target.x))


OBJECTIVES: dict[str, Callable[[Data], Objective]] = {
    "finite_latent": lambda data: finite_latent(data, 3, 1e-2),
    "finite_latent bernoulli": lambda data: finite_latent(data, 3, 1e-2, bernoulli=True),
    "amortised": amortised,
    "importance_weighted": importance_weighted,
}


def dense(plan: Coupling, rows: int, columns: int) -> Tensor:
    matrix = FLOAT.new_zeros((rows, columns))
    matrix[plan.source, plan.target] = plan.weights
    return matrix


# --- the plan -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, columns", [(20, 20), (20, 30), (30, 7), (1, 5)])
def test_the_plan_has_uniform_marginals_and_few_pairs(rows: int, columns: int) -> None:
    x, goal = blobs(rows, seed=1).source.x, blobs(columns, seed=2).source.x
    plan = optimal_coupling(x, goal)
    matrix = dense(plan, rows, columns)
    torch.testing.assert_close(matrix.sum(1), FLOAT.new_full((rows,), 1 / rows), rtol=1e-14, atol=0)
    torch.testing.assert_close(matrix.sum(0), FLOAT.new_full((columns,), 1 / columns), rtol=1e-14, atol=0)
    assert len(plan.weights) <= (rows if rows == columns else rows + columns - 1)


@pytest.mark.parametrize("columns", [9, 12])
def test_in_one_dimension_the_plan_keeps_the_order(columns: int) -> None:
    """The optimal cost is the integral of the squared difference of the quantile functions."""
    x, goal = (torch.randn(n, 1, generator=generator(n), dtype=torch.float64) for n in (9, columns))
    plan = optimal_coupling(x, goal)
    cost = plan.weights @ (x[plan.source] - goal[plan.target]).square().sum(1)
    level = (torch.arange(36) + 0.5) / 36  # a multiple of both sizes: the quantile functions are constant between
    quantiles = [v.flatten().sort().values[(level * len(v)).long()] for v in (x, goal)]
    assert float(cost) == pytest.approx(float((quantiles[0] - quantiles[1]).square().mean()), rel=1e-12)


def test_the_digest_tells_plans_apart_and_nothing_else() -> None:
    x, goal = blobs(20, seed=1).source.x, blobs(30, seed=2).source.x
    assert optimal_coupling(x, goal).digest() == optimal_coupling(x.clone(), goal.clone()).digest()
    assert optimal_coupling(x, goal).digest() != optimal_coupling(x, goal.flip(0)).digest()
    swapped = optimal_coupling(x, goal)
    assert replace(swapped, weights=swapped.weights.flip(0)).digest() != swapped.digest()


def test_a_plan_that_is_too_large_or_not_found_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, goal = blobs(20, seed=1).source.x, blobs(30, seed=2).source.x
    with pytest.raises(DataError, match=r"20000 and 20000 data needs a cost matrix of 3\.0 GB.*set limit"):
        optimal_coupling(x[:1].expand(20_000, -1), x[:1].expand(20_000, -1))
    monkeypatch.setattr(couplings, "_MAX_PIVOTS", 2)
    with pytest.raises(DataError, match=r"no optimal plan was found .*set limit"):
        optimal_coupling(x, goal)


# --- the path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(20, 20), (20, 30), (31, 17)])
@pytest.mark.parametrize("name", ["finite_latent", "finite_latent bernoulli"])
def test_both_ends_of_the_path(name: str, sizes: tuple[int, int]) -> None:
    data = moving(*sizes)
    assert data.target is not None
    objective = OBJECTIVES[name](data)
    theta = objective.initial(generator())
    for t, sample in ((0.0, data.source), (1.0, data.target)):
        alone = OBJECTIVES[name](Data(sample, None, None, 3))
        expected = FreeEnergy(alone, Work()).linearise(theta, controls(0.4, 1.5))
        at = FreeEnergy(objective, Work()).linearise(theta, controls(0.4, 1.5, t))
        assert at.value == pytest.approx(expected.value, rel=1e-14)
        torch.testing.assert_close(at.functionals, expected.functionals, rtol=1e-13, atol=1e-13)
        accuracy = objective.diagnostics(theta, 0.4, 1.5, t)["accuracy"]
        assert accuracy == pytest.approx(alone.diagnostics(theta, 0.4, 1.5, 0.0)["accuracy"], abs=1e-14)


def test_the_path_is_not_the_mixture() -> None:
    data = moving()
    c, values = controls(0.4, 1.5, 0.5), []
    for d in (data, replace(data, coupling=None)):
        objective = finite_latent(d, 3, 1e-2)
        values.append(FreeEnergy(objective, Work()).value(objective.initial(generator()), c))
    assert abs(values[0] - values[1]) > 0.01


def test_labels_are_mixed_inside_the_hamiltonian() -> None:
    data = moving()
    objective = finite_latent(data, 3, 0.0)
    theta = objective.initial(generator()) + 0.1
    c = controls(0.4, 1.5, 0.3)
    log_prior, mean, log_classifier = objective.tables(theta)
    expected = 0.0
    assert data.target is not None and data.coupling is not None
    for i, j, weight in zip(*(v.tolist() for v in (data.coupling.source, data.coupling.target, data.coupling.weights))):
        x = 0.7 * data.source.x[i] + 0.3 * data.target.x[j]
        ell = 0.7 * log_classifier[:, data.source.y[i]] + 0.3 * log_classifier[:, data.target.y[j]]
        log_decoder = torch.stack([objective.likelihood.log_prob(x, m) for m in mean])
        expected -= weight * float((log_prior + 0.4 * log_decoder + 1.5 * ell).logsumexp(0))
    assert float(objective.free_energy(theta, *c.unbind())) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["amortised", "importance_weighted"])
def test_a_datum_of_a_network_objective_takes_its_noise_along(name: str) -> None:
    data = moving()
    objective = OBJECTIVES[name](data)
    theta, c = objective.initial(generator()), controls(0.4, 1.5)
    alone = OBJECTIVES[name](Data(data.source, None, None, 3))
    expected = FreeEnergy(alone, Work()).linearise(theta, c)
    at = FreeEnergy(objective, Work()).linearise(theta, c)
    torch.testing.assert_close(at.functionals, expected.functionals, rtol=1e-13, atol=1e-13)
    ends = [objective.diagnostics(theta, 0.4, 1.5, t) for t in (0.0, 1.0)]
    assert ends[0] == pytest.approx(alone.diagnostics(theta, 0.4, 1.5, 0.0), rel=1e-12)
    assert ends[1]["fresh_distortion"] != pytest.approx(ends[0]["fresh_distortion"], rel=1e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_b_t_and_the_force_are_derivatives_along_the_moving_points(name: str) -> None:
    """b_t = −d/dt ∇J and ∂_tJ against sixth-order central differences."""
    objective = OBJECTIVES[name](moving())
    free_energy = FreeEnergy(objective, Work())
    theta = objective.initial(generator()) + 0.1
    at = free_energy.linearise(theta, controls(0.4, 1.5, 0.3))
    h, gradient, value = 1e-2, torch.zeros_like(theta), 0.0
    for k, w in zip((-3, -2, -1, 1, 2, 3), (-1 / 60, 9 / 60, -45 / 60, 45 / 60, -9 / 60, 1 / 60)):
        near = free_energy.linearise(theta, controls(0.4, 1.5, 0.3 + k * h))
        gradient += w / h * near.gradient
        value += w / h * near.value
    assert float(at.mixed[2].norm()) > 0.01
    torch.testing.assert_close(at.mixed[2], -gradient, rtol=1e-7, atol=1e-8)
    assert float(at.forces[2]) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_third_column_of_m_is_the_derivative_of_the_equilibrium(name: str) -> None:
    objective = OBJECTIVES[name](moving())
    lam, gamma, t, h = 2.0, 4.0, 0.4, 1e-3
    at = equilibrium(objective, controls(lam, gamma, t))
    response = linear_response(at, Dense(), objective.weight_prior_precision)
    theta_t, functionals_t = torch.zeros_like(at.theta), FLOAT.new_zeros(3)
    for k, w in zip((-3, -2, -1, 1, 2, 3), (-1 / 60, 9 / 60, -45 / 60, 45 / 60, -9 / 60, 1 / 60)):
        near = equilibrium(objective, controls(lam, gamma, t + k * h), at.theta, tolerance=1e-12)
        theta_t += w / h * near.theta
        functionals_t += w / h * near.functionals
    assert float(functionals_t.abs().min()) > 1e-3
    assert float((response.directions[2] - theta_t).norm()) <= 1e-6 * max(1.0, float(theta_t.norm()))
    torch.testing.assert_close(response.matrix[:, 2], functionals_t, rtol=1e-6, atol=1e-6)


# --- a user's own coupling, and mistakes ----------------------------------------------------------------------------


def write(path: Path, array: Any, name: str = "coupling") -> Path:
    np.savez(path, **{name: array})
    return path


def test_a_coupling_from_a_file(tmp_path: Path) -> None:
    x, goal = blobs(20, seed=1).source.x, blobs(30, seed=2).source.x
    plan = optimal_coupling(x, goal)
    again = read_coupling(write(tmp_path / "c.npz", 20 * dense(plan, 20, 30).numpy()), 20, 30)
    torch.testing.assert_close(dense(again, 20, 30), dense(plan, 20, 30), rtol=1e-14, atol=0)
    independent = read_coupling(write(tmp_path / "c.npz", np.full((20, 30), 1 / 30)), 20, 30)
    assert len(independent.weights) == 600


def changed(i: int, j: int, value: float, *, keep_row: bool = False) -> np.ndarray:
    array = np.full((4, 6), 1 / 6)
    array[i, j] = value
    if keep_row:
        array[i, j - 1] += 1 / 6 - value
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (changed(2, 1, 0.2), r"row 2 of coupling sums to 1\.0333333333.*every row must sum to 1$"),
        (changed(2, 1, 0.2, keep_row=True), r"column 0 of coupling sums to 0\.633333.*must sum to 0\.666666666667"),
        (changed(3, 0, -0.1), r"-0\.1 in row 3, column 0; expected finite numbers >= 0"),
        (changed(1, 2, np.nan), "nan in row 1, column 2"),
        (np.full((6, 4), 1 / 4), r"shape \(6, 4\); expected \(4, 6\), source data by target data"),
        (np.full((4, 6), "x"), "expected numbers"),
    ],
)
def test_a_coupling_that_is_none(tmp_path: Path, array: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        read_coupling(write(tmp_path / "c.npz", array), 4, 6)
    assert raised.value.exit_code == 4
    assert len(str(raised.value).splitlines()) == 1


def test_a_coupling_file_without_a_coupling(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds plan; expected array coupling"):
        read_coupling(write(tmp_path / "c.npz", np.eye(4), "plan"), 4, 4)
    with pytest.raises(DataError, match="not a readable npz file"):
        read_coupling(tmp_path / "missing.npz", 4, 4)


def save(path: Path, labels: Any, dim: int = 3) -> Selection:
    x = np.random.default_rng(0).random((len(labels), dim))
    np.savez(path, x=x, y=np.array(labels, dtype=np.int64))
    return named("npz", path=path)


@pytest.mark.parametrize(
    ("labels", "dim", "classes", "words"),
    [
        ([2, 3, 2, 3], 3, None, r"has the labels 2, 3 and data\.source 0, 1, none in common; name the classes of both"),
        ([2, 3, 2, 3], 4, (2, 3), r"data\.target: 4 components per datum, but data\.source has 3"),
        ([2, 3, 2, 3], 3, (2, 7), "no datum of class 7"),
        ([], 3, None, r"data\.target: no data left"),
    ],
)
def test_a_target_that_does_not_fit(
    tmp_path: Path, labels: list[int], dim: int, classes: tuple[int, ...] | None, words: str
) -> None:
    source = save(tmp_path / "a.npz", [0, 1, 0, 1])
    target = replace(save(tmp_path / "b.npz", labels, dim), classes=classes)
    with pytest.raises(DataError, match=words):
        load_data(sets(source, target), 0.0, 0, unit_interval=True, like=FLOAT, transport=Transport())


def test_renumbered_classes_are_in_common(tmp_path: Path) -> None:
    source, target = save(tmp_path / "a.npz", [0, 1, 0, 1]), save(tmp_path / "b.npz", [2, 3, 2, 3, 3])
    data = load_data(
        sets(source, replace(target, classes=(2, 3))),
        0.0,
        0,
        unit_interval=True,
        like=FLOAT.float(),
        transport=Transport(),
    )
    assert data.classes == 2 and data.coupling is not None and data.coupling.weights.dtype == torch.float32
    with pytest.raises(DataError, match=r"data\.source: no data left"):
        load_data(
            sets(save(tmp_path / "c.npz", []), target), 0.0, 0, unit_interval=True, like=FLOAT, transport=Transport()
        )


# --- whole runs -----------------------------------------------------------------------------------------------------


def transfer(**changes: Any) -> dict[str, Any]:
    """A prescribed transfer from threes and fives to eights and nines."""
    tree = images(
        data={
            "source": {"name": "digits", "classes": [3, 5], "limit": 30},
            "target": {"name": "digits", "classes": [8, 9], "limit": 24},
            "path": "optimal_transport",
        },
        objective={"alphabet_size": 2},
        process={"path": {"data_position": [0.0, 0.2]}},
    )
    tree["data"] |= changes
    return tree


def test_a_label_cost_keeps_labels_together() -> None:
    """Without it half of the pairs change their label; with it none does, and x costs more."""
    x, goal = blobs(60).source, blobs(60, seed=5).source
    free = optimal_coupling(x.x, goal.x)
    paid = optimal_coupling(x.x, goal.x, 100.0 * (x.y[:, None] != goal.y).double())
    costs, changes = [], []
    for plan in (free, paid):
        costs.append(float(plan.weights @ (x.x[plan.source] - goal.x[plan.target]).square().sum(1)))
        changes.append(float(plan.weights @ (x.y[plan.source] != goal.y[plan.target]).double()))
    assert changes[0] > 0.1 and changes[1] == 0.0
    assert costs[1] > costs[0]


def test_a_run_records_its_coupling(tmp_path: Path) -> None:
    first, again, mixed = (rdc_dyn.run(t) for t in (transfer(), transfer(), transfer(path="mixture")))
    assert first.attrs["status"] == "COMPLETED"
    assert len(first.attrs["coupling_digest"]) == 64
    assert first.attrs["coupling_digest"] == again.attrs["coupling_digest"]
    assert first.attrs["data_digest"] == mixed.attrs["data_digest"]
    assert "coupling_digest" not in mixed.attrs
    np.testing.assert_array_equal(first.rate, again.rate)
    assert not np.allclose(first.rate[-1], mixed.rate[-1])


def test_a_run_with_a_coupling_file_runs_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = transfer(validation_fraction=0.0, coupling="c.npz")
    write(tmp_path / "c.npz", np.full((30, 24), 1 / 24))
    (tmp_path / "s.yaml").write_text(dump(from_mapping(tree)))
    first = rdc_dyn.run(tmp_path / "s.yaml", tmp_path / "run")
    monkeypatch.chdir("/")
    copy = tmp_path / "run" / "scenario.yaml"
    with pytest.raises(rdc_dyn.ScenarioError, match="coupling: leaves the folder of the scenario"):
        rdc_dyn.run(copy)
    again = rdc_dyn.run(load(copy, [f"data.coupling={tmp_path / 'c.npz'}"]))
    assert first.attrs["coupling_digest"] == again.attrs["coupling_digest"]
    np.testing.assert_array_equal(first.rate, again.rate)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coupling": "c.npz", "path": "mixture"}, "data.coupling: only with path: optimal_transport"),
        ({"coupling": "c.npz", "target": None}, "data.target: missing"),
        ({"coupling": 3}, "data.coupling: expected a text"),
    ],
)
def test_a_coupling_that_cannot_be_is_a_mistake_of_the_scenario(changes: dict[str, Any], words: str) -> None:
    tree = transfer(**changes)
    tree["process"]["path"]["data_position"] = [0.0, 0.0]
    with pytest.raises(rdc_dyn.UserError, match=words) as raised:
        rdc_dyn.run(tree)
    assert raised.value.exit_code == 2
    assert len(str(raised.value).splitlines()) == 1
