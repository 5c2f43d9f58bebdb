"""Help: examples that could be typed, exit codes from where they are defined, words from the catalogue."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from rdc_dyn.cli import main
from rdc_dyn.cli.shared import Documented
from rdc_dyn.scenario import Scenario, catalogue, templates
from rdc_dyn.status import ExitCode, Status


def _help(*words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def _codes(text: str) -> list[int]:
    return [int(code) for code in re.findall(r"^  (\d+)  +\S", text.partition("Exit codes:")[2], re.MULTILINE)]


def test_the_program_tells_all_exit_codes() -> None:
    text = _help()
    assert _codes(text) == [int(code) for code in ExitCode]
    assert all(code.meaning.split()[0] in text for code in ExitCode)
    assert {status.exit_code for status in Status} <= set(ExitCode)


@pytest.mark.parametrize(
    ("name", "codes"),
    [("run", [0, 2, 3, 4, 5, 130, 143]), ("sweep", [0, 2, 4, 6, 130, 143]), ("verify", [0, 2, 3, 4]), ("list", [0, 2])],
)
def test_a_command_tells_its_own(name: str, codes: list[int]) -> None:
    assert _codes(_help(name)) == codes


@pytest.mark.parametrize("name", list(main.commands))
def test_examples_can_be_typed(name: str) -> None:
    command = main.commands[name]
    assert isinstance(command, Documented) and command.examples and command.exits
    text = _help(name)
    assert "Examples:" in text and max(map(len, text.splitlines())) <= 80
    for line in " ".join(command.examples).replace("\\ ", "").split("rdc-dyn ")[1:]:
        first, *words = shlex.split(line.partition(" > ")[0])
        assert first == name
        command.make_context(name, words)  # an option that it has not, or an example that is not shipped, is refused


def test_list_tells_the_values_of_kind() -> None:
    words = " ".join(_help("list").partition("Values of KIND:")[2].partition("Exit codes:")[0].split())
    assert words.split(", ") == list(catalogue())
    assert all(name in _help("init") for name in templates())


def test_kinds_come_in_the_order_of_a_scenario() -> None:
    """What a section is chosen from stands where the section does."""
    families = {"data": "data", "objective": "objectives", "process": "processes", "response": "responses",
                "integrator": "integrators", "corrector": "correctors"}  # fmt: skip
    sections = [families[name] for name in Scenario.model_fields if name in families]
    assert [kind for kind in catalogue() if kind in families.values()] == sections
    assert list(catalogue())[-2:] == ["templates", "examples"]


def test_a_command_without_words_says_nothing_of_them() -> None:
    bare = Documented("bare", callback=lambda: None)
    assert "Exit codes" not in bare.get_help(click.Context(bare))
