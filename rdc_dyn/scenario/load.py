"""Turn a file, a text or a mapping into a `Scenario`, or report all of its mistakes at once; and back into YAML."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from rdc_dyn.scenario.catalogue import located
from rdc_dyn.scenario.document import MAX_BYTES, Document, Position, decode, from_tree, parse_scenario, read_regular
from rdc_dyn.scenario.explain import explain
from rdc_dyn.scenario.family import walk
from rdc_dyn.scenario.overrides import apply_overrides
from rdc_dyn.scenario.paths import outside
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.written import Finding, Mistake, ScenarioError
from rdc_dyn.status import UserError

#: A scenario, also as it is written, a mapping with its keys, the path of a YAML file, or the name of an example.
Source = Scenario | Document | Mapping[str, Any] | str | os.PathLike[str]


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Scenario:
    """Read and validate a scenario file after applying overrides, `key=value` each.

    Paths in the file must not leave its folder; those in overrides may. A UserError reports a file that cannot be read,
    a ScenarioError every mistake in the scenario.
    """
    return resolve(_read_file(path), overrides)


def loads(text: str, name: str = "<text>", overrides: Sequence[str] = ()) -> Scenario:
    """Read and validate a scenario from YAML text, as `load` does; messages call the text `name`."""
    return resolve(parse_scenario(text, name), overrides)


def from_mapping(tree: Mapping[str, Any], overrides: Sequence[str] = ()) -> Scenario:
    """Validate a scenario of plain Python values, as `load` does; positions in messages are dotted keys."""
    return resolve(_from_mapping(tree), overrides)


def read(source: Source, overrides: Sequence[str] = ()) -> Document:
    """Read a scenario for `resolve` without validating it, since a sweep may supply what it lacks."""
    if isinstance(source, Document):
        document = source
    elif isinstance(source, Scenario):
        document = _from_mapping(source.model_dump(by_alias=True))
    elif isinstance(source, Mapping):
        document = _from_mapping(source)
    else:
        document = _read_file(located(source))
    return apply_overrides(document, overrides) if overrides else document


def resolve(document: Document, overrides: Sequence[str] = (), origin: str = "--set") -> Scenario:
    """Apply overrides, then validate against the schema and the checks between sections.

    Messages call the overrides `origin`. A ScenarioError lists every mistake, in the order of the file.
    """
    document = apply_overrides(document, overrides, origin)
    scenario, findings = _schema_findings(document.tree)
    wrong = {finding.path for finding in findings}
    findings += outside(document)
    findings += [finding for finding in _checks(document.tree) if finding.path not in wrong]
    mistakes: list[tuple[Position, Mistake]] = list(document.mistakes)
    mistakes += [document.mistake(finding) for finding in findings if not document.is_spoiled(finding.path)]
    if mistakes or scenario is None:
        raise ScenarioError(mistake for _, mistake in sorted(mistakes, key=lambda pair: pair[0]))
    return scenario.resolve(scenario)


def _checks(tree: Any) -> Iterator[Finding]:
    """What does not fit together, inside each section and between them."""
    for section, _, path in walk(Scenario, tree):
        yield from section.check(tree, path)


def _read_file(path: str | os.PathLike[str]) -> Document:
    try:
        data = read_regular(FilePath(path), MAX_BYTES + 1)
    except ValueError as error:
        raise UserError(f"{path}: the scenario cannot be read: {error}") from None
    name = os.fspath(path)
    return replace(parse_scenario(decode(data, name), name), folder=FilePath(path).resolve().parent)


def _from_mapping(tree: Mapping[str, Any]) -> Document:
    if not isinstance(tree, Mapping):
        raise ScenarioError([Mistake("scenario", "", f"expected a mapping of sections, not {type(tree).__name__}")])
    return from_tree(tree)


def _schema_findings(tree: Any) -> tuple[Scenario | None, list[Finding]]:
    try:
        return Scenario.model_validate(tree), []
    except ValidationError as error:
        return None, explain(error.errors(include_url=False, include_context=False), tree)


class _Representer(SafeRepresenter):
    """Writes equal parts out each time, because scenarios have no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Tell ruamel.yaml never to write an alias."""
        return True


def dump(scenario: Scenario) -> str:
    """Write a scenario as YAML that `loads` reads back as an equal scenario."""
    tree = scenario.model_dump(by_alias=True)
    if scenario.sweep is None:
        del tree["sweep"]  # most scenarios describe a single run
    return dump_tree(tree)


def dump_tree(tree: Any) -> str:
    """Write plain values, such as those of an incomplete scenario, as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = None  # innermost sections and lists in brackets
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of scenarios, for editors and other programs."""
    schema = Scenario.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
