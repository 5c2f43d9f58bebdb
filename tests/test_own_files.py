"""Networks that files make: code that a scenario names runs only where it is trusted, and is recorded by its digest."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.running.own_files import own_networks
from rdc_dyn.scenario import ScenarioError, absolute, from_mapping, loads
from rdc_dyn.status import UserError
from tests.reliability.made import draws, finish, kill_after, same_bits, start
from tests.test_own_networks import scenario

_CODE = """\
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

Path(__file__).with_name("ran").touch()


@dataclass
class Sizes:
    width: int


class Encoder(nn.Sequential):
    def __init__(self, width: int = 3) -> None:
        width = Sizes(width).width
        super().__init__(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 4))


def decoder(hidden: list[int]) -> nn.Module:
    sizes = [2, *hidden]
    hidden.append(99)  # must not reach the record
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.Tanh())]
    last = nn.Linear(sizes[-1], 64)
    last.bias.data += torch.from_numpy(np.random.normal(size=64))
    return nn.Sequential(*layers, last)


class Fixed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 4))
        torch.nn.init.constant_(self[0].weight, 0.01)
        torch.nn.init.zeros_(self[0].bias)


number = 3
made = nn.Linear(64, 4)


def tensor():
    return torch.zeros(3)


def leaves():
    import sys

    sys.exit(7)
"""


def tree(encoder: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Adam, and two moves of the multipliers with a few more steps each."""
    files = {
        "encoder": {"kind": "module", "latent_dim": 2, "path": "my_models.py:Encoder", **(encoder or {})},
        "decoder": {
            "kind": "module",
            "likelihood": "gaussian",
            "path": "my_models.py:decoder",
            "arguments": {"hidden": [5]},
        },
    }
    found = scenario(files, name="files", output={"checkpoint_every": 1})
    found["objective"]["samples"] = 8
    return found | changes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("my_models.py").write_text(_CODE)
    Path("s.yaml").write_text(_YAML)
    return tmp_path


#: With a place for every key.
_YAML = "".join(f"{key}: {json.dumps(value)}\n" for key, value in tree().items() if key != "objective")
_YAML += """\
objective:
  kind: amortised
  samples: 8
  weight_prior_precision: 0.05
  encoder:
    kind: module
    latent_dim: 2
    path: my_models.py:Encoder
  decoder:
    kind: module
    likelihood: gaussian
    path: my_models.py:decoder
    arguments: {hidden: [5]}
"""
_LINE = _YAML[: _YAML.index("    path:")].count("\n") + 1


def call(*words: str) -> Result:
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def refused(result: Result, *words: str, before: set[str]) -> str:
    """One line, exit code 2, and nothing on disk that was not there."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    for word in words:
        assert word in line, line
    assert set(os.listdir()) == before
    return line


# --- trust --------------------------------------------------------------------------------------------------------

_COMMANDS = {
    "run": ["run", "s.yaml", "-o", "out"],
    "dry run": ["run", "s.yaml", "-o", "out", "--dry-run"],
    "surface": ["surface", "s.yaml", "-o", "out", "--lam", "0.5,0.6", "--gamma", "2"],
    "sweep": ["sweep", "s.yaml", "-o", "out", "--grid", "seed=0,1"],
    "doctor": ["doctor", "s.yaml"],
}


@pytest.mark.parametrize("name", _COMMANDS)
def test_no_code_runs_without_trust(name: str) -> None:
    line = refused(call(*_COMMANDS[name]), "my_models.py would run", "--trust", before={"my_models.py", "s.yaml"})
    assert line.startswith(f"rdc-dyn: s.yaml:{_LINE}:11: objective.encoder.path, objective.decoder.path: ")


def test_no_code_runs_without_trust_in_python(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^objective\.encoder\.path, .*trust=True"):
        rdc_dyn.run(tree())
    with pytest.raises(UserError, match="trust=True"):
        rdc_dyn.surface(tree(), [0.5, 0.6], [2.0])
    with pytest.raises(UserError, match="trust=True"):
        rdc_dyn.sweep(tree(), {"seed": [0]}, output="out")
    assert not Path("ran").exists() and not Path("out").exists()


def test_validation_runs_no_code_and_says_so() -> None:
    result = call("validate", "s.yaml")
    assert result.exit_code == 0 and result.stdout == (
        "s.yaml: valid (amortised, prescribed, euler); the code of my_models.py was not run\n"
    )
    assert not Path("ran").exists()


def test_trusted_code_runs_once_for_both_parts() -> None:
    Path("my_models.py").write_text(_CODE.replace('"ran").touch()', '"ran").open("a").write("x")'))
    result = call("run", "s.yaml", "-o", "out", "-q", "--trust")
    assert result.exit_code == 0, result.output
    assert Path("ran").read_text() == "x"
    assert call("doctor", "s.yaml", "--trust").exit_code == 0
    assert call("run", "s.yaml", "-o", "dry", "--dry-run", "--trust").exit_code == 0


# --- what a file makes --------------------------------------------------------------------------------------------


def test_a_file_gives_what_the_same_module_gives() -> None:
    """Where nothing is drawn, the bits are those of the module passed in Python, in either dtype."""
    fixed = nn.Sequential(nn.Linear(64, 4))
    nn.init.constant_(fixed[0].weight, 0.01)  # type: ignore[arg-type]
    nn.init.zeros_(fixed[0].bias)  # type: ignore[arg-type]
    mlp = {"kind": "mlp", "hidden": [5], "likelihood": "gaussian"}
    for dtype in ("float64", "float32"):
        named = tree({"path": "my_models.py:Fixed"}, dtype=dtype)
        named["objective"]["decoder"] = mlp
        given = tree({"path": None}, dtype=dtype)
        given["objective"]["decoder"] = mlp
        by_file, by_hand = rdc_dyn.run(named, trust=True), rdc_dyn.run(given, networks={"encoder": fixed})
        np.testing.assert_array_equal(by_file.free_energy, by_hand.free_energy)


def begun(seed: int = 0, hidden: int = 5) -> dict[str, Tensor]:
    """The parameters of each part as its file has made them."""
    scenario = tree(seed=seed)
    scenario["objective"]["decoder"]["arguments"] = {"hidden": [hidden]}
    _, own = own_networks(absolute(from_mapping(scenario), Path.cwd()), trust=True)
    return {name: torch.cat([p.detach().flatten() for p in module.parameters()]) for name, module in own.items()}


def test_the_seed_alone_decides_where_it_begins() -> None:
    """Whatever was drawn before, and whatever the default dtype is; no other stream notices."""
    first = begun()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    torch.set_default_dtype(torch.float64)
    try:
        again = begun()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(again[part], first[part]) and again[part].dtype == torch.float32 for part in first)
    drawn = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    assert torch.equal(torch.rand(3), drawn[0])
    assert np.array_equal(np.random.rand(3), drawn[1]) and random.random() == drawn[2]
    assert not any(torch.equal(begun(seed=1)[part], first[part]) for part in first)


def test_a_part_begins_alike_whatever_the_others_are() -> None:
    one, other = begun(), begun(hidden=7)
    assert torch.equal(one["encoder"], other["encoder"]) and len(one["decoder"]) != len(other["decoder"])


def test_the_record_names_the_file_and_its_digest(folder: Path) -> None:
    ds = rdc_dyn.run("s.yaml", "out", trust=True)
    digest = hashlib.sha256(_CODE.encode()).hexdigest()
    for text in (Path("out/scenario.yaml").read_text(), ds.attrs["scenario"]):
        objective: Any = loads(text).objective
        assert objective.encoder.path == f"{folder}/my_models.py:Encoder" and objective.encoder.source == digest
        assert objective.decoder.source == digest and objective.decoder.arguments == {"hidden": [5]}
    assert "encoder: 211 parameters" in ds.attrs["modules"]
    assert not [name for name in sys.modules if name == "my_models"]


def test_trained_networks_of_files_come_back(folder: Path) -> None:
    rdc_dyn.run("s.yaml", "out", trust=True)
    Path("ran").unlink()
    with pytest.raises(UserError, match="trust=True"):
        rdc_dyn.load_networks("out")
    assert not Path("ran").exists()
    found = rdc_dyn.load_networks("out", trust=True)
    assert found["encoder"](torch.zeros(5, 64, dtype=torch.float64)).shape == (5, 4)
    Path("my_models.py").rename("elsewhere.py")
    with pytest.raises(ScenarioError, match=r"objective\.encoder\.path: .*my_models\.py cannot be read: No such file"):
        rdc_dyn.load_networks("out", trust=True)
    passed = {
        "encoder": nn.Sequential(nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 4)),
        "decoder": nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 64)),
    }
    again = rdc_dyn.load_networks("out", passed)
    for one, other in zip(found["encoder"].parameters(), again["encoder"].parameters()):
        assert torch.equal(one, other)


# --- going on -----------------------------------------------------------------------------------------------------


def test_a_run_goes_on_to_the_same_bits_with_the_same_file() -> None:
    whole = rdc_dyn.run("s.yaml", trust=True)
    stopped = call("run", "s.yaml", "-o", "out", "-q", "--trust", "--max-time", "0.001s")
    assert stopped.exit_code == 5, stopped.output
    Path("ran").unlink()
    line = Path("out/scenario.yaml").read_text().partition("my_models.py")[0].count("\n") + 1
    without = call("resume", "out", "-q")
    assert without.exit_code == 2 and f"rdc-dyn: out/scenario.yaml:{line}:" in without.stderr
    assert len(without.stderr.splitlines()) == 1 and "--trust" in without.stderr and not Path("ran").exists()
    went = call("resume", "out", "-q", "--trust")
    assert went.exit_code == 0, went.output
    assert same_bits(rdc_dyn.open_run("out"), whole)
    assert call("resume", "out").exit_code == 0  # it is complete: no code has to run


def test_a_changed_file_is_refused_before_it_runs() -> None:
    assert call("run", "s.yaml", "-o", "out", "-q", "--trust", "--max-time", "0.001s").exit_code == 5
    Path("ran").unlink()
    changed = _CODE + "\n# another digest\n"
    Path("my_models.py").write_text(changed)
    result = call("resume", "out", "-q", "--trust")
    assert result.exit_code == 2 and not Path("ran").exists()
    lines = result.stderr.splitlines()
    assert [re.sub(r".*yaml:\d+:\d+: ", "", line).partition(": ")[0] for line in lines] == [
        "objective.encoder.source",
        "objective.decoder.source",
    ]
    assert all("my_models.py has changed" in line and "--force" in line for line in lines)
    with pytest.raises(ScenarioError, match="has changed"):
        rdc_dyn.load_networks("out", trust=True)
    forced = call("resume", "out", "-q", "--trust", "--force")
    assert forced.exit_code == 0, forced.output
    history = rdc_dyn.open_run("out").attrs["history"]
    assert "objective.encoder.source: " in history and "(forced)" in history
    assert hashlib.sha256(changed.encode()).hexdigest() in Path("out/scenario.yaml").read_text()
    assert "FAILED" not in call("verify", "out").stdout


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits() -> None:
    """kill -9 of a process in which a file has made the networks."""
    rng, scenario = draws(3), tree(process={"kind": "prescribed", "span": [0, 2], "path": {"lam": 0.9, "gamma": 3}})
    whole = _finished("whole", scenario)
    killed = False
    for number in range(20):
        run = Path(f"run{number}").absolute()
        if kill_after(start(run, scenario, trust=True), rng.uniform(0.2, 2.0)) and (run / "log.jsonl").exists():
            killed = True
            assert same_bits(finish(run, scenario, trust=True), whole)
            break
    assert killed


def _finished(name: str, scenario: dict[str, Any]) -> Any:
    for part in ("encoder", "decoder"):
        section = scenario["objective"][part]
        section["path"] = str(Path(section["path"]).absolute())
    return finish(Path(name).absolute(), scenario, trust=True)


def test_a_run_runs_again_from_its_record(folder: Path) -> None:
    Path("deeper").mkdir()
    for name in ("s.yaml", "my_models.py"):
        Path(name).rename(f"deeper/{name}")
    first = call("run", "deeper/s.yaml", "-o", "first", "-q", "--trust")
    assert first.exit_code == 0, first.output
    printed = call("info", "first", "--scenario")
    assert printed.stderr == "rdc-dyn: to run it again give --trust\n"
    assert "path: deeper/my_models.py:Encoder" in printed.stdout
    Path("again.yaml").write_text(printed.stdout)
    assert call("run", "again.yaml", "-o", "again", "-q", "--trust").exit_code == 0
    assert same_bits(rdc_dyn.open_run("first"), rdc_dyn.open_run("again"))
    (folder / "deeper" / "my_models.py").write_text(_CODE + "\n")
    changed = call("validate", "again.yaml")
    assert changed.exit_code == 2 and "objective.encoder.source: " in changed.stderr


# --- sweeps -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_makes_them_in_its_workers() -> None:
    words = ["sweep", "s.yaml", "-o", "out", "--grid", "objective.encoder.arguments.width=3,4", "-q"]
    result = call(*words, "--trust")
    assert result.exit_code == 0, result.output
    sizes = {int(rdc_dyn.open_run(run).attrs["parameters"]) for run in Path("out/runs").iterdir()}
    assert len(sizes) == 2
    assert "2 of 2 points done" in call(*words, "--trust").stdout
    Path("my_models.py").write_text(_CODE + "\n")
    changed = call(*words, "--trust")
    assert changed.exit_code == 2 and "of another scenario" in changed.stderr


def test_workers_elsewhere_take_them_too() -> None:
    """An executor stands for a cluster: what it is sent says whether code may run."""
    with ThreadPoolExecutor(1) as executor:
        swept = rdc_dyn.sweep("s.yaml", {"seed": [0]}, output="out", executor=executor, trust=True)
    assert [point.state for point in swept.points] == ["done"], swept.points
    alone = rdc_dyn.run("s.yaml", trust=True)
    np.testing.assert_array_equal(
        rdc_dyn.open_run(Path("out", "runs", swept.points[0].name)).free_energy, alone.free_energy
    )


@pytest.mark.slow
def test_workers_of_a_cluster_take_them() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, dashboard_address=None, silence_logs=50) as local:
        words = ["sweep", "s.yaml", "--grid", "seed=0,1", "-o", "out", "-q", "--trust"]
        result = call(*words, "--dask", local.scheduler_address)
    assert result.exit_code == 0 and "2 of 2 points done" in result.stdout, result.output


def test_a_sweep_does_not_begin_with_code_that_fails() -> None:
    Path("my_models.py").write_text("1 / 0\n")
    result = call("sweep", "s.yaml", "-o", "out", "--grid", "seed=0,1", "--trust")
    refused(result, f"s.yaml:{_LINE}:11: ", "ZeroDivisionError", before={"my_models.py", "s.yaml"})


# --- mistakes -----------------------------------------------------------------------------------------------------

_WRONG: dict[str, tuple[dict[str, str], str, tuple[str, ...]]] = {
    "missing": ({"encoder": "none.py:Encoder"}, "path", ("none.py cannot be read: No such file",)),
    "folder": ({"encoder": "folder.py:Encoder"}, "path", ("folder.py cannot be read: Is a directory",)),
    "syntax": ({"encoder": "syntax.py:Encoder"}, "path", ("syntax.py fails to run (SyntaxError: ", "line 2)")),
    "raises": ({"encoder": "raises.py:Encoder"}, "path", ("raises.py fails to run (line 3: ValueError: first)",)),
    "exits": ({"encoder": "exits.py:Encoder"}, "path", ("exits.py fails to run (line 2: SystemExit: 0)",)),
    "circular": ({"encoder": "circular.py:Encoder"}, "path", ("circular.py fails to run (line 1: ImportError: ",)),
    "name": ({"encoder": "my_models.py:Encodr"}, "path", ("has no 'Encodr'; did you mean 'Encoder'?",)),
    "number": (
        {"encoder": "my_models.py:number"},
        "path",
        ("number has the type int; expected a class or a function",),
    ),
    "made": ({"encoder": "my_models.py:made"}, "path", ("made has the type Linear; expected a class or a function",)),
    "tensor": (
        {"encoder": "my_models.py:tensor"},
        "path",
        ("returns an object of type Tensor; expected a torch.nn.Module",),
    ),
    "leaves": ({"encoder": "my_models.py:leaves"}, "path", ("leaves fails (line 51: SystemExit: 7)",)),
    "arguments": ({"encoder.arguments": "{wdth: 3}"}, "arguments", ("unexpected keyword argument 'wdth'",)),
    "value": ({"encoder.arguments": "{width: wide}"}, "path", ("Encoder fails (line 21: TypeError",)),
}


@pytest.mark.parametrize("name", _WRONG)
def test_code_that_does_not_serve_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("syntax.py").write_text("x = 1\ndef f(:\n")
    Path("raises.py").write_text("\n\nraise ValueError('first\\nsecond')\n")
    Path("exits.py").write_text("import sys\nsys.exit(0)\n")
    Path("circular.py").write_text("from circular import Encoder\n")
    Path("folder.py").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    changes, key, words = _WRONG[name]
    text = _YAML
    for place, value in changes.items():
        if place == "encoder":
            text = text.replace("my_models.py:Encoder", value)
        else:
            text = text.replace("path: my_models.py:Encoder", f"path: my_models.py:Encoder\n    arguments: {value}")
    Path("s.yaml").write_text(text)
    before = {*os.listdir(), "ran"}
    Path("ran").touch()
    result = call("run", "s.yaml", "-o", "out", "-q", "--trust")
    line = refused(result, *words, before=before)
    place = f"{_LINE}:11" if key == "path" else f"{_LINE + 1}:16"
    assert line.startswith(f"rdc-dyn: s.yaml:{place}: objective.encoder.{key}: "), line


def test_both_parts_are_told_at_once() -> None:
    Path("s.yaml").write_text(_YAML.replace("py:Encoder", "py:Encodr").replace("py:decoder", "py:decodr"))
    result = call("run", "s.yaml", "-o", "out", "--trust")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 2
    assert "'Encoder'?" in result.stderr and "'decoder'?" in result.stderr


def test_a_missing_file_is_known_to_validation() -> None:
    Path("my_models.py").unlink()
    result = call("validate", "s.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0].startswith(f"s.yaml:{_LINE}:11: objective.encoder.path: ")


@pytest.mark.parametrize(
    ("encoder", "key", "words"),
    [
        ({"path": "my_models.py"}, "path", "expected FILE.py:NAME, such as my_models.py:Encoder, got the string"),
        ({"path": "my_models.txt:Encoder"}, "path", "expected FILE.py:NAME"),
        ({"path": "my_models.py:two words"}, "path", "expected FILE.py:NAME"),
        ({"path": 3}, "path", "expected a text"),
        ({"path": None, "arguments": {"width": 3}}, "arguments", "only with path"),
        ({"path": None, "source": "abc"}, "source", "only with path"),
        ({"arguments": [3]}, "arguments", "expected a section of keyword arguments"),
        ({"arguments": {"width": {"a": 1}}}, "arguments.width", "null or a list of these, got a section"),
        ({"arguments": {"width": [[{"a": 1}]]}}, "arguments.width", "null or a list of these"),
        ({"arguments": {"class": 3}}, "arguments.class", "not the name of an argument"),
    ],
)
def test_the_form_of_the_keys(encoder: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        loads(json.dumps(tree(encoder)))
    (problem,) = raised.value.problems
    assert problem.key == f"objective.encoder.{key}" and words in problem.message


def test_a_file_lies_in_the_folder_of_the_scenario(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "link.py").symlink_to(folder / "my_models.py")
    for path in ("../my_models.py", "link.py", str(folder / "my_models.py"), "~/my_models.py"):
        Path("inner/s.yaml").write_text(_YAML.replace("my_models.py:Encoder", f"{path}:Encoder"))
        result = call("validate", "inner/s.yaml")
        assert result.exit_code == 2
        assert f"inner/s.yaml:{_LINE}:11: objective.encoder.path: leaves the folder" in result.stderr, path
        assert f"--set objective.encoder.path={path}:Encoder" in result.stderr
    words = [f"objective.{part}.path={folder}/my_models.py:{part}" for part in ("decoder",)]
    words.append(f"objective.encoder.path={folder}/my_models.py:Encoder")
    chosen = [word for each in words for word in ("--set", each)]
    result = call("validate", "inner/s.yaml", *chosen)
    assert result.exit_code == 0, result.output


def test_a_module_is_given_once() -> None:
    with pytest.raises(UserError, match=r"passed for encoder, and objective\.encoder\.path names one"):
        rdc_dyn.run(tree(), networks={"encoder": nn.Linear(64, 4)}, trust=True)
    with pytest.raises(UserError, match="is a list; expected a dict"):
        rdc_dyn.run(tree(), networks=[nn.Identity()], trust=True)  # type: ignore[arg-type]
    passed = tree()
    passed["objective"]["decoder"] = {"kind": "module", "likelihood": "gaussian"}
    torch.manual_seed(0)
    ds = rdc_dyn.run(passed, networks={"decoder": nn.Linear(2, 64)}, trust=True)
    assert ds.attrs["status"] == "COMPLETED"


# --- the guide ----------------------------------------------------------------------------------------------------


def test_the_example_of_the_guide_runs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "howto" / "networks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# my_models.py\n(.*?)```", text, re.DOTALL)
    (objective,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    Path("my_models.py").write_text(code)
    Path("s.yaml").write_text(_YAML[: _YAML.index("objective:")] + objective)
    result = call("run", "s.yaml", "-o", "out", "-q", "--trust")
    assert result.exit_code == 0, result.output
    networks = rdc_dyn.load_networks("out", trust=True)
    assert [p.shape[0] for p in networks["decoder"].parameters()] == [8, 8, 16, 16, 64, 64]
