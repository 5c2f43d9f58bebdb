"""Loading, overriding, dumping and describing scenarios."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdc_dyn.scenario import (
    Mistake,
    Scenario,
    ScenarioError,
    catalogue,
    dump,
    examples,
    from_mapping,
    json_schema,
    load,
    loads,
    template,
    templates,
)
from rdc_dyn.scenario.document import parse
from rdc_dyn.scenario.overrides import apply_overrides
from rdc_dyn.status import UserError

from .test_mistakes import GAUSSIAN, VAE

ADAPTIVE_METHODS = ("adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8")


def problems(text: str, *overrides: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ScenarioError) as raised:
        loads(text, "s", overrides)
    return [(problem.where, problem.key, problem.message) for problem in raised.value.problems]


# --- overrides ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("seed=7", lambda s: s.seed, 7),
        ("start.lam=1e-3", lambda s: s.start.lam, 1e-3),
        ("integrator.step_size = 0.05", lambda s: s.integrator.step_size, 0.05),
        ("integrator.method=euler", lambda s: (s.integrator.method, s.integrator.step_size), ("euler", 0.1)),
        ("objective.encoder.hidden=[8]", lambda s: s.objective.encoder.hidden, (8,)),
        ("objective.encoder.hidden.1=8", lambda s: s.objective.encoder.hidden, (32, 8)),
        ("objective.encoder.hidden.2=8", lambda s: s.objective.encoder.hidden, (32, 16, 8)),
        ("data.target.name=digits", lambda s: s.data.target and s.data.target.name, "digits"),
        ("corrector={method: none}", lambda s: s.corrector.method, "none"),
        ("output.theta=none", lambda s: (s.output.theta, s.output.every), ("none", 1)),
        ("device=cuda:1", lambda s: s.device, "cuda:1"),
        ("data.root=a=b", lambda s: s.data.root, "a=b"),
        ("data.source.limit=null", lambda s: s.data.source.limit, None),
    ],
)
def test_an_override_changes_one_key(override: str, read: Any, value: Any) -> None:
    before = loads(VAE)
    after = loads(VAE, overrides=[override])
    assert read(before) != value
    assert read(after) == value


def test_a_later_override_wins_and_the_first_is_not_blamed() -> None:
    assert loads(VAE, overrides=["seed=x", "seed=3"]).seed == 3


def test_an_override_can_mend_a_mistake_of_the_file() -> None:
    assert loads(VAE.replace("seed: 0", "seed: -1"), overrides=["seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("seed", "", "expected key=value"),
        ("=1", "", "expected key=value"),
        ("a..b=1", "", "expected key=value"),
        ("seed=", "seed", "no value behind '='"),
        ("seed=[1", "seed", "not valid YAML"),
        ("seed=*a", "seed", "aliases"),
        ("seed=!!python/none x", "seed", "tag"),
        ("seed=- 1", "seed", "write a list as"),
        ("start=lam: 1", "start", "write a list as"),
        ("seed=# no", "seed", "empty"),
        ("seed=-1", "seed", "must be >= 0"),
        ("seed.x=1", "seed.x", "seed is 0, not a section"),
        ("objective.encoder.hidden.5=1", "objective.encoder.hidden.5", "a list of 2 items"),
        ("objective.encoder.hidden.x=1", "objective.encoder.hidden.x", "a list of 2 items"),
        ("objective.encoder.hidden.0=0", "objective.encoder.hidden.0", "must be >= 1, got 0"),
        ("integrator.step_sise=1", "integrator.step_sise", "did you mean 'step_size'"),
        ("integrator.method=rk5", "integrator.method", "did you mean 'rk4'"),
        ("output.evry=1", "output.evry", "did you mean 'every'"),
        (".".join("a" * 30) + "=1", ".".join("a" * 30), "more than 20 parts"),
    ],
)
def test_a_bad_override_is_one_problem_that_names_it(override: str, key: str, words: str) -> None:
    found = problems(VAE, override)
    shown = override if len(override) <= 60 else override[:57] + "..."
    assert [(where, found_key) for where, found_key, _ in found] == [(f"--set {shown}", key)]
    assert words in found[0][2]


def test_a_changed_method_keeps_the_other_keys_and_the_file_is_blamed_for_them() -> None:
    text = GAUSSIAN.replace("dopri5", "dopri5\n  rtol: 1e-3\n  step_size: 0.1")
    assert problems(text, "integrator.method=rk4") == [
        ("s:18:3", "integrator.rtol", f"not a key of method 'rk4', only of: {', '.join(ADAPTIVE_METHODS)}")
    ]


def test_what_an_override_removed_is_missing_in_the_override() -> None:
    override = "objective.encoder={kind: mlp, latent_dim: 2}"
    assert [(where, key) for where, key, _ in problems(VAE, override)] == [
        (f"--set {override}", "objective.encoder.hidden")
    ]


def test_a_document_is_not_changed_by_its_overrides() -> None:
    document = parse(VAE, "s")
    changed = apply_overrides(document, ["objective.encoder.hidden.0=1", "seed=1", "x", "a.b=2"])
    assert document == parse(VAE, "s")
    assert changed.tree["objective"]["encoder"]["hidden"] == [1, 16]


def test_problems_of_file_and_overrides_come_together_file_first() -> None:
    found = problems(VAE.replace("seed: 0", "seed: -1"), "x", "start.lam=-1")
    assert [(where, key) for where, key, _ in found] == [
        ("s:2:7", "seed"),
        ("--set x", ""),
        ("--set start.lam=-1", "start.lam"),
    ]


# --- mappings -----------------------------------------------------------------------------------------------------


def mapping() -> dict[str, Any]:
    return {
        "name": "m",
        "objective": {
            "kind": "linear_gaussian",
            "x_dim": 1,
            "y_dim": 1,
            "latent_dim": 1,
            "distortion_variance": 0.5,
            "label_variance": 0.2,
            "source_second_moment": ((1, 0), (0, 1)),
        },
        "start": {"lam": 1, "gamma": 1},
        "process": {"kind": "iso_classification"},
        "integrator": {"method": "rk4", "step_size": 0.1},
    }


def test_a_mapping_gives_the_same_scenario_as_its_text() -> None:
    scenario = from_mapping(mapping(), ["seed=3"])
    assert scenario == loads(dump(scenario))
    assert scenario.seed == 3


def test_a_mapping_is_not_changed_by_overrides() -> None:
    tree = mapping()
    from_mapping(tree, ["start.lam=2", "output.every=2"])
    assert tree == mapping()


def test_positions_in_a_mapping_are_dotted_keys() -> None:
    tree = mapping() | {"sed": 1, "threads": {1, 2}, "output": {3: 4}}
    tree["start"] = {"lam": -1}
    del tree["integrator"]
    with pytest.raises(ScenarioError) as raised:
        from_mapping(tree)
    assert {(problem.where, problem.key) for problem in raised.value.problems} == {
        (key, key) for key in ("sed", "threads", "output", "start.lam", "start.gamma", "integrator")
    }
    assert "sed: unknown key; did you mean 'seed'?" in str(raised.value).splitlines()


@pytest.mark.parametrize("tree", [None, [], "x", 3])
def test_what_is_no_mapping_is_refused(tree: Any) -> None:
    with pytest.raises(ScenarioError, match="expected a mapping"):
        from_mapping(tree)


def test_a_mapping_that_contains_itself_is_refused() -> None:
    tree = mapping()
    tree["output"] = tree
    with pytest.raises(ScenarioError, match="nested deeper than 20 levels"):
        from_mapping(tree)


# --- files and errors ---------------------------------------------------------------------------------------------


def test_a_file_is_loaded_and_named_in_messages(tmp_path: Path) -> None:
    file = tmp_path / "scen.yaml"
    file.write_text(VAE, encoding="utf-8")
    assert load(file, ["seed=4"]) == loads(VAE, overrides=["seed=4"])
    file.write_text(VAE.replace("  step_size", "  step_sise"), encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        load(file)
    assert f"{file}:29:3: integrator.step_sise: unknown key; did you mean 'step_size'?" in str(raised.value)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_user_error_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="the scenario cannot be read") as raised:
        load(tmp_path / name)
    assert raised.value.exit_code == 2
    assert len(str(raised.value).splitlines()) == 1


def test_an_error_survives_the_way_back_from_a_worker_process() -> None:
    error = ScenarioError([Mistake("s:1:1", "seed", "wrong"), Mistake("s:2:1", "", "empty")])
    back = pickle.loads(pickle.dumps(error))
    assert (back.problems, str(back), back.exit_code) == (error.problems, "s:1:1: seed: wrong\ns:2:1: empty", 2)


# --- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(templates()))
def test_templates_are_valid_commented_and_survive_a_dump(name: str) -> None:
    text = template(name)
    scenario = loads(text, name)
    assert scenario.name == name
    assert loads(dump(scenario)) == scenario
    keys = [line for line in text.splitlines() if ": " in line and not line.lstrip().startswith(("#", "-"))]
    uncommented = [line for line in keys if "#" not in line]
    assert len(uncommented) <= 8, uncommented
    assert max(map(len, text.splitlines())) <= 120


def test_the_templates_are_those_promised_and_others_are_refused() -> None:
    assert list(templates()) == ["digits", "linear-gaussian", "vae", "vae-secant"]
    with pytest.raises(UserError, match=r"no template 'x'; choose one of: digits, linear-gaussian, vae, vae-secant"):
        template("x")


def test_a_dump_writes_every_default() -> None:
    text = dump(loads(GAUSSIAN))
    for line in ("seed: 0", "dtype: float64", "device: auto", "threads: null", "data: null", "  from: null"):
        assert line in text.splitlines()
    for word in ("preconditioner: factorised", "checkpoint_every: 10", "adam_steps: 1000", "rtol: 1e-06"):
        assert word in text
    written = [line.split(":")[0] for line in text.splitlines() if line[0].isalpha()]
    assert [*written, "sweep"] == list(from_mapping(mapping()).model_dump())  # one run has no sweep section


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False), st.text(max_size=30))
@settings(deadline=None, max_examples=60)
def test_numbers_and_texts_survive_a_dump_exactly(number: float, text: str) -> None:
    tree = mapping()
    tree["start"] |= {"lam": number, "from": text}
    try:
        scenario = from_mapping(tree)
    except ScenarioError as error:
        assert "control character" in str(error)
        return
    back = loads(dump(scenario))
    assert back == scenario
    assert back.start.lam == number
    assert back.start.from_ == text


# --- any tree -----------------------------------------------------------------------------------------------------

WORDS = ["name", "seed", "kind", "method", "lam", "classes", "amortised", "digits", "rk4", "all", "a", "", "é", "from"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(WORDS), st.just(10**400)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), inner, max_size=3),
    ),
    max_leaves=8,
)


def every_path(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path] * bool(path) + [found for key, item in inner for found in every_path(item, (*path, key))]


SCENARIOS = [loads(VAE), loads(GAUSSIAN), *(loads(template(name)) for name in templates())]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A valid tree in which a few values are replaced or keys added."""

    def lists(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: lists(item) for key, item in value.items()}
        return [lists(item) for item in value] if isinstance(value, list | tuple) else value

    tree = lists(draw(st.sampled_from(SCENARIOS)).model_dump(by_alias=True))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(every_path(tree) or [("name",)]))
        holder: Any = tree
        for part in path[:-1]:
            holder = holder[part]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.sampled_from(WORDS))] = draw(TREES)
        else:
            holder[path[-1]] = draw(TREES)
    return tree


def is_answered(make: Any) -> None:
    try:
        scenario = make()
    except ScenarioError as error:
        assert error.problems
        assert len(str(error).splitlines()) == len(error.problems)
        keys = [problem.key for problem in error.problems if not problem.message.startswith("a key ")]
        assert len(set(keys)) == len(keys)
    else:
        assert isinstance(scenario, Scenario)
        assert loads(dump(scenario)) == scenario


@given(st.one_of(TREES, damaged()))
@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_mapping_is_a_scenario_or_a_list_of_mistakes(tree: Any) -> None:
    is_answered(lambda: from_mapping(tree))


@given(st.text(alphabet=st.sampled_from("ab:1 \n\t-[]{},#&*!|>'\"%@?é.<~0"), max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_text_is_a_scenario_or_a_list_of_mistakes(text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        loads(text)
    assert len(str(raised.value).splitlines()) == len(raised.value.problems) > 0


@given(st.sampled_from([VAE, GAUSSIAN]), st.data())
@settings(deadline=None, max_examples=100)
def test_a_damaged_text_is_a_scenario_or_a_list_of_mistakes(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 5))
    insert = data.draw(st.text(alphabet=st.sampled_from("ab:1 \n\t-[]{},#&*!|>'\"%@?é.<~0"), max_size=5))
    try:
        assert isinstance(loads(text[:at] + insert + text[at + cut :]), Scenario)
    except ScenarioError as error:
        assert len(str(error).splitlines()) == len(error.problems) > 0


@given(st.text(max_size=20), TREES)
@settings(deadline=None, max_examples=100)
def test_any_override_is_applied_or_refused(override: str, value: Any) -> None:
    for text in (override, f"start.lam={value}", f"data.source.classes={value}"):
        try:
            assert isinstance(loads(VAE, overrides=[text]), Scenario)
        except ScenarioError as error:
            assert len(str(error).splitlines()) == len(error.problems) > 0


# --- descriptions -------------------------------------------------------------------------------------------------


def test_the_catalogue_lists_every_choice_with_a_line_on_each() -> None:
    listed = catalogue()
    words = {kind: [word for word, _ in members] for kind, members in listed.items()}
    assert words == {
        "objectives": ["finite_latent", "linear_gaussian", "amortised", "importance_weighted"],
        "encoders": ["mlp", "resnet18", "module"],
        "decoders": ["mlp", "deconv", "module", "table"],
        "classifiers": ["linear", "mlp", "module"],
        "data": ["digits", "image_folder", "npz", "mnist", "fashion_mnist", "cifar10"],
        "processes": [
            "grid",
            "iso_classification",
            "iso_classification_transfer",
            "iso_functional",
            "iso_functional_transfer",
            "geodesic_transfer",
            "prescribed",
        ],
        "clocks": ["alpha", "multipliers", "rate_distortion", "lam", "log_lam"],
        "integrators": ["euler", "midpoint", "heun2", "heun3", "rk4", *ADAPTIVE_METHODS],
        "correctors": [
            "none",
            "gradient",
            "newton_krylov",
            "quasi_newton",
            "variance_reduced",
            "epoch_mean",
            "primal_dual",
            "geco",
            "nupi",
        ],
        "responses": ["linear_response", "none", "finite_difference", "secant", "secant_filter"],
        "solvers": ["dense", "cg", "minres"],
        "preconditioners": ["factorised", "nystrom", "kfac", "none"],
        "likelihoods": ["gaussian", "bernoulli"],
        "examples": list(examples()),
        "templates": ["digits", "linear-gaussian", "vae", "vae-secant"],
    }
    assert all(line.strip() and "\n" not in line for members in listed.values() for _, line in members)


def test_the_json_schema_has_the_sections_and_the_name_from() -> None:
    schema = json_schema()
    assert list(schema["properties"]) == list(Scenario.model_fields)
    assert schema["$schema"].endswith("2020-12/schema")
    assert "from" in schema["$defs"]["StartSection"]["properties"]
    assert "from_" not in schema["$defs"]["StartSection"]["properties"]


def test_importing_and_validating_loads_no_numerical_library() -> None:
    heavy = ["torch", "torchvision", "xarray", "matplotlib", "numpy", "scipy", "sklearn"]
    code = (
        "import sys, rdc_dyn.scenario as s\n"
        "s.loads(s.template('vae')); s.catalogue(); s.json_schema()\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_GAUSSIAN = """\
name: transfer
objective:
  kind: linear_gaussian
  x_dim: 1
  y_dim: 1
  latent_dim: 1
  distortion_variance: 0.5
  label_variance: 0.5
  source_second_moment: [[2.0, 0.5], [0.5, 1.0]]
TARGET
start: {lam: 2.0, gamma: 3.0}
process: PROCESS
integrator: {method: rk4, step_size: 0.1}
"""
_TARGET = "  target_second_moment: [[1.5, 0.2], [0.2, 1.2]]"


@pytest.mark.parametrize(
    "target, process, key, words",
    [
        ("", "{kind: geodesic_transfer, slope: -3.0}", "objective.target_second_moment", "missing"),
        ("", "{kind: iso_classification_transfer, lam_rate: 1.0}", "objective.target_second_moment", "missing"),
        (_TARGET, "{kind: geodesic_transfer, slope: -0.5}", "process.slope", "-1/lam"),
        (_TARGET, "{kind: geodesic_transfer, slope: 1.0, span: [0.0, 1.5]}", "process.span", "from 0 to 1"),
        (_TARGET, "{kind: iso_functional, hold: {rate: 0.0}}", "process.hold", "nothing is held"),
        (_TARGET, "{kind: geodesic_transfer}", "process.slope", "missing"),
        (_TARGET, "{kind: geodesic_transfer, slope: -3.0, toward: {lam: 1.0, gamma: 1.0}}", "process.toward", "either"),
        (_TARGET, "{kind: geodesic_transfer, toward: {lam: 1.0}}", "process.toward.gamma", "missing"),
        (_TARGET, "{kind: iso_functional, hold: {rates: 1.0}}", "process.hold.rates", "did you mean 'rate'"),
    ],
)
def test_mistakes_of_processes_that_hold_or_move(target: str, process: str, key: str, words: str) -> None:
    text = _GAUSSIAN.replace("TARGET", target).replace("PROCESS", process)
    with pytest.raises(ScenarioError) as error:
        loads(text)
    assert [p.key for p in error.value.problems] == [key]
    assert words in error.value.problems[0].message


@pytest.mark.parametrize(
    "process",
    [
        "{kind: geodesic_transfer, slope: -3.0, span: [0.0, 0.5]}",
        "{kind: iso_classification_transfer, lam_rate: -1.5}",
        "{kind: iso_functional, hold: {rate: 0.5, classification_loss: 1.0}}",
        "{kind: prescribed, path: {lam: 3.0, gamma: 3.0, data_position: [0.0, 1.0]}}",
    ],
)
def test_processes_that_hold_or_move(process: str) -> None:
    scenario = loads(_GAUSSIAN.replace("TARGET", _TARGET).replace("PROCESS", process))
    assert loads(dump(scenario)) == scenario
