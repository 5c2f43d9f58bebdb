"""Held-out data: what is recorded of them at t, in blocks or at once, and that nothing else sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Data
from rdc_dyn.objective import Objective, diagnostics
from rdc_dyn.scenario import from_mapping
from tests.problems import FLOAT, amortised, blobs, controls, finite_latent, generator, importance_weighted
from tests.tiny import images

OBJECTIVES: dict[str, Callable[[Data], Objective]] = {
    "finite_latent": lambda data: finite_latent(data, 3, 1e-2),
    "amortised": amortised,
    "importance_weighted": importance_weighted,
}
_LOSSES = ("rate", "distortion", "classification_loss")


def moving(coupled: bool, held_out: tuple[int, int] = (11, 17)) -> Data:
    """Two unlike sets of blobs, with held-out data of both."""
    samples = [blobs(count, seed=seed).source for seed, count in enumerate((20, 30, *held_out))]
    coupling = optimal_coupling(samples[0].x, samples[1].x) if coupled else None
    return Data(samples[0], samples[1], samples[2], 3, coupling, samples[3])


def at(objective: Objective, t: float) -> dict[str, float]:
    theta = objective.initial(generator())
    theta += 0.5 * torch.randn(len(theta), generator=generator(1), dtype=theta.dtype)
    return objective.diagnostics(theta, 0.4, 1.5, t)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_held_out_data_mix_at_t(name: str, coupled: bool) -> None:
    """(1 − t) source + t target for a transport too, whose training data move by its coupling."""
    objective = OBJECTIVES[name](moving(coupled))
    ends, between = [at(objective, t) for t in (0.0, 1.0)], at(objective, 0.3)
    for key in (*_LOSSES, "accuracy"):
        one, other = (end[f"validation_{key}"] for end in ends)
        assert between[f"validation_{key}"] == pytest.approx(0.7 * one + 0.3 * other, rel=1e-13)
        assert one != pytest.approx(other, rel=1e-3)
    for key in ("accuracy", "classification_loss"):
        of_target = {numbers[f"validation_target_{key}"] for numbers in (*ends, between)}
        assert of_target == {ends[1][f"validation_{key}"]}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_recorded_of_held_out_data_is_what_training_on_them_would_be(name: str) -> None:
    """R, D and C by hand: for the exact objective those of a model whose training data they are."""
    data = moving(coupled=False)
    objective, c = OBJECTIVES[name](data), controls(0.4, 1.5, 0.3)
    theta = objective.initial(generator()) + 0.1
    numbers = objective.diagnostics(theta, *c.tolist())
    held_out = data.held_out
    assert held_out is not None
    expected = FreeEnergy(OBJECTIVES[name](held_out), Work()).linearise(theta, c).functionals
    # Networks have noise of its own for each set, so that these differ by what four samples leave.
    tolerance = 1e-12 if name == "finite_latent" else 0.1
    found = FLOAT.new_tensor([numbers[f"validation_{key}"] for key in _LOSSES])
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_data_that_do_not_move_have_no_numbers_of_a_target() -> None:
    for data in (replace(blobs(20), validation=blobs(9, seed=1).source), replace(moving(True), target_validation=None)):
        numbers = at(finite_latent(data, 3, 1e-2), 0.5)
        assert numbers["validation_rate"] == at(finite_latent(data, 3, 1e-2), 0.0)["validation_rate"]
        assert not any(key.startswith("validation_target") for key in numbers)
    assert not any(key.startswith("validation") for key in at(finite_latent(blobs(20), 3, 1e-2), 0.0))


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_held_out_data_are_seen_by_nothing_else(name: str, coupled: bool) -> None:
    data = moving(coupled)
    alone = replace(data, validation=None, target_validation=None)
    with_them, without = (OBJECTIVES[name](d) for d in (data, alone))
    theta, c = with_them.initial(generator()), controls(0.7, 1.3, 0.4)
    one, other = (FreeEnergy(objective, Work()).linearise(theta, c) for objective in (with_them, without))
    assert torch.equal(one.gradient, other.gradient) and torch.equal(one.mixed, other.mixed)
    numbers = with_them.diagnostics(theta, *c.tolist())
    trained = {key: value for key, value in numbers.items() if not key.startswith("validation")}
    assert trained == without.diagnostics(theta, *c.tolist())
    assert len(numbers) == len(trained) + 8


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_blocks_change_nothing_but_memory(name: str, coupled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = OBJECTIVES[name](moving(coupled))
    whole = at(objective, 0.3)
    sizes: list[int] = []
    real = diagnostics.block_size

    def counted(numbers: int, like: torch.Tensor) -> int:
        sizes.append(real(numbers, like))
        return sizes[-1]

    module = "finite_latent" if name == "finite_latent" else "variational"
    monkeypatch.setattr(f"rdc_dyn.objective.{module}.block_size", counted)
    for room in (1, 2_000, 4_000):
        monkeypatch.setitem(diagnostics._BYTES, "cpu", room)
        assert at(objective, 0.3) == pytest.approx(whole, rel=1e-13)
    assert sizes[0] == 1 and sizes[0] < sizes[-1] < 20


def test_a_block_of_mnist_is_small() -> None:
    """8 samples of 784 pixels in float64: what 60,000 images would take at once is 3 GB for one array."""
    size = diagnostics.block_size(8 * 9 * 784, FLOAT)
    assert 100 < size < 1000 and size * 8 * 784 * 8 < 2**25


# --- whole runs -----------------------------------------------------------------------------------------------------


def run(tmp_path: Path, name: str, **data: Any) -> Any:
    tree = images(objective={"alphabet_size": 2}, process={"path": {"data_position": [0.0, 0.5]}})
    tree["data"] = data
    return rdc_dyn.run(from_mapping(tree), tmp_path / name)


def write(path: Path, count: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    np.savez(path, x=y[:, None] + 0.5 * rng.random((count, 3)), y=y)
    return {"name": "npz", "file": str(path)}


@pytest.mark.parametrize("path", ["mixture", "optimal_transport"])
def test_a_transfer_with_held_out_data(tmp_path: Path, path: str) -> None:
    sets = [write(tmp_path / f"{seed}.npz", 24, seed) for seed in range(4)]
    both = {"source": sets[0], "target": sets[1], "path": path}
    named = run(tmp_path, "named", **both, validation={"source": sets[2], "target": sets[3]})
    share = run(tmp_path, "share", **both, validation_fraction=0.25)
    without = run(tmp_path, "without", **both)
    for trajectory in (named, share):
        assert trajectory.attrs["status"] == "COMPLETED"
        for key in (*_LOSSES, "free_energy", "accuracy", "target_accuracy", "target_classification_loss"):
            assert np.isfinite(trajectory[f"validation_{key}"].values).all()
        assert (trajectory.validation_target_accuracy.values <= 1).all()
        long_name = trajectory.validation_rate.attrs["long_name"]
        assert "(1 - t) source + t target" in long_name
    assert not any(str(key).startswith("validation") for key in without.data_vars)
    # Naming held-out sets leaves the training data as they are, and a share is taken from them.
    np.testing.assert_array_equal(named.rate, without.rate)
    assert float(share.rate[0]) != pytest.approx(float(without.rate[0]), rel=1e-6)
    assert len({trajectory.attrs["data_digest"] for trajectory in (named, share, without)}) == 3
