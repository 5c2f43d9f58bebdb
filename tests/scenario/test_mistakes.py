"""Each mistake is reported once, at its place, in words that help; all mistakes of a file come together."""

from __future__ import annotations

import re

import pytest

from rdc_dyn.scenario import ScenarioError, loads

VAE = """\
name: a
seed: 0
dtype: float64
device: auto
threads: 2
data:
  source: {name: digits, classes: all, limit: 500}
  target: null
  root: null
  download: false
  validation_fraction: 0.1
objective:
  kind: amortised
  encoder: {kind: mlp, hidden: [32, 16], latent_dim: 4, activation: tanh}
  decoder: {kind: mlp, hidden: [32], likelihood: gaussian, variance: 0.05}
  samples: 8
start:
  lam: 0.5
  gamma: 4.0
  equilibrate: {adam_steps: 10, tolerance: 1e-8}
process:
  kind: iso_classification
  span: [0.0, 1.0]
  clock: multipliers
response:
  solver: {method: cg, rtol: 1e-8}
integrator:
  method: rk4
  step_size: 0.1
corrector: {method: newton_krylov, hold_constraint: true}
output: {every: 1}
"""

GAUSSIAN = """\
name: b
objective:
  kind: linear_gaussian
  x_dim: 2
  y_dim: 1
  latent_dim: 1
  distortion_variance: 0.5
  label_variance: 0.2
  source_second_moment: [[2, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
start: {lam: 1, gamma: 2}
process:
  kind: prescribed
  span: [0, 1]
  path: {lam: [1, 2], gamma: 3}
  shape: linear
integrator:
  method: dopri5
"""

# Each row: the text that is replaced, by what (the marker @ stands where the problem must point), the key, words.
# Rows whose position is elsewhere replace a second text to put the marker there.
Edit = tuple[str, str]
VAE_CASES: list[tuple[list[Edit], str, str]] = [
    ([("name: a", "name: @a b")], "name", "letters, digits.*got the string 'a b'"),
    ([("name: a", "name: @3")], "name", "letters, digits.*got 3"),
    ([("name: a\n", "@")], "name", "missing"),
    ([("seed: 0", "seed: @-1")], "seed", "must be >= 0 and < 2147483648, got -1"),
    ([("seed: 0", "seed: @2147483648")], "seed", "must be >= 0 and < 2147483648"),
    ([("seed: 0", "seed: @1.0")], "seed", "expected a whole number.*got 1.0"),
    ([("seed: 0", "seed: @true")], "seed", "expected a whole number.*got true"),
    ([("seed: 0", "seed: @'1'")], "seed", "expected a whole number.*got the string '1'"),
    ([("seed: 0", "seed: @1_0")], "seed", "got the string '1_0'"),
    ([("seed: 0", "@sede: 0")], "sede", "unknown key; did you mean 'seed'\\?"),
    ([("seed: 0", "@qqqq: 0")], "qqqq", "unknown key; valid keys: name, seed, dtype, .*output"),
    ([("seed: 0", "seed: 0\n@seed: 1")], "seed", "duplicate key; first given in line 2"),
    ([("dtype: float64", "dtype: @float46")], "dtype", "unknown dtype 'float46'.*float64, float32.*mean 'float64'"),
    ([("dtype: float64", "dtype: @64")], "dtype", "expected one of float64, float32, got 64"),
    ([("device: auto", "device: @gpu")], "device", "expected auto, cpu, cuda or cuda:N, got the string 'gpu'"),
    ([("device: auto", "device: @cuda:x")], "device", "expected auto, cpu, cuda or cuda:N"),
    ([("threads: 2", "threads: @0")], "threads", "must be >= 1, got 0"),
    ([("threads: 2", "threads: @[]")], "threads", "expected a whole number >= 1, got \\[\\]"),
    ([("name: digits", "name: @cifar")], "data.source.name", "unknown name 'cifar'; choose one of: digits, image"),
    ([("name: digits", "name: @minst")], "data.source.name", "did you mean 'mnist'"),
    ([("source: {name: digits, ", "@source: {")], "data.source.name", "missing; choose one of: digits"),
    ([("source: {name: digits, classes: all, limit: 500}", "source: @digits")], "data.source", "expected a section"),
    ([("source: {name: digits, classes: all, limit: 500}", "source: @null")], "data.source", "needs data.source"),
    ([("{name: digits,", "{name: npz,"), ("  source", "  @source")], "data.source.file", "missing; expected a text"),
    ([("limit: 500", "@file: x")], "data.source.file", "not a key of name 'digits', only of: npz"),
    ([("classes: all", "classes: @3")], "data.source.classes", "expected all or a non-empty list of whole numbers.*3"),
    ([("classes: all", "classes: @every")], "data.source.classes", "expected all or .*got the string 'every'"),
    ([("classes: all", "classes: @[]")], "data.source.classes", "non-empty list"),
    ([("classes: all", "classes: [1, @x]")], "data.source.classes.1", "expected a whole number >= 0.*'x'"),
    ([("classes: all", "classes: [0, 1, @-2]")], "data.source.classes.2", "must be >= 0, got -2"),
    ([("limit: 500", "limit: @0")], "data.source.limit", "must be >= 1, got 0"),
    ([("limit: 500", "limit: @all")], "data.source.limit", "expected a whole number >= 1"),
    ([("target: null", "target: {name: @foo}")], "data.target.name", "unknown name 'foo'"),
    ([("download: false", "download: @no")], "data.download", "expected true or false, got the string 'no'"),
    ([("download: false", "download: @1")], "data.download", "expected true or false, got 1"),
    ([("download: false", "download: true"), ("root: null", "root: @null")], "data.root", "missing; download: true"),
    ([("fraction: 0.1", "fraction: @1.0")], "data.validation_fraction", "must be >= 0 and < 1, got 1.0"),
    ([("fraction: 0.1", "fraction: @.nan")], "data.validation_fraction", "must be >= 0 and < 1, got nan"),
    ([("  kind: amortised", "  kind: @amortized")], "objective.kind", "unknown kind.*did you mean 'amortised'"),
    ([("  kind: amortised\n", ""), ("objective:", "@objective:")], "objective.kind", "missing; choose one of: finite"),
    (
        [("  kind: amortised", "  kind: @[amortised]")],
        "objective.kind",
        "expected one of finite_latent, .*got \\[amortised",
    ),
    ([("hidden: [32, 16]", "hidden: [@0, 16]")], "objective.encoder.hidden.0", "must be >= 1, got 0"),
    (
        [("hidden: [32, 16]", "hidden: @32")],
        "objective.encoder.hidden",
        "expected a list of whole numbers >= 1, got 32",
    ),
    ([("latent_dim: 4", "latent_dim: @4.5")], "objective.encoder.latent_dim", "expected a whole number >= 1, got 4.5"),
    ([("activation: tanh", "activation: @relu")], "objective.encoder.activation", "unknown activation 'relu'; choose"),
    ([("variance: 0.05", "variance: @0")], "objective.decoder.variance", "must be > 0, got 0"),
    ([("variance: 0.05", "variance: @.inf")], "objective.decoder.variance", "must be a finite number, got inf"),
    ([("variance: 0.05", "variance: @1e-3x")], "objective.decoder.variance", "a number > 0, got the string '1e-3x'"),
    (
        [("  samples: 8", "  @alphabet_size: 8")],
        "objective.alphabet_size",
        "not a key of kind 'amortised', only of: fin",
    ),
    (
        [("  kind: amortised", "  kind: importance_weighted"), ("  samples: 8", "  importance_samples: @3")],
        "objective.importance_samples",
        "must divide objective.samples, which is 8, got 3",
    ),
    (
        [("  samples: 8", "  samples: 8\n  @importance_samples: 8")],
        "objective.importance_samples",
        "not a key of kind 'amortised', only of: importance_weighted",
    ),
    (
        [("root: null", "@coupling: c.npz"), ("target: null", "target: {name: digits}")],
        "data.coupling",
        "only with path",
    ),
    (
        [("root: null", "coupling: c.npz\n  path: optimal_transport"), ("target: null", "target: @null")],
        "data.target",
        "missing; data.coupling says",
    ),
    (
        [("  samples: 8", "  classifier: @linear")],
        "objective.classifier",
        "a section with kind: one of linear, mlp, module, got the string",
    ),
    ([("encoder: {kind: mlp", "encoder: {kind: @resnet")], "objective.encoder.kind", "did you mean 'resnet18'"),
    (
        [("decoder: {kind: mlp", "decoder: {kind: @resnet18")],
        "objective.decoder.kind",
        "choose one of: mlp, deconv, mod",
    ),
    (
        [
            (
                "{kind: mlp, hidden: [32, 16], latent_dim: 4, activation: tanh}",
                "{kind: resnet18, latent_dim: 4, groups: @5}",
            )
        ],
        "objective.encoder.groups",
        "must divide objective.encoder.width, which is 64, got 5; the nearest is 4",
    ),
    (
        [("{kind: mlp, hidden: [32], likelihood", "{kind: deconv, @hidden: [32], likelihood")],
        "objective.decoder.hidden",
        "not a key of kind 'deconv', only of: mlp",
    ),
    (
        [("  samples: 8", "  classifier: {@hidden: [4]}")],
        "objective.classifier.hidden",
        "not a key of kind 'linear', only of: mlp",
    ),
    ([("lam: 0.5", "lam: @-0.5")], "start.lam", "must be >= 0, got -0.5"),
    ([("  lam: 0.5\n", ""), ("start:", "@start:")], "start.lam", "missing; give a number >= 0, or start.from"),
    ([("gamma: 4.0", "gamma: @0")], "start.gamma", "must be > 0 for iso_classification"),
    ([("gamma: 4.0", "gamma: 4.0\n  @from_: runs/a")], "start.from_", "unknown key; did you mean 'from'\\?"),
    ([("gamma: 4.0", "gamma: 4.0\n  from: a\n  @from_: b")], "start.from_", "unknown key; did you mean 'from'\\?"),
    ([("gamma: 4.0", "gamma: 4.0\n  from: @3")], "start.from", "expected a text"),
    ([("adam_steps: 10", "adam_steps: @1e3")], "start.equilibrate.adam_steps", "whole number >= 0, got 1000.0"),
    ([("tolerance: 1e-8", "@toleranse: 1e-8")], "start.equilibrate.toleranse", "did you mean 'tolerance'"),
    ([("span: [0.0, 1.0]", "span: @[1, 1.0]")], "process.span", "the ends must differ"),
    ([("span: [0.0, 1.0]", "span: @[1]")], "process.span", "expected a list of 2 numbers, got \\[1\\]"),
    ([("span: [0.0, 1.0]", "span: @[0, 1, 2]")], "process.span", "expected a list of 2 numbers, got \\[0, 1, 2\\]"),
    ([("span: [0.0, 1.0]", "span: [0, @.inf]")], "process.span.1", "must be a finite number"),
    ([("clock: multipliers", "clock: @alfa")], "process.clock", "unknown clock 'alfa'.*did you mean 'alpha'"),
    ([("lam: 0.5", "lam: 0"), ("clock: multipliers", "clock: @log_lam")], "process.clock", "needs start.lam > 0"),
    ([("clock: multipliers", "on_fold: @leave")], "process.on_fold", "unknown on_fold 'leave'; choose one of: stop"),
    (
        [("clock: multipliers", "@shape: linear")],
        "process.shape",
        "not a key of kind 'iso_classification', only of: pre",
    ),
    ([("method: cg", "method: @gmres")], "response.solver.method", "unknown method 'gmres'; choose one of: dense, cg"),
    ([("rtol: 1e-8", "rtol: @0")], "response.solver.rtol", "must be > 0, got 0"),
    ([("rtol: 1e-8", "@rank: 50")], "response.solver.rank", "only with preconditioner: nystrom"),
    ([("rtol: 1e-8", "preconditioner: none, @rank: 50")], "response.solver.rank", "only with preconditioner: nystrom"),
    ([("rtol: 1e-8", "preconditioner: nystrom, rank: @0")], "response.solver.rank", "must be >= 1, got 0"),
    (
        [("rtol: 1e-8", "preconditioner: kfac, @curvature: gauss_newton")],
        "response.solver.curvature",
        "kfac is of the Gauss-Newton matrix always",
    ),
    (
        [("rtol: 1e-8", "preconditioner: none, @curvature: gauss_newton")],
        "response.solver.curvature",
        "only with preconditioner: factorised or nystrom",
    ),
    ([("rtol: 1e-8", "memory: @-1")], "response.solver.memory", "must be >= 0, got -1"),
    ([("rtol: 1e-8", "damping: @-1")], "response.solver.damping", "must be >= 0, got -1"),
    ([("method: rk4", "method: @rk5")], "integrator.method", "unknown method 'rk5'; choose one of: euler.*mean 'rk4'"),
    ([("method: rk4", "method: @RK4")], "integrator.method", "did you mean 'rk4'"),
    ([("method: rk4", "method: @explicit_adams")], "integrator.method", "refused: its history is lost.*one of: euler"),
    ([("method: rk4", "method: @scipy_solver")], "integrator.method", "refused: torchdiffeq does not check"),
    ([("step_size: 0.1", "@step_sise: 0.1\n  step_size: 0.1")], "integrator.step_sise", "unknown key; did you mean 's"),
    ([("  step_size: 0.1\n", ""), ("integrator:", "@integrator:")], "integrator.step_size", "missing; expected a num"),
    ([("step_size: 0.1", "step_size: @1,5")], "integrator.step_size", "a number > 0, got the string '1,5'"),
    (
        [("step_size: 0.1", "step_size: 0.1\n  @rtol: 1e-3")],
        "integrator.rtol",
        "not a key of method 'rk4', only of: adap",
    ),
    (
        [("hold_constraint: true", "hold_constraint: @yes")],
        "corrector.hold_constraint",
        "true or false, got the string",
    ),
    ([("output: {every: 1}", "output: @[1]")], "output", "expected a section with the keys every, theta.*got \\[1\\]"),
    ([("output: {every: 1}", "@output:")], "output", "expected a section.*got null"),
    ([("{every: 1}", "{every: @{a: 1}}")], "output.every", "whole number >= 1, got a section with the keys a"),
]

GAUSSIAN_CASES: list[tuple[list[Edit], str, str]] = [
    ([("name: b", "name: b\ndata: {path: mixture, @source: {name: digits}}")], "data.source", "not used"),
    ([("name: b", "name: b\ndata: {@validation_fraction: 0.1}")], "data.validation_fraction", "not used"),
    ([("name: b", "name: b\ndata: {path: optimal_transport, @coupling: c.npz}")], "data.coupling", "not used"),
    ([("x_dim: 2", "x_dim: 3"), (" [[2, 0.5", " @[[2, 0.5")], "objective.source_second_moment", "4 x 4.*3 rows of 3"),
    ([("[[2, 0.5, 0], [0.5", "@[[2, 0.5, 0], [0.4")], "objective.source_second_moment", "symmetric.*\\(1, 0\\)"),
    ([("[[2, 0.5, 0], [0.5, 1, ", "@[[2, 2, 0], [2, 1, ")], "objective.source_second_moment", "eigenvalue -0.56"),
    ([("[[2, 0.5, 0], [0.5", "[[2, 0.5, @x], [0.5")], "objective.source_second_moment.0.2", "a number, got the str"),
    ([("[[2, 0.5, 0], [0.5", "[@2, [0.5")], "objective.source_second_moment.0", "expected a list of numbers, got 2"),
    ([("  label_variance: 0.2\n", ""), ("objective", "@objective")], "objective.label_variance", "missing.*> 0"),
    ([("lam: [1, 2]", "lam: [@1.5, 2]")], "process.path.lam.0", "must begin at start.lam, which is 1.0, got 1.5"),
    ([("lam: [1, 2]", "lam: @-1")], "process.path.lam", "a number >= 0 or a list of 2 numbers >= 0, got -1"),
    ([("lam: [1, 2]", "lam: @[1, 2, 3]")], "process.path.lam", "a number >= 0 or a list of 2 numbers >= 0, got \\[1"),
    ([("lam: [1, 2]", "lam: @[1]")], "process.path.lam", "or a list of 2 numbers >= 0, got \\[1\\]"),
    ([("lam: [1, 2]", "lam: [1, @y]")], "process.path.lam.1", "expected a number >= 0, got the string 'y'"),
    ([("lam: [1, 2]", "lam: [1, @0]"), ("shape: linear", "shape: exponential")], "process.path.lam.1", "must be > 0"),
    ([(", gamma: 2}", "}"), ("start:", "@start:")], "start.gamma", "missing.*or a pair in process.path.gamma"),
    ([(", gamma: 3}", "}"), ("path:", "@path:")], "process.path.gamma", "missing; expected a number >= 0 or a list"),
    ([("dopri5", "dopri5\n  rtol: null"), ("integrator", "@integrator")], "integrator.step_size", "rtol: null.*fixed"),
    ([("dopri5", "dopri5\n  atol: @null")], "integrator.atol", "only together with rtol: null"),
    ([("dopri5", "dopri5\n  rtol: @fast")], "integrator.rtol", "expected a number > 0"),
    ([("kind: prescribed", "kind: @&a prescribed")], "process.kind", "anchors"),
]


def place(text: str, edits: list[Edit]) -> tuple[str, str]:
    """Edit a text; return it without the marker, and the position of the marker."""
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    before, marker, after = text.partition("@")
    assert marker
    return before + after, f"scen.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize("text", [VAE, GAUSSIAN])
def test_the_unchanged_scenarios_are_valid(text: str) -> None:
    loads(text)


@pytest.mark.parametrize(
    ("base", "edits", "key", "words"),
    [(VAE, *case) for case in VAE_CASES] + [(GAUSSIAN, *case) for case in GAUSSIAN_CASES],
    ids=lambda value: value[-1][1][:40] if isinstance(value, list) else "",
)
def test_one_mistake_gives_one_problem_at_its_place(base: str, edits: list[Edit], key: str, words: str) -> None:
    text, where = place(base, edits)
    with pytest.raises(ScenarioError) as raised:
        loads(text, "scen.yaml")
    assert raised.value.exit_code == 2
    assert [(problem.where, problem.key) for problem in raised.value.problems] == [(where, key)]
    problem = raised.value.problems[0]
    assert re.search(words, problem.message), problem.message
    assert str(raised.value) == f"{where}: {key}: {problem.message}"


def test_all_mistakes_of_a_file_come_at_once_in_its_order() -> None:
    text = VAE.replace("seed: 0", "seed: -1\nseed: 2").replace("name: digits", "name: digitz")
    text = text.replace("samples: 8", "samples: *x").replace("gamma: 4.0", "gamma: 0").replace("rk4", "rk5")
    text = text.replace("[0.0, 1.0]", "[2, 2]") + "zz: 1\n"
    with pytest.raises(ScenarioError) as raised:
        loads(text, "s")
    assert [(problem.where, problem.key) for problem in raised.value.problems] == [
        ("s:2:7", "seed"),
        ("s:3:1", "seed"),
        ("s:8:18", "data.source.name"),
        ("s:17:12", "objective.samples"),
        ("s:20:10", "start.gamma"),
        ("s:24:9", "process.span"),
        ("s:29:11", "integrator.method"),
        ("s:33:1", "zz"),
    ]
    assert len(str(raised.value).splitlines()) == 8


def test_checks_between_sections_run_on_a_scenario_without_its_other_sections() -> None:
    with pytest.raises(ScenarioError) as raised:
        loads("objective: {kind: finite_latent}\nprocess: {kind: iso_classification, span: [1, 1]}\nstart: {gamma: 0}")
    keys = {problem.key for problem in raised.value.problems}
    assert {"data", "process.span", "start.gamma", "start.lam", "integrator", "objective.decoder"} <= keys


def test_a_whole_missing_section_is_reported_at_the_top_and_says_what_is_expected() -> None:
    with pytest.raises(ScenarioError) as raised:
        loads(VAE[: VAE.index("integrator:")], "s")
    assert str(raised.value).startswith("s:1:1: integrator: missing; expected a section with method: one of euler, mid")


@pytest.mark.parametrize("line", ["data: {path: mixture}", "data: null", "data: {download: false, source: null}"])
def test_linear_gaussian_accepts_a_data_section_that_says_nothing(line: str) -> None:
    loads(f"{line}\n{GAUSSIAN}")


@pytest.mark.parametrize(
    "matrix",
    [
        "[[0.1, 0.30000000000000004, 0], [0.3, 0.9, 0], [0, 0, 0]]",
        "[[1, 1, 0], [1, 0.9999999999999, 0], [0, 0, 1]]",
        "[[0, 0, 0], [0, 0, 0], [0, 0, 0]]",
    ],
)
def test_a_second_moment_that_is_wrong_only_by_rounding_is_accepted(matrix: str) -> None:
    loads(GAUSSIAN.replace("[[2, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]", matrix))


def test_fixed_steps_of_an_adaptive_method_and_a_start_from_a_run_are_accepted() -> None:
    text = GAUSSIAN.replace("method: dopri5", "method: dopri5\n  rtol: null\n  atol: null\n  step_size: 0.1")
    scenario = loads(text.replace("start: {lam: 1, gamma: 2}", "start: {from: runs/a}"))
    assert scenario.start.from_ == "runs/a"
    assert scenario.integrator.step_size == 0.1
