"""Write a scenario as YAML with every default, and export the JSON schema."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from rdc_dyn.scenario.scenario import Scenario


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
