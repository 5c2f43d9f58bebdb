"""Sources whose R(D) or R(D, C) is known, and what a frozen encoder costs."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

import rdc_dyn
from rdc_dyn.dynamics import Integrator, Prescribed
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.scenario import load
from rdc_dyn.status import DataError
from tests.problems import problem, trajectory

ROOT = Path(rdc_dyn.__file__).parents[1]
TRUTHS = ROOT / "scenarios" / "truths"
NAMES = ("gaussian_source", "bernoulli_hamming", "gaussian_classification")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truths")
    for name in NAMES:
        assert rdc_dyn.run(TRUTHS / f"{name}.yaml", folder / name).attrs["status"] == "COMPLETED"
    return folder


def _script(name: str, *words: str | Path) -> dict[str, Any]:
    matplotlib.use("Agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])
        return runpy.run_path(str(ROOT / "analysis" / f"{name}.py"))


def _opened(runs: Path, name: str) -> dict[str, np.ndarray]:
    ds = rdc_dyn.open_run(runs / name)
    assert float(ds.equilibrium_residual.max()) <= 1e-10
    return {key: ds[key].values for key in ("lam", "gamma", "rate", "distortion", "classification_loss")}


def test_every_point_is_on_the_known_curve_to_a_millionth_of_a_bit(runs: Path, tmp_path: Path) -> None:
    found = _script("known_sources", runs, tmp_path / "figure.png", tmp_path / "table.md")
    assert set(found["errors"]) == set(NAMES)
    assert all(error.size > 10 and error.max() <= 1e-6 for error in found["errors"].values())
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert len((tmp_path / "table.md").read_text("utf-8").splitlines()) == 7
    # The truths themselves, where they are plain: all components in use, one, and a bound that binds.
    filling = found["water_filling"]
    assert filling(np.array([4.0, 1.0]), 0.5) == pytest.approx(3.0, abs=1e-12)
    assert filling(np.array([4.0, 0.5]), 2.5) == pytest.approx(0.5, abs=1e-12)
    assert filling(np.array([4.0, 1.0]), 2.25, np.array([np.inf, 0.25])) == pytest.approx(1.5, abs=1e-12)
    assert found["entropy"](0.25) == pytest.approx(2 - 0.75 * np.log2(3), abs=1e-15)


def test_the_whole_curve_of_a_linear_autoencoder_is_the_closed_form(runs: Path) -> None:
    """The water level is σ²/λ: each component has the error min(s, σ²/λ), through both levels where one is given up."""
    at, s = _opened(runs, "gaussian_source"), np.array([4.0, 1.0, 0.25])
    error = np.minimum(s, 1 / at["lam"][:, None])
    assert sorted(set((error < s).sum(1))) == [1, 2, 3]
    np.testing.assert_allclose(at["rate"], 0.5 * np.log(s / error).sum(1), atol=1e-8)
    np.testing.assert_allclose(at["distortion"], error.sum(1) / 2 + 1.5 * np.log(2 * np.pi), atol=1e-8)


def test_bits_are_where_their_slope_puts_them(runs: Path) -> None:
    """R = (H(p) − C) and slope −λ/(1 − γ): D = 1/(1 + e^{λ/(1−γ)}), to the tolerance of the corrector."""
    at, h = _opened(runs, "bernoulli_hamming"), -0.3 * np.log(0.3) - 0.7 * np.log(0.7)
    error = at["distortion"] - np.log1p(np.exp(-1))
    np.testing.assert_allclose(error, 1 / (1 + np.exp(at["lam"] / (1 - at["gamma"]))), atol=1e-9)
    np.testing.assert_allclose(at["rate"] + at["classification_loss"], h, atol=1e-9)


def test_a_scalar_gaussian_has_the_published_rate_for_distortion_and_class() -> None:
    """R(D, C) = max of ½ ln σ²/D and −½ ln(1 − (1 − e^{2C − 2h(S)})/ρ²) for classes S of correlation ρ with X.

    Ours has y = E[S|X] in place of S and a Gaussian log-loss in place of h(S|X̂): the noise of S is added here.
    """
    variance, of_class, rho = 2.0, 1.5, 0.8
    b = rho * (of_class / variance) ** 0.5
    moment = variance * torch.tensor([[1.0, b], [b, b * b]], dtype=torch.float64)
    objective = LinearGaussian(1, 1, 1, 0.5, 0.3, moment)
    process = Prescribed((0.0, 1.0), (4.0, 0.5), (0.5, 2.0))
    records, status = trajectory(problem(objective, process, 4.0, 0.5, Integrator("rk4"), 0.1))
    assert status == "COMPLETED" and len(records) > 10
    for record in records:
        rate, d, c = (record.values[name] for name in ("rate", "distortion", "classification_loss"))
        error = 0.5 * (2 * d - np.log(2 * np.pi * 0.5))
        missed = 0.3 * (2 * c - np.log(2 * np.pi * 0.3)) + of_class * (1 - rho**2)
        entropy, published = (0.5 * np.log(2 * np.pi * math.e * v) for v in (of_class, missed))
        by_class = -0.5 * np.log(1 - (1 - np.exp(2 * published - 2 * entropy)) / rho**2)
        assert rate == pytest.approx(0.5 * np.log(variance / error), abs=1e-8)
        assert rate == pytest.approx(by_class, abs=1e-8)


def test_held_classes_hold_the_error_of_what_tells_of_them(runs: Path) -> None:
    at = _opened(runs, "gaussian_classification")
    np.testing.assert_allclose(at["classification_loss"], at["classification_loss"][0], atol=1e-10)
    error = 2 * at["distortion"] - 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(error, 1 / at["lam"] + 1 / (0.3 + 4 * 0.64), atol=1e-8)


@pytest.mark.parametrize("rows", ["[[-1.0]]", "[[-1.0], [1.0, 2.0]]"])
def test_fixed_outputs_that_do_not_fit_are_refused(rows: str) -> None:
    file = f"data.source.file={TRUTHS / 'bernoulli.npz'}"  # a scenario that is loaded has no folder
    scenario = load(TRUTHS / "bernoulli_hamming.yaml", [file, f"objective.decoder.outputs={rows}"])
    with pytest.raises(DataError, match=r"objective\.decoder\.outputs: expected 2 rows of 1 numbers"):
        rdc_dyn.run(scenario)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
def test_a_frozen_encoder_costs_the_square_of_the_distance(tmp_path: Path) -> None:
    tree = YAML(typ="safe").load(TRUTHS / "digits_frozen_encoder.yaml")
    tree["data"]["source"]["limit"], tree["objective"]["samples"], tree["integrator"]["step_size"] = 60, 4, 0.125
    for part in ("encoder", "decoder"):
        tree["objective"][part]["hidden"] = [4]
    tree["start"]["equilibrate"] = {"adam_steps": 300}
    (tmp_path / "small.yaml").write_text(json.dumps(tree))
    found = _script("frozen_encoder", tmp_path / "small.yaml", tmp_path / "figure.png")
    price, predicted, frozen = found["price"], found["predicted"], found["frozen"]
    for name in ("rate", "distortion", "classification_loss"):  # the same start
        assert float(frozen[name][0]) == pytest.approx(float(found["free"][name][0]), rel=1e-12)
    assert len(price) == 9 and (price[1:] > 0).all()
    assert price[2] / price[1] == pytest.approx(4, rel=0.05)
    assert abs(price[1] / predicted[1] - 1) < 0.6 * abs(price[2] / predicted[2] - 1) < 0.05
    np.testing.assert_allclose(frozen.rate, frozen.rate[0], rtol=1e-12)
    assert float(abs(frozen.response.sel(functional="distortion", control="gamma")).max()) < 1e-9
