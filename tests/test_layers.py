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
_FLOW = (
    "status",
    "linalg",
    "objective",
    "dynamics",
    "simulate",
    "build",
    "passed",
    "recorder",
    "runner",
    "resumption",
    "sweeps",
)
#: What each part may import besides itself and, in the flow, what comes before it.
_BESIDES = {
    "simulate": {"output.record"},
    "build": {"output", "scenario"},
    "trained": {*_FLOW[: _FLOW.index("build")], "output", "scenario"},
    "passed": {"scenario"},
    "recorder": {"output", "scenario", "signals"},
    "runner": {"output", "scenario", "signals"},
    "resumption": {"output", "scenario", "signals"},
    "signals": set[str](),
    "verify": {"output", "status"},
    "doctor": {*_FLOW[: _FLOW.index("runner")], "output", "scenario"},
    "sweeps": {"output", "scenario"},
    "comparison": {*_FLOW[: _FLOW.index("runner")], "output", "scenario"},
    "commands": {*_FLOW, "output", "scenario", "doctor", "comparison", "verify"},
    "cli": {"commands", "output", "scenario", "status"},
    "scenario": {"status"},
    "sections": {"scenario", "scenario.sections"},
    # A section imports what it builds inside `build`, so that validating a scenario loads no numerical library.
    "scenario.sections": {"status", "scenario", "linalg", "objective", "dynamics", "output"},
    "output": {"status"},
    "__main__": {"cli"},
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
    builds = parts[0] == "scenario" and (parts[1] in ("sections", "families.py", "context.py"))
    return "scenario.sections" if builds else parts[0].removesuffix(".py")


def _forbidden(part: str, names: list[str]) -> list[str]:
    before = set(_FLOW[: _FLOW.index(part)]) if part in _FLOW else set()
    allowed = before | _BESIDES.get(part, set()) | {part}
    inside = [name.removeprefix("rdc_dyn.") for name in names if name.split(".")[0] == "rdc_dyn"]
    return [name for name in inside if not any(name == a or name.startswith(f"{a}.") for a in allowed)]


_SOURCES = [path for path in sorted(_PACKAGE.rglob("*.py")) if _part(path) != "__init__"]


def _id(path: Path) -> str:
    return str(path.relative_to(_PACKAGE))


def test_every_part_has_a_rule() -> None:
    assert {_part(path) for path in _SOURCES} == set(_FLOW) | set(_BESIDES)


@pytest.mark.parametrize("path", _SOURCES, ids=_id)
def test_imports_go_one_way(path: Path) -> None:
    assert not _forbidden(_part(path), _read(path))


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("linalg", "rdc_dyn.objective.base.Objective"),
        ("dynamics", "rdc_dyn.output.record.Record"),
        ("objective", "rdc_dyn.output.record.Record"),
        ("simulate", "rdc_dyn.output.dataset.to_dataset"),
        ("scenario", "rdc_dyn.linalg.Dense"),
        ("scenario.sections", "rdc_dyn.build.build"),
        ("output", "rdc_dyn.scenario.Scenario"),
        ("build", "rdc_dyn.run.run"),
    ],
)
def test_the_rule_can_fail(part: str, name: str) -> None:
    assert _forbidden(part, [name])


@pytest.mark.parametrize(
    "path", [p for p in _SOURCES if _part(p) in ("output", "scenario", "status", "cli", "commands")], ids=_id
)
def test_torch_stays_out(path: Path) -> None:
    heavy = _HEAVY & {name.split(".")[0] for name in _read(path)}
    assert not heavy or _id(path) == "output/checkpoint.py"


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
