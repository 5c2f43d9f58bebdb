"""What the JSON schema expects at a place in a scenario, and the keys and words that a shell completes from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdc_dyn.scenario.given import GIVEN
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.written import KeyPath

Node = dict[str, Any]
#: What a type is called, and several of it.
_NOUNS = {
    "number": ("a number", "numbers"),
    "integer": ("a whole number", "whole numbers"),
    "boolean": ("true or false", ""),
    "string": ("a text", "texts"),
    "array": ("a list", "lists of numbers"),
}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@cache
def root() -> Node:
    """The JSON schema of a whole scenario; cached, so callers must not change it."""
    return Scenario.model_json_schema(by_alias=True)


def resolve(node: Node) -> Node:
    """Follow references and drop the alternative `null`."""
    while True:
        others = [branch for branch in node.get("anyOf", ()) if branch.get("type") != "null"]
        if "$ref" in node:
            node = root()["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(others) == 1:
            node = others[0]
        else:
            return node


def variants(node: Node) -> dict[str, Node]:
    """Map each tag of a tagged union to its section, in schema order (pydantic sorts the discriminator's mapping).

    A section may itself be a tagged union, of sections that have the tag in common.
    """
    key = node["discriminator"]["propertyName"]
    sections = [resolve(branch) for branch in node["oneOf"]]
    return {tag: section for section in sections for tag in choices(properties(section)[key])}


def properties(node: Node) -> dict[str, Node]:
    """The keys of a section, or of any section of a tagged union."""
    if "discriminator" not in node:
        found: dict[str, Node] = node.get("properties", {})
        return found
    return {key: value for section in variants(node).values() for key, value in properties(section).items()}


def offered(node: Node) -> tuple[str, ...]:
    """The tags of a tagged union that a file may give; what is passed in Python has one of its own."""
    return tuple(tag for tag in variants(node) if tag != GIVEN)


@dataclass(frozen=True)
class Target:
    """Where the location of a pydantic error points.

    Attributes:
        path: Keys and indices that the user wrote or should have written.
        node: What the schema expects there.
        parent: The node of the section or list around it.
        union: KeyPath and node of the untagged union that was entered on the way, if any.
        tagged: The tagged union whose section was entered last, its key and tag.
    """

    path: KeyPath
    node: Node
    parent: Node
    union: tuple[KeyPath, Node] | None = None
    tagged: tuple[Node, str, str] | None = None


def locate(location: tuple[str | int, ...]) -> Target:
    """Find the target of pydantic's location, dropping elements that are not keys: tags and names of union branches."""
    node, parent = resolve(root()), root()
    path: KeyPath = ()
    union: tuple[KeyPath, Node] | None = None
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
    """The words that a resolved node allows; empty if it is not a choice of words."""
    return tuple(node.get("enum", (node["const"],) if "const" in node else ()))


def describe(node: Node) -> str:
    """Describe what a node expects as a noun phrase, such as `a number > 0`."""
    optional = " or null" if any(branch.get("type") == "null" for branch in node.get("anyOf", ())) else ""
    node = resolve(node)
    if "discriminator" in node:
        key = node["discriminator"]["propertyName"]
        return f"a section with {key}: one of {', '.join(offered(node))}{optional}"
    if "anyOf" in node:
        return " or ".join(describe(branch) for branch in node["anyOf"])
    if choices(node):
        return ("one of " if len(choices(node)) > 1 else "") + ", ".join(choices(node)) + optional
    if "pattern" in node:
        return str(node["description"])
    if node.get("type") == "array":
        return _describe_list(node) + optional
    if node.get("type") in _NOUNS:
        return f"{_NOUNS[node['type']][0]} {bounds(node)}".strip() + optional
    return f"a section with the keys {', '.join(node.get('properties', ()))}{optional}"


def bounds(node: Node) -> str:
    """Write the range of a number, such as `>= 0 and < 1`; empty without bounds."""
    return " and ".join(f"{sign} {node[name]}" for name, sign in _BOUNDS.items() if name in node)


def _describe_list(node: Node) -> str:
    items = node.get("prefixItems")
    one = resolve(items[0] if items else node["items"])
    each = [resolve(branch) for branch in one.get("anyOf", (one,))]
    plural = " or ".join(f"{_NOUNS[node['type']][1]} {bounds(node)}".strip() for node in each)
    count = f"{len(items)} " if items else ""
    empty = "non-empty " if node.get("minItems") and not items else ""
    return f"a {empty}list of {count}{plural}"


def keys(section: str = "") -> dict[str, str]:
    """What may stand in a section, with what it means: `solver.` is a section, `rtol=` takes a value.

    The section is a dotted key, empty for the top level, and the keys begin with it. They are those of all kinds that
    the section can be of.
    """
    found: dict[str, str] = {}
    for kind in _kinds_at(section):
        for name, node in kind.get("properties", {}).items():
            key = f"{section}.{name}" if section else name
            for sign in dict.fromkeys("." if "properties" in each else "=" for each in _kinds(node)):
                found.setdefault(key + sign, _meaning(node))
    return found


def words(key: str) -> tuple[str, ...]:
    """The words that may be the value of a dotted key; none where it takes something else, or is no key."""
    found: list[str] = []
    for kind in _kinds_at(key):
        found += ("true", "false") if kind.get("type") == "boolean" else choices(kind)
    return tuple(dict.fromkeys(found))


def _kinds_at(key: str) -> Iterator[Node]:
    """What may stand at a dotted key, whatever the kinds of the sections around it."""
    section, _, name = key.rpartition(".")
    if not key:
        yield from _kinds(root())
        return
    for kind in _kinds_at(section):
        if name in kind.get("properties", {}):
            yield from _kinds(kind["properties"][name])


def _kinds(node: Node) -> Iterator[Node]:
    """The alternatives of a node, without the sections that stand for objects passed in Python."""
    node = resolve(node)
    branches = node.get("anyOf") or node.get("oneOf")
    for branch in branches or ():
        yield from _kinds(branch)
    if not branches and not any(choices(below) == (GIVEN,) for below in node.get("properties", {}).values()):
        yield node


def _meaning(node: Node) -> str:
    """The description of a key, or the first line of that of its section."""
    return str(node.get("description") or resolve(node).get("description", "")).partition("\n")[0]
