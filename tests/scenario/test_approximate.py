"""The sections that do without solves: what they default to, and what does not fit together."""

from __future__ import annotations

import pytest

from rdc_dyn.scenario import ScenarioError, dump, loads
from rdc_dyn.scenario.sections.responses import LinearResponseSection

TEXT = """\
name: a
data: {source: {name: digits}}
objective:
  kind: amortised
  encoder: {kind: mlp, hidden: [8], latent_dim: 2}
  decoder: {kind: mlp, hidden: [8], likelihood: bernoulli}
start: {lam: 0.5, gamma: 4.0, equilibrate: {EQUILIBRATE}}
process: {kind: iso_classification, PROCESS}
response: {RESPONSE}
integrator: {method: euler, step_size: 0.05}
corrector: {CORRECTOR}
"""
GAUSSIAN = """\
name: b
objective:
  kind: linear_gaussian
  x_dim: 1
  y_dim: 1
  latent_dim: 1
  distortion_variance: 0.5
  label_variance: 0.5
  source_second_moment: [[2.0, 0.5], [0.5, 1.0]]
start: {lam: 2.0, gamma: 3.0, equilibrate: {EQUILIBRATE}}
process: {kind: iso_classification, PROCESS}
response: {RESPONSE}
integrator: {method: euler, step_size: 0.05}
corrector: {CORRECTOR}
"""


FRESH = TEXT.replace("kind: amortised", "kind: amortised\n  noise: fresh")
_MEANS = {"corrector": "method: primal_dual", "response": "kind: secant_filter"}


def scenario(
    text: str = TEXT,
    *,
    response: str = "kind: secant",
    corrector: str = "method: gradient",
    process: str = "span: [0.0, 1.0]",
    equilibrate: str = "",
) -> str:
    for name, value in {
        "RESPONSE": response, "CORRECTOR": corrector, "PROCESS": process, "EQUILIBRATE": equilibrate
    }.items():  # fmt: skip
        text = text.replace(name, value)
    return text


@pytest.mark.parametrize(
    "response", ["kind: secant", "kind: finite_difference", "kind: secant, start: linear_response"]
)
@pytest.mark.parametrize(
    "corrector",
    ["method: gradient, batch: 64", "method: variance_reduced", "method: newton_krylov, hold_constraint: false",
     "method: newton_krylov", "method: gradient, baumgarte: 20.0"],
)  # fmt: skip
def test_what_fits_together(response: str, corrector: str) -> None:
    loaded = loads(scenario(response=response, corrector=corrector))
    assert loads(dump(loaded)) == loaded
    prescribed = scenario(response=response, corrector=corrector).replace(
        "kind: iso_classification,", "kind: prescribed, path: {lam: 1.0, gamma: 4.0},"
    )
    loads(prescribed)


@pytest.mark.parametrize("response", ["kind: secant_filter", "kind: linear_response"])
@pytest.mark.parametrize(
    ("corrector", "process"),
    [("method: primal_dual", "clock: multipliers"), ("method: geco", "clock: lam"), ("method: nupi", "clock: lam")],
)
def test_means_of_epochs_fit_together_with(response: str, corrector: str, process: str) -> None:
    text = scenario(FRESH, response=response, corrector=corrector, process=process, equilibrate="newton_steps: 0")
    loaded = loads(text)
    assert loads(dump(loaded)) == loaded


def test_a_response_without_a_kind_is_the_linear_one() -> None:
    for response in ("", "solver: {method: dense}", "kind: linear_response"):
        assert isinstance(loads(scenario(response=response)).response, LinearResponseSection)


CASES: list[tuple[str, dict[str, str], str, str]] = [
    (TEXT, {"process": "on_fold: follow"}, "process.on_fold", "follow needs A, which response.kind secant does withou"),
    (
        TEXT,
        {"process": "look_ahead: true", "response": "kind: finite_difference"},
        "process.look_ahead",
        "true needs A, which response.kind finite_difference does without",
    ),
    (
        TEXT,
        {"corrector": "method: none"},
        "corrector.method",
        "none leaves theta where it is, and with response.kind secant",
    ),
    (
        TEXT,
        {"corrector": "method: none", "response": "kind: finite_difference"},
        "corrector.method",
        "none leaves theta where it is, and with response.kind finite_difference",
    ),
    (
        TEXT,
        {"corrector": "method: gradient, baumgarte: 21.0"},
        "corrector.baumgarte",
        "which is 20, or Euler overshoots",
    ),
    (
        TEXT,
        {"corrector": "method: newton_krylov, baumgarte: 5.0"},
        "corrector.baumgarte",
        "only with hold_constraint: false",
    ),
    (
        TEXT,
        {"response": "kind: secant, delta: 0.1"},
        "response.delta",
        "not a key of kind 'secant', only of: finite_dif",
    ),
    (TEXT, {"response": "kind: secent"}, "response.kind", "did you mean 'secant'"),
    (TEXT, {"response": "kind: finite_difference, delta: 0"}, "response.delta", "must be > 0"),
    (TEXT, {"response": "kind: secant, start: solve"}, "response.start", "choose one of: guess, linear_response"),
    (TEXT, {"corrector": "method: gradient, batch: 0"}, "corrector.batch", "must be >= 1, got 0"),
    (TEXT, {"corrector": "method: variance_reduced, steps: 0"}, "corrector.steps", "must be >= 1, got 0"),
    (
        TEXT,
        {"process": "on_fold: relax", "equilibrate": "newton_steps: 0", "response": "kind: linear_response"},
        "process.on_fold",
        "relax descends by start.equilibrate.newton_steps, which is 0",
    ),
    (GAUSSIAN, {"corrector": "method: gradient, batch: 8"}, "corrector.batch", "has no data to draw from"),
    (GAUSSIAN, {"equilibrate": "batch: 8"}, "start.equilibrate.batch", "has no data to draw from"),
    (GAUSSIAN, {"corrector": "method: variance_reduced"}, "corrector.method", "has no data"),
    (GAUSSIAN, _MEANS, "corrector.method", "has no data"),
    (TEXT, {"corrector": "method: primal_dual"}, "response.kind", "use secant_filter"),
    (TEXT, {**_MEANS, "process": "on_fold: relax"}, "process.on_fold", "primal_dual has means of epochs; use stop"),
    (TEXT, {**_MEANS, "corrector": "method: geco"}, "corrector.method", "gamma alone must be free: process.clock: lam"),
    (TEXT, {**_MEANS, "corrector": "method: primal_dual, batch: 0"}, "corrector.batch", "must be >= 1, got 0"),
    (TEXT, {**_MEANS, "corrector": "method: primal_dual, rate: 1"}, "corrector.rate", "only of: geco"),
    (TEXT, {**_MEANS, "corrector": "method: primaldual"}, "corrector.method", "did you mean 'primal_dual'"),
    (FRESH, {"corrector": "method: newton_krylov"}, "objective.noise", "newton_krylov takes frozen noise"),
    (FRESH, {"corrector": "method: gradient"}, "objective.noise", "gradient takes frozen noise; use primal_dual"),
    (FRESH, _MEANS, "objective.noise", "set start.equilibrate.newton_steps to 0"),
]


@pytest.mark.parametrize(("text", "changes", "key", "words"), CASES)
def test_mistakes_are_told_in_one_line(text: str, changes: dict[str, str], key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        loads(scenario(text, **changes))
    assert [p.key for p in error.value.problems] == [key]
    assert words in error.value.problems[0].message
