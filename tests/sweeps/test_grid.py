"""Grids, their mistakes, and the names of points; nothing here runs or imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import ScenarioError, dump, from_mapping, loads
from rdc_dyn.status import UserError
from rdc_dyn.sweeps import plan
from rdc_dyn.sweeps.grid import command_line_grid
from tests.tiny import linear_gaussian

_STEPS = {"integrator.step_size": [0.1, 0.05]}


def _plan(*arguments: str, **changes: Any) -> list[dict[str, Any]]:
    made = plan(linear_gaussian(**changes), command_line_grid(arguments))
    return [dict(point.values) for point in made.points]


def test_every_combination_is_a_point_the_last_key_fastest() -> None:
    values = _plan("integrator.method=euler,rk4", "integrator.step_size=0.1,5e-2")
    assert [tuple(v.values()) for v in values] == [("euler", 0.1), ("euler", 0.05), ("rk4", 0.1), ("rk4", 0.05)]


def test_values_may_be_sections_and_lists() -> None:
    values = _plan("corrector={method: none},{method: newton_krylov}", "process.span=[0,1],[0, 2]")
    assert [v["corrector"]["method"] for v in values] == ["none", "none", "newton_krylov", "newton_krylov"]
    assert [v["process.span"] for v in values[:2]] == [[0.0, 1.0], [0.0, 2.0]]


def test_a_section_goes_before_its_own_keys() -> None:
    values = _plan("corrector.tolerance=1e-6,1e-7", "corrector={method: newton_krylov}")
    assert [v["corrector.tolerance"] for v in values] == [1e-6, 1e-7]
    assert [v["corrector"]["tolerance"] for v in values] == [1e-6, 1e-7]


def test_the_section_is_a_grid_or_a_union_and_the_command_line_replaces_it() -> None:
    grids = [{"integrator.method": ["euler"], **_STEPS}, {"integrator.method": ["dopri5"], "integrator.rtol": [1e-3]}]
    assert len(_plan(sweep=_STEPS)) == 2
    union = _plan(sweep=grids)
    assert [v["integrator.method"] for v in union] == ["euler", "euler", "dopri5"]
    assert "integrator.rtol" not in union[0]  # the resolved scenario of euler has no such key
    assert union[2]["integrator.step_size"] == 0.1  # that of dopri5 has this one, from the scenario
    assert [v["seed"] for v in _plan("seed=1,2,3", sweep=grids)] == [1, 2, 3]


def test_equal_points_are_one() -> None:
    assert len(_plan("seed=1,1,2")) == 2
    assert len(_plan(sweep=[_STEPS, _STEPS])) == 2


def test_a_point_is_named_by_its_resolved_scenario() -> None:
    tree = linear_gaussian()
    first, second = plan(tree, _STEPS).points
    assert first.name != second.name
    assert len(first.name) == 12
    spelt_out = dump(from_mapping(tree))  # with all defaults: the same scenario
    assert plan(loads(spelt_out), _STEPS).points[0].name == first.name
    assert "sweep" not in first.text
    assert loads(first.text).integrator.step_size == 0.1


def test_relative_paths_are_part_of_a_point(tmp_path: Path) -> None:
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "s.yaml"
        file.write_text(dump(from_mapping(linear_gaussian(start={"from": "run"}))))
        names.append(plan(file, _STEPS).points[0].name)
    assert names[0] != names[1]


def test_values_from_python_may_be_numpy() -> None:
    made = plan(linear_gaussian(), {"integrator.step_size": np.array([0.1, 0.05]), "seed": range(2)})
    assert [p.values["seed"] for p in made.points] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "key", "words"),
    [
        (["integrator.methodd=euler,rk4"], "integrator.methodd", "did you mean 'method'"),
        (["integrator.step_size=-1,0.1"], "integrator.step_size", "must be > 0, got -1"),
        (["seed"], "", "expected key=value"),
        (["seed="], "", "expected key=value"),
        (["seed=1", "seed=2"], "seed", "given twice"),
        (["seed=[1"], "", "not valid YAML"),
        (["name=a,b"], "name", "not swept"),
        (["sweep=1"], "sweep", "not swept"),
        (["integrator.method.x=1"], "integrator.method.x", "not a section"),
    ],
)
def test_mistakes_name_the_key(arguments: list[str], key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        _plan(*arguments)
    assert caught.value.problems[0].key == key
    assert words in caught.value.problems[0].message
    assert caught.value.problems[0].where.startswith("--grid ")


def test_all_mistakes_of_all_points_at_once_and_each_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        _plan("integrator.method=eula,rk4", "integrator.step_size=0.1,-1,0", "seed=1,2,3")
    assert sorted(p.key for p in caught.value.problems) == ["integrator.method", *["integrator.step_size"] * 2]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({}, "sweep"),
        ([], "sweep"),
        (3, "sweep"),
        ({"seed": 3}, "sweep.seed"),
        ({"seed": []}, "sweep.seed"),
        ([{"seed": [1]}, {"seed": 2}], "sweep.1.seed"),
        ({"name": ["a"]}, "sweep.name"),
    ],
)
def test_mistakes_of_the_section(section: Any, key: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        from_mapping(linear_gaussian() | {"sweep": section})
    assert [p.key for p in caught.value.problems] == [key]


def test_the_section_points_into_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(linear_gaussian())) + "sweep:\n  seed: 3\n")
    with pytest.raises(ScenarioError, match=r"s\.yaml:\d+:9: .*list of values"):
        plan(file)


def test_the_section_survives_writing() -> None:
    scenario = from_mapping(linear_gaussian(sweep=_STEPS))
    assert loads(dump(scenario)) == scenario
    assert "sweep" not in dump(from_mapping(linear_gaussian()))


def test_nothing_to_sweep() -> None:
    with pytest.raises(UserError, match="nothing to sweep"):
        plan(linear_gaussian())


def test_run_refuses_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use rdc-dyn sweep"):
        rdc_dyn.run(linear_gaussian(sweep=_STEPS), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_lists_the_points_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(linear_gaussian())))
    arguments = ["sweep", str(file), "--grid", "seed=1,2", "--set", "integrator.step_size=0.2", "--dry-run"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.output.splitlines()[:2]] == ["seed=1", "seed=2"]
    assert result.output.splitlines()[2] == "2 points over seed"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--grid", "seed=1"], "-o: name the sweep directory"),
        (["--grid", "seed=1", "-o", "x", "--jobs", "2", "--dask", "tcp://h:1"], "one of the two"),
        (["-o", "x"], "nothing to sweep"),
    ],
)
def test_mistakes_of_usage_are_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(linear_gaussian())))
    result = CliRunner().invoke(main, ["sweep", str(file), *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1
