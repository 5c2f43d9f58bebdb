"""The README and the documentation: what they name exists, and the pages build without a warning."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import examples, json_schema
from rdc_dyn.status import Status

ROOT = Path(rdc_dyn.__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("*/*.md")),
]
#: Pages that the build writes.
MADE = {"keys.md", "choices.md", "commands.md", "variables.md", "statuses.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 900


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in MADE], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_exists(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def _commands(text: str) -> Iterator[list[str]]:
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = line.partition(" #")[0].split()
            if words and words[0].endswith("rdc-dyn"):
                yield words[1:]


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in MADE], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_have_the_options_that_pages_name(page: Path) -> None:
    for name, *words in _commands(page.read_text("utf-8")):
        command = main.commands[name]
        known = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= known, (name, words)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in MADE], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_scripts_and_scenarios_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"(?<![\w./-])(?:\.\./)?((?:analysis|scenarios)/[\w/.-]+\.(?:py|yaml|png|md))", text):
        assert (ROOT / name).is_file(), name


def test_every_ending_is_explained() -> None:
    text = (ROOT / "docs" / "howto" / "status.md").read_text("utf-8")
    found = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(found) == set(Status.__members__)
    assert all(len(paragraph.split()) >= 20 for paragraph in found.values())


def test_the_readme_names_examples_that_are_shipped() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = re.findall(r"^\| `([a-z0-9_{},/*]+)` \|", text, re.MULTILINE)
    for pattern in named:
        for name in _expanded(pattern):
            assert name in ("duel/*", "paper/*") or name in examples(), name
    assert len(named) >= 6


def _expanded(pattern: str) -> Iterator[str]:
    found = re.search(r"\{([^}]*)\}", pattern)
    if found is None:
        yield pattern
        return
    for word in found[1].split(","):
        yield from _expanded(pattern[: found.start()] + word + pattern[found.end() :])


def test_every_scenario_key_is_described() -> None:
    schema: dict[str, Any] = json_schema()
    named = {"kind", "method", "name", "preconditioner"}  # the words that tell members apart
    for section, node in schema["$defs"].items():
        for key, value in node.get("properties", {}).items():
            assert key in named or value.get("description"), f"{section}.{key}"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="the extra docs is not installed")
def test_the_documentation_builds(tmp_path: Path) -> None:
    """Every tutorial runs, and no page has a warning."""
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*words, str(ROOT / "docs"), str(tmp_path / "html")], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    tutorial = (tmp_path / "html" / "tutorials" / "integrators.html").read_text("utf-8")
    assert "12 done of 12 points" in tutorial  # a sweep lists what failed and raises nothing
    assert "θ<sub>c</sub>" in (tmp_path / "html" / "explanation" / "theory.html").read_text("utf-8")
    figures = list((tmp_path / "html" / "_images").glob("*.png"))
    assert len(figures) >= 10
    for script in (ROOT / "docs" / "tutorials").glob("*.py"):
        page, notebook = (tmp_path / "html" / "tutorials" / f"{script.stem}.{ending}" for ending in ("html", "ipynb"))
        assert f'href="{notebook.name}"' in page.read_text("utf-8")
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        assert "import rdc_dyn" in "".join(line for cell in cells for line in cell["source"])
