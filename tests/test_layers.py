"""Imports go one way; read from the source, so that an import inside a function counts too."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import rdc_dyn

_PACKAGE = Path(rdc_dyn.__file__).parent
_ANALYSIS = _PACKAGE.parent / "analysis"
#: Each part may import what stands before it.
_ORDER = (
    "status",
    "record",
    "linalg",
    "data",
    "objective",
    "curvature",
    "distributed",
    "dynamics",
    "simulate",
    "store",
    "scenario",
    "sections",
    "read",
    "running",
    "sweeps",
    "comparison",
    "doctor",
    "cli",
    "__main__",
)
#: Parts that may import less than that: what they serve must not need a numerical library. A section imports what it
#: builds inside `build`.
_ONLY = {
    "scenario": {"status"},
    "store": {"status", "record"},
    "read": {"status", "record", "store"},
    "_lazy": set[str](),
}
_HEAVY = {"torch", "torchvision", "torchdiffeq", "safetensors"}


def _imports(nodes: list[ast.stmt]) -> Iterator[str]:
    """Dotted names; `from a import b` gives a.b."""
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, "imports are absolute"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _read(path: Path) -> list[str]:
    return list(_imports(ast.parse(path.read_text(encoding="utf-8")).body))


def _part(path: Path) -> str:
    parts = path.relative_to(_PACKAGE).parts
    builds = parts[0] == "scenario" and parts[1] in ("sections", "context.py")
    return "sections" if builds else parts[0].removesuffix(".py")


def _forbidden(part: str, names: list[str]) -> list[str]:
    before = set(_ORDER[: _ORDER.index(part)]) if part in _ORDER else set()
    allowed = _ONLY.get(part, before) | {part} | ({"scenario"} if part == "sections" else set())
    inside = [name.removeprefix("rdc_dyn.") for name in names if name.split(".")[0] == "rdc_dyn"]
    return [name for name in inside if name.split(".")[0] not in allowed]


_SOURCES = [path for path in sorted(_PACKAGE.rglob("*.py")) if _part(path) != "__init__"]


def _id(path: Path) -> str:
    return str(path.relative_to(_PACKAGE))


def test_every_part_has_a_rule() -> None:
    assert {_part(path) for path in _SOURCES} == {*_ORDER, *_ONLY}


def test_imports_go_one_way() -> None:
    found = {_id(path): wrong for path in _SOURCES if (wrong := _forbidden(_part(path), _read(path)))}
    assert not found


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("linalg", "rdc_dyn.objective.base.Objective"),
        ("data", "rdc_dyn.objective.base.Objective"),
        ("simulate", "rdc_dyn.store.dataset.to_dataset"),
        ("scenario", "rdc_dyn.linalg.Dense"),
        ("sections", "rdc_dyn.running.build.build"),
        ("store", "rdc_dyn.scenario.Scenario"),
        ("running", "rdc_dyn.sweeps.sweep"),
    ],
)
def test_the_rule_can_fail(part: str, name: str) -> None:
    assert _forbidden(part, [name])


def test_torch_stays_out() -> None:
    """Sections load it when they build; validating a scenario does not (tests/scenario/test_load.py)."""
    light = [path for path in _SOURCES if _part(path) in ("store", "read", "scenario", "status", "record", "cli")]
    heavy = {_id(path) for path in light if _HEAVY & {name.split(".")[0] for name in _read(path)}}
    assert heavy == {"store/checkpoint.py"}


def test_importing_the_package_imports_only_its_hook() -> None:
    body = ast.parse((_PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    at_once = list(_imports([node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]))
    assert [n for n in at_once if n.startswith("rdc_dyn")] == ["rdc_dyn._lazy.when_imported"]


def test_analysis_reads_trajectories_and_nothing_else() -> None:
    public = {f"rdc_dyn.{name}" for name in rdc_dyn.__all__} | {"rdc_dyn"}
    for path in _ANALYSIS.rglob("*.py"):
        names = _read(path)
        assert not _HEAVY & {name.split(".")[0] for name in names}, path.name
        assert {name for name in names if name.split(".")[0] == "rdc_dyn"} <= public, path.name


def test_no_source_is_hidden_by_an_ignore_rule() -> None:
    """A package with a name such as `build` would be there in the work tree and missing from every clone."""
    root = _PACKAGE.parent
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", *map(str, _SOURCES)], cwd=root, capture_output=True, text=True
    )
    assert asked.returncode == 1, asked.stdout + asked.stderr
