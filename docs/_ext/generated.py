"""Pages of the reference that the program itself tells: scenario keys, commands, variables and endings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx

from rdc_dyn.cli import main
from rdc_dyn.record import VARIABLES
from rdc_dyn.scenario import catalogue, json_schema
from rdc_dyn.status import ExitCode, Status


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(*heads: str) -> list[str]:
    return [_row(*heads), "|" + "---|" * len(heads)]


def _name(node: dict[str, Any]) -> str:
    """The section that a node refers to, or an empty string."""
    return str(node.get("$ref", "")).rpartition("/")[2].removesuffix("Section")


def _type(node: dict[str, Any]) -> str:
    """What a key takes, in words, from its part of the JSON schema."""
    if "$ref" in node:
        return f"[{_name(node)}](#{_name(node).lower()})"
    for word in ("anyOf", "oneOf"):
        if word in node:
            shown = [each for each in node[word] if not _name(each).startswith("Given")]
            return " or ".join(dict.fromkeys(_type(each) for each in shown))
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    bounds = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")]
    limits = ", ".join(f"{sign} {node[key]:.10g}" for key, sign in bounds if key in node)
    kind = str(node.get("type", "any"))
    if kind == "array":
        kind = f"list of {_type(node['items'])}" if isinstance(node.get("items"), dict) and node["items"] else "list"
    return kind + (f" {limits}" if limits else "")


def _meaning(value: dict[str, Any], sections: dict[str, Any]) -> str:
    """The description of a key, or of the section that it takes."""
    section = sections.get(str(value.get("$ref", "")).rpartition("/")[2], {})
    return str(value.get("description") or str(section.get("description", "")).partition("\n")[0])


def _keys(node: dict[str, Any], sections: dict[str, Any]) -> Iterator[str]:
    """A table of the keys of a section."""
    yield from _table("key", "meaning", "takes", "default")
    for key, value in node.get("properties", {}).items():
        given = value.get("default", None)
        default = "required" if key in node.get("required", ()) else f"`{given}`" if "default" in value else ""
        default = "" if isinstance(given, dict) else default.replace("None", "null").replace("True", "true")
        yield _row(f"`{key}`", _meaning(value, sections), _type(value), default)


def scenario_page() -> str:
    """Every section with its keys, from the JSON schema."""
    schema = json_schema()
    lines = ["# Scenario keys", "", "As `rdc-dyn schema` tells it; `validate` names every mistake with its place.", ""]
    lines += ["## Top level", "", *_keys(schema, schema["$defs"]), ""]
    for name, node in sorted(schema["$defs"].items()):
        if "properties" in node and "Given" not in name:
            summary = str(node.get("description", "")).partition("\n")[0]
            lines += [f"## {name.removesuffix('Section')}", "", summary, "", *_keys(node, schema["$defs"]), ""]
    return "\n".join(lines)


def choices_page() -> str:
    """What can be chosen, as `rdc-dyn list` prints it."""
    lines = ["# What can be chosen", "", "As `rdc-dyn list` prints it.", ""]
    for kind, members in catalogue().items():
        lines += [f"## {kind.capitalize()}", "", *_table("name", "what it is")]
        lines += [*(_row(f"`{name}`", text) for name, text in members), ""]
    return "\n".join(lines)


def commands_page() -> str:
    """The help of every command."""
    lines = ["# Commands", "", "`python -m rdc_dyn` is the same program.", "", *_table("exit code", "meaning")]
    lines += [*(_row(str(int(code)), code.meaning) for code in ExitCode), ""]
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=f"rdc-dyn {name}", max_content_width=100)
        lines += [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def variables_page() -> str:
    """Every variable of a trajectory."""
    lines = ["# Variables of a trajectory", "", "All are float64 with the dimension `time`, the process clock;", ""]
    lines[2] += " `response` and `response_error` have `(functional, control, time)`. Counters are cumulative."
    lines += _table("variable", "what it is", "units")
    lines += [_row(f"`{name}`", each.long_name, each.units) for name, each in VARIABLES.items()]
    return "\n".join([*lines, ""])


def statuses_page() -> str:
    """Every ending with the sentence that tells what to try."""
    lines = [
        "# How a run can end",
        "",
        '`ds.attrs["status"]` is one of these names, `status_message` its sentence,',
        "",
    ]
    lines[2] += " and `status_detail` the numbers that belong to it. What was computed is kept in every case."
    for status in Status:
        more = f" [More](../howto/status.md#{status.name.lower()})"
        lines += [f"## {status.name}", "", status.value[0].upper() + status.value[1:] + "." + more, ""]
    return "\n".join(lines)


PAGES = {
    "keys": scenario_page,
    "choices": choices_page,
    "commands": commands_page,
    "variables": variables_page,
    "statuses": statuses_page,
}


def write(app: Sphinx) -> None:
    """Write the pages where they differ from what is there."""
    folder = Path(app.srcdir) / "reference"
    for name, page in PAGES.items():
        file, text = folder / f"{name}.md", page()
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
