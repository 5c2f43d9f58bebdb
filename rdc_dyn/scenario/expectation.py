"""What the schema expects at a place, read from its JSON schema."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from rdc_dyn.scenario.problems import Path
from rdc_dyn.scenario.schema import Scenario

Node = dict[str, Any]
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@cache
def root() -> Node:
    """Give the JSON schema.

    Returns:
        That of a whole scenario; not to be changed.
    """
    return Scenario.model_json_schema(by_alias=True)


def resolve(node: Node) -> Node:
    """Follow references and drop the alternative `null`.

    Args:
        node: A node of the JSON schema.

    Returns:
        The node that describes the value when it is given.
    """
    while True:
        others = [branch for branch in node.get("anyOf", ()) if branch.get("type") != "null"]
        if "$ref" in node:
            node = root()["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(others) == 1:
            node = others[0]
        else:
            return node


def variants(node: Node) -> dict[str, Node]:
    """List what a tagged union can be.

    Args:
        node: A resolved node with a discriminator.

    Returns:
        The section for each tag, in the order of the schema (pydantic sorts the mapping of the discriminator).
    """
    key = node["discriminator"]["propertyName"]
    sections = [resolve(branch) for branch in node["oneOf"]]
    return {tag: section for section in sections for tag in choices(section["properties"][key])}


@dataclass(frozen=True)
class Target:
    """Where the location of a pydantic error points.

    Args:
        path: Keys and indices that the user wrote, or should have written.
        node: What the schema expects there.
        parent: The section around it.
        union: Path and node of the untagged union that was entered on the way, if any.
        tagged: The tagged union whose section was entered last, its key and tag.
    """

    path: Path
    node: Node
    parent: Node
    union: tuple[Path, Node] | None = None
    tagged: tuple[Node, str, str] | None = None


def locate(location: tuple[str | int, ...]) -> Target:
    """Drop from pydantic's location what is no key: tags of tagged unions and names of branches.

    Args:
        location: `loc` of an error.

    Returns:
        The place in the tree and what is expected there.
    """
    node, parent = resolve(root()), root()
    path: Path = ()
    union: tuple[Path, Node] | None = None
    tagged: tuple[Node, str, str] | None = None
    for element in location:
        if "discriminator" in node:
            tagged = (node, node["discriminator"]["propertyName"], str(element))
            node = variants(node)[str(element)]
        elif "anyOf" in node:
            union = (path, node)
            # Only list branches have anything below them, so scalar branches need no telling apart.
            node = next((branch for branch in node["anyOf"] if branch.get("type") == "array"), {})
        elif isinstance(element, int):
            items = node.get("prefixItems")
            parent, node = node, resolve(items[element] if items and element < len(items) else node.get("items", {}))
            path = (*path, element)
        else:
            parent, node = node, resolve(node.get("properties", {}).get(element, {}))
            path = (*path, element)
    return Target(path, node, parent, union, tagged)


def choices(node: Node) -> tuple[str, ...]:
    """List the words that are allowed.

    Args:
        node: A resolved node.

    Returns:
        The words of a choice; nothing for other nodes.
    """
    return tuple(node.get("enum", (node["const"],) if "const" in node else ()))


def describe(node: Node) -> str:
    """Say what is expected.

    Args:
        node: A node of the JSON schema.

    Returns:
        A noun phrase, such as `a number > 0`.
    """
    optional = " or null" if any(branch.get("type") == "null" for branch in node.get("anyOf", ())) else ""
    node = resolve(node)
    if "discriminator" in node:
        key = node["discriminator"]["propertyName"]
        return f"a section with {key}: one of {', '.join(variants(node))}{optional}"
    if "anyOf" in node:
        return " or ".join(describe(branch) for branch in node["anyOf"])
    if choices(node):
        return ("one of " if len(choices(node)) > 1 else "") + ", ".join(choices(node)) + optional
    if node.get("type") == "array":
        return _describe_list(node) + optional
    if "pattern" in node:
        return str(node["description"])
    names = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "string": "a text"}
    if node.get("type") in names:
        return " ".join([names[node["type"]], bounds(node)]).strip() + optional
    return f"a section with the keys {', '.join(node.get('properties', ()))}{optional}"


def bounds(node: Node) -> str:
    """Write the range of a number.

    Args:
        node: A resolved node.

    Returns:
        Such as `>= 0 and < 1`; empty without bounds.
    """
    return " and ".join(f"{sign} {node[name]}" for name, sign in _BOUNDS.items() if name in node)


def _describe_list(node: Node) -> str:
    items = node.get("prefixItems")
    one = resolve(items[0] if items else node["items"])
    plural = " or ".join(_plural(resolve(branch)) for branch in one.get("anyOf", (one,)))
    count = f"{len(items)} " if items else ""
    empty = "non-empty " if node.get("minItems") and not items else ""
    return f"a {empty}list of {count}{plural}"


def _plural(node: Node) -> str:
    names = {"number": "numbers", "integer": "whole numbers", "array": "lists of numbers", "string": "texts"}
    return " ".join([names[node["type"]], bounds(node)]).strip()
