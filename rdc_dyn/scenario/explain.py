"""Translate pydantic's errors into findings in plain words, one for each key."""

from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from rdc_dyn.scenario.expectation import Node, Target, bounds, choices, describe, locate, offered, properties, variants
from rdc_dyn.scenario.section import TOO_MANY
from rdc_dyn.scenario.sections.integrators import INTEGRATORS
from rdc_dyn.scenario.written import Finding, KeyPath, did_you_mean, show, unknown

_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def explain(errors: Iterable[ErrorDetails], tree: Any) -> list[Finding]:
    """Translate the errors of validating `tree` into one finding for each wrong key."""
    findings: dict[KeyPath, Finding] = {}
    unions: dict[KeyPath, Node] = {}
    for error in errors:
        target = locate(error["loc"])
        if target.union is not None and (target.path == target.union[0] or error["type"] == "missing"):
            unions.setdefault(*target.union)  # one branch did not fit, but another may
            continue
        finding = _finding(error, target, tree)
        findings.setdefault(finding.path, finding)
    for path, node in sorted(unions.items(), key=lambda union: -len(union[0])):
        # A finding about an item of a list says more than that no branch of the union fits.
        if not any(other[: len(path)] == path for other in findings):
            findings[path] = _mismatch(path, node, tree)
    return list(findings.values())


def _finding(error: ErrorDetails, target: Target, tree: Any) -> Finding:
    kind, path = error["type"], target.path
    if kind == "extra_forbidden":
        return Finding(path, _unknown_key(str(path[-1]), target), at_key=True)
    if kind == "missing" and isinstance(path[-1], int):
        return _mismatch(path[:-1], target.parent, tree)
    if kind == "missing":
        return Finding(path, f"missing; expected {describe(target.node)}")
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        return _wrong_tag(target, tree)
    value = _value_at(tree, path)
    if kind in _OUT_OF_RANGE:
        return Finding(path, f"must be {bounds(target.node)}, got {show(value)}")
    if kind == "too_many":
        return Finding(path, f"must be < {TOO_MANY}, got {show(value)}")
    if kind == "finite_number":
        return Finding(path, f"must be a finite number, got {show(value)}")
    if kind == "literal_error" and isinstance(value, str):
        return Finding(path, unknown(str(path[-1]), value, choices(target.node)))
    return _mismatch(path, target.node, tree)


def _mismatch(path: KeyPath, node: Node, tree: Any) -> Finding:
    return Finding(path, f"expected {describe(node)}, got {show(_value_at(tree, path))}")


def _unknown_key(key: str, target: Target) -> str:
    valid = target.parent.get("properties", {})
    if target.tagged is not None:
        union, name, tag = target.tagged
        others = [other for other, section in variants(union).items() if key in properties(section)]
        if others and valid is properties(variants(union)[tag]):
            return f"not a key of {name} '{tag}', only of: {', '.join(others)}"
    near = did_you_mean(key, valid)
    return f"unknown key; {near or 'valid keys: ' + ', '.join(valid)}"


def _wrong_tag(target: Target, tree: Any) -> Finding:
    name = target.node["discriminator"]["propertyName"]
    path, tags = (*target.path, name), offered(target.node)
    section = _value_at(tree, target.path)
    if name not in section:
        return Finding(path, f"missing; choose one of: {', '.join(tags)}")
    tag = section[name]
    if not isinstance(tag, str):
        return Finding(path, f"expected one of {', '.join(tags)}, got {show(tag)}")
    if path[0] == "integrator" and tag in INTEGRATORS.refused:
        return Finding(path, f"'{tag}' is refused: {INTEGRATORS.refused[tag]}; choose one of: {', '.join(tags)}")
    return Finding(path, unknown(name, tag, tags))


def _value_at(tree: Any, path: KeyPath) -> Any:
    for part in path:
        tree = tree[part]
    return tree
