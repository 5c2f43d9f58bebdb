"""The keys of scenarios and the words that they take, from the JSON schema: what a shell completes."""

from __future__ import annotations

from collections.abc import Iterator

from rdc_dyn.scenario.expectation import Node, choices, resolve, root
from rdc_dyn.scenario.given import GIVEN


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
