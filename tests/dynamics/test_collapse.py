"""A model that tells nothing of x or of y is named as such, early, with what to change; `doctor --scan` finds a way."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.doctor import scan, show_scan
from rdc_dyn.doctor.trials import Scan, Trial
from rdc_dyn.scenario import from_mapping
from rdc_dyn.simulate.collapse import collapse, label_entropy
from rdc_dyn.status import UserError
from tests import tiny
from tests.problems import amortised, blobs, controls, generator, linear_gaussian


def _scenario(lam: float, gamma: float, rho: float) -> dict[str, Any]:
    made = tiny.images(
        start={"lam": lam, "gamma": gamma, "equilibrate": {"adam_steps": 200, "learning_rate": 0.03}},
        process={"span": [0.0, 0.1], "path": {"lam": 1.01 * lam, "gamma": 1.01 * gamma}},
    )
    made["objective"] = {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [6], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [6], "likelihood": "bernoulli"},
        "classifier": {"kind": "linear"},
        "samples": 4,
        "weight_prior_precision": rho,
    }
    return made


def test_the_entropy_of_labels_that_move() -> None:
    def sample(labels: list[int]) -> Sample:
        return Sample(torch.zeros(len(labels), 2, dtype=torch.float64), torch.tensor(labels))

    data = Data(sample([0, 0, 1, 1]), sample([2, 2, 2, 2]), None, 3)
    objective = amortised(data)
    for t, shares in ((0.0, (0.5, 0.5, 0.0)), (0.5, (0.25, 0.25, 0.5)), (1.0, (0.0, 0.0, 1.0))):
        expected = -sum(p * math.log(p) for p in shares if p)
        assert label_entropy(objective, t) == pytest.approx(expected, abs=1e-15)
    assert label_entropy(linear_gaussian(), 0.0) is None


def test_a_look_at_r_d_c_is_that_of_the_linearisation_and_costs_no_work() -> None:
    free_energy = FreeEnergy(amortised(blobs()), Work())
    theta, at = free_energy.objective.initial(generator()), controls(0.7, 2.0)
    found = free_energy.functionals(theta, at)
    assert free_energy.work.gradient_evaluations == 0
    torch.testing.assert_close(found, free_energy.linearise(theta, at).functionals, rtol=1e-13, atol=1e-13)


def test_what_counts_as_collapsed() -> None:
    objective = amortised(blobs())
    at = (1.0, 1.0, 0.0)
    assert "collapsed" in str(collapse(objective, 0.005, 0.1, at))
    assert "guess" in str(collapse(objective, 1.0, 0.995 * math.log(3), at))
    assert collapse(objective, 1.0, 0.9 * math.log(3), at) is None
    assert collapse(objective, 1.0, math.log(3), (1.0, 0.0, 0.0)) is None  # nothing is to be classified
    assert collapse(linear_gaussian(), 1.0, 50.0, at) is None


@pytest.mark.parametrize(("start", "word"), [((0.5, 1.0, 30.0), "collapsed"), ((2.0, 1e-3, 1e-2), "guess")])
def test_a_run_warns_once_and_before_it_equilibrates(start: tuple[float, float, float], word: str) -> None:
    with pytest.warns(rdc_dyn.RunWarning, match=word):
        run = rdc_dyn.run(_scenario(*start), progress=False)
    told = [str(text) for text in run.rdc.events.text.values if word in str(text)]
    assert len(told) == 1
    assert told[0].startswith("after 200 steps of Adam")


@pytest.mark.filterwarnings("ignore:.*learnt by heart")
def test_a_model_whose_codes_tell_something_is_not_warned_of() -> None:
    run = rdc_dyn.run(_scenario(1.0, 4.0, 0.1), progress=False)
    assert run.attrs["status"] == "COMPLETED"
    assert not [text for text in run.rdc.events.text.values if "collapsed" in text or "guess" in text]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*learnt by heart")
def test_a_scan_leads_from_a_collapsed_start_to_one_that_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdc_dyn.doctor.trials.FIRST", 200)
    monkeypatch.setattr("rdc_dyn.doctor.trials.FURTHER", 40)
    scenario = from_mapping(_scenario(0.2, 0.5, 3.0))
    found = list(scan(scenario, Path()))
    scans = [each for each in found if isinstance(each, Scan)]
    best = scans[-1].best
    assert best is not None and "collapsed" in scans[0].verdicts
    screen = io.StringIO()
    assert show_scan(iter(found), 3.0, Console(file=screen, width=100))
    assert f"--set start.lam={best.lam:.4g} --set start.gamma={best.gamma:.4g}" in screen.getvalue()
    run = rdc_dyn.run(_scenario(best.lam, best.gamma, best.rho), progress=False)
    response = run.response.isel(time=0)  # what the scan promises: D and C move
    assert float(response.sel(functional="classification_loss", control="gamma")) < 0
    assert float(response.sel(functional="distortion", control="lam")) < 0


def test_a_trial_is_judged_beside_its_neighbours() -> None:
    def trial(lam: float, gamma: float, d: float, c: float, rate: float = 2.0) -> Trial:
        return Trial(lam, gamma, 1.0, rate, d, c)

    stiff, soft = trial(1, 1, 10.0, 0.5), trial(3, 3, 5.0, 0.3)
    others = [stiff, soft, trial(1, 3, 10.0, 0.499), trial(3, 1, 9.0, 0.5)]
    assert stiff.verdict(others, 1.0) == "hardly responds"
    assert soft.verdict(others, 1.0) == "responds"
    assert trial(1, 1, 1.0, 0.005).verdict(others, 1.0) == "C is almost zero"
    assert trial(1, 1, 1.0, 0.97).verdict(others, 1.0) == "guesses labels"
    assert trial(1, 1, 1.0, 0.5, 0.05).verdict(others, 1.0) == "collapsed"


@pytest.mark.parametrize(
    ("scenario", "match"), [(tiny.linear_gaussian(), "labelled data"), (_scenario(0.0, 1.0, 0.1), "both above zero")]
)
def test_what_cannot_be_scanned(scenario: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        list(scan(from_mapping(scenario), Path()))
