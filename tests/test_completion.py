"""What the TAB key gives: everything that a word may be, soon, and nothing that it may not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import FishComplete, ShellComplete, get_completion_class

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import catalogue, examples, from_mapping, templates
from rdc_dyn.scenario.expectation import keys, words
from rdc_dyn.store.log import LOG
from rdc_dyn.store.sweep_directory import MANIFEST
from tests.tiny import images, linear_gaussian

ROOT = Path(rdc_dyn.__file__).parents[1]


def _shell(name: str) -> ShellComplete:
    found = get_completion_class(name)
    assert found is not None
    return found(main, {}, "rdc-dyn", "_RDC_DYN_COMPLETE")


def complete(*line: str) -> list[str]:
    """What the last word of a command may become."""
    *before, begun = line
    return [item.value for item in _shell("bash").get_completions(before, begun)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_options() -> None:
    assert complete("r") == ["report", "resume", "run"]
    assert complete("run", "--dr") == ["--dry-run"]


def test_scenarios(folder: Path) -> None:
    (folder / "my.yaml").touch()
    (folder / "notes.txt").touch()
    (folder / "more" / "deep").mkdir(parents=True)
    (folder / "more" / "other.yml").touch()
    (folder / ".hidden").mkdir()
    found = complete("run", "")
    assert {name for name in examples() if "/" not in name} < set(found)
    assert set(found) - set(examples()) == {"my.yaml", "more/", "duel/", "paper/", "sweeps/", "truths/"}
    assert complete("validate", "more/") == ["more/deep/", "more/other.yml"]
    assert complete("doctor", "digits_v") == ["digits_vae_iso_classification"]
    exact = {name for name in examples() if name.startswith("paper/exact/")}
    assert set(complete("sweep", "paper/exact/")) == exact and exact
    assert complete("run", "nowhere/") == []


def test_words_of_list_and_init() -> None:
    assert complete("list", "") == list(catalogue())
    assert complete("list", "int") == ["integrators"]
    assert set(templates()) < set(complete("init", ""))
    assert complete("init", "vae") == [name for name in templates() if name.startswith("vae")]


def test_directories_of_runs_and_sweeps(folder: Path) -> None:
    for name in ("runs/a", "runs/b", "sweeps/s/runs/0123"):
        (folder / name).mkdir(parents=True)
        (folder / name / LOG).touch()
    (folder / "sweeps" / "s" / MANIFEST).touch()
    (folder / "file").touch()
    assert complete("info", "") == ["runs/", "sweeps/"]
    assert complete("resume", "runs/") == ["runs/a", "runs/b"]
    assert complete("verify", "sweeps/") == ["sweeps/s/"]
    for command in ("plot", "report", "compare"):
        assert complete(command, "sweeps/") == ["sweeps/s"], command
    assert complete("compare", "runs/a", "runs/") == ["runs/a", "runs/b"]
    assert complete("info", f"{folder}/runs/b") == [f"{folder}/runs/b"]


def _written(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    """The dotted keys of a scenario in which every default is written out."""
    for name, value in tree.items():
        yield f"{before}{name}"
        if isinstance(value, dict):
            yield from _written(value, f"{before}{name}.")


@pytest.mark.parametrize("tree", [images(), linear_gaussian(), "vae", "vae-secant", "digits"], ids=str)
def test_every_key_of_a_scenario_is_completed(tree: dict[str, Any] | str) -> None:
    from rdc_dyn.scenario import loads, template

    scenario = loads(template(tree)) if isinstance(tree, str) else from_mapping(tree)
    for key in _written(scenario.model_dump(by_alias=True)):
        found = [name.rstrip(".=") for name in complete("run", "--set", key)]
        assert key in found, key


def test_keys_come_section_by_section() -> None:
    assert complete("run", "--set", "integ") == ["integrator."]
    assert "integrator.method=" in complete("validate", "--set", "integrator.")
    assert complete("run", "x.yaml", "--set", "start.fr") == ["start.from="]
    assert complete("run", "--set", "integrator.nothing.") == complete("run", "--set", "nothing=") == []
    assert not any("object" in key for key in keys("process"))  # what only Python can give
    item = _shell("zsh").get_completions(["run", "--set"], "se")[0]
    assert item.value == "seed=" and item.help == "of every random number of a run"


def test_words_behind_the_sign() -> None:
    listed = {kind: [name for name, _ in members] for kind, members in catalogue().items()}
    assert complete("run", "--set", "integrator.method=rk") == ["integrator.method=rk4"]
    for key, kind in (
        ("process.kind", "processes"), ("process.clock", "clocks"), ("objective.kind", "objectives"),
        ("integrator.method", "integrators"), ("corrector.method", "correctors"), ("response.kind", "responses"),
        ("response.solver.method", "solvers"), ("response.solver.preconditioner", "preconditioners"),
        ("data.source.name", "data"), ("objective.encoder.kind", "encoders"), ("objective.decoder.kind", "decoders"),
        ("objective.classifier.kind", "classifiers"), ("objective.decoder.likelihood", "likelihoods"),
    ):  # fmt: skip
        assert set(words(key)) == set(listed[kind]), key
    assert words("corrector.hold_constraint") == ("true", "false") and words("seed") == ()
    assert complete("run", "--set", "dtype=") == ["dtype=float64", "dtype=float32"]


def test_a_grid_takes_several_words() -> None:
    assert complete("sweep", "--grid", "integrator.method=euler,rk") == ["integrator.method=euler,rk4"]
    assert "integrator.method=euler,euler" not in complete("sweep", "--grid", "integrator.method=euler,e")
    assert complete("sweep", "--grid", "corrector.m") == [f"{key}=" for key in _below("corrector.", "m")]
    assert not {"name=", "sweep="} & set(complete("sweep", "--grid", ""))


def _below(section: str, letter: str) -> list[str]:
    return [key.rstrip("=") for key in keys(section.rstrip(".")) if key.startswith(section + letter)]


def test_a_package_that_fails_completes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise rdc_dyn.UserError("a package: its entry point fails to import")

    monkeypatch.setattr("rdc_dyn.scenario.catalogue", broken)
    assert complete("list", "") == []


# --- shells ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program `rdc-dyn`, which tells what it has imported and how long it took."""
    path = tmp_path_factory.mktemp("bin")
    script = path / "rdc-dyn"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom rdc_dyn.cli import main\n"
        "main(prog_name='rdc-dyn')\n"
    )
    script.chmod(0o755)
    return path


def bash(program: Path, line: str, folder: Path) -> list[str]:
    """COMPREPLY of bash for a line with the cursor at its end; `+` marks words that get no space behind them."""
    breaks = "\"'><=;|&(: \n"
    text = """
eval "$(_RDC_DYN_COMPLETE=bash_source rdc-dyn)"
space=''
compopt() { [[ $* == '-o nospace' ]] && space=+; }
COMP_WORDBREAKS=$2 COMP_LINE=$1 COMP_POINT=${#1}
_rdc_dyn_completion rdc-dyn
for word in "${COMPREPLY[@]}"; do printf '%s\\n' "$word$space"; done
"""
    environment = os.environ | {"PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", text, "bash", line, breaks],
        capture_output=True, text=True, env=environment, cwd=folder, check=True,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout.splitlines()


def test_bash_takes_words_apart_at_the_sign(program: Path, tmp_path: Path) -> None:
    (tmp_path / "with space").mkdir()
    (tmp_path / "with space" / "my.yaml").touch()
    assert bash(program, "rdc-dyn run my.yaml --set integrator.method=rk", tmp_path) == ["rk4"]
    assert bash(program, "rdc-dyn run my.yaml --set integ", tmp_path) == ["integrator.+"]
    assert bash(program, "rdc-dyn surface --lam 0.1:2:9 --gamma 1:2:3 with", tmp_path) == ["with\\ space/+"]
    assert bash(program, r"rdc-dyn run with\ space/", tmp_path) == [r"with\ space/my.yaml"]
    assert bash(program, "rdc-dyn sweep my.yaml --grid integrator.method=euler,rk", tmp_path) == ["euler,rk4"]


def test_zsh_and_fish_get_whole_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "rdc-dyn run --set integrator.method=rk")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert _shell("zsh").complete() == "plain\nintegrator.method=rk4\n_"
    monkeypatch.setenv("COMP_CWORD", "integrator.method=rk")
    assert isinstance(_shell("fish"), FishComplete)
    assert _shell("fish").complete() == "plain,integrator.method=rk4"


@pytest.mark.parametrize(
    "line", ["run digits_v", "list ", "init v", "run x --set integrator.method=", "sweep x --grid int", "info "]
)
def test_a_completion_loads_nothing_heavy(line: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom rdc_dyn.cli import main\n"
        "try:\n    main(prog_name='rdc-dyn')\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "heavy = {'torch', 'torchvision', 'xarray', 'matplotlib', 'sklearn', 'scipy', 'numpy', 'pandas'}\n"
        "print('\\nHEAVY', *sorted(heavy & set(sys.modules)))"
    )
    asked = {"_RDC_DYN_COMPLETE": "bash_complete", "COMP_LINE": f"rdc-dyn {line}", "COMP_WORDBREAKS": "=:"}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | asked
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


def test_files_are_left_to_the_shell() -> None:
    (found,) = _shell("bash").get_completions(["run", "x.yaml", "-o"], "ru")
    assert (found.type, found.value) == ("file", "ru")
    assert complete("plot", "x", "--units", "b") == ["bits"]
