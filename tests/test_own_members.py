"""Members from outside: objects that are passed in Python, and sections that a package registers."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import rdc_dyn
from rdc_dyn.dynamics import IsoFunctional, NoCorrector
from rdc_dyn.dynamics.processes.base import SurfacePoint
from rdc_dyn.scenario import loads
from rdc_dyn.scenario.given import recorded
from tests import tiny


class Spiral(rdc_dyn.Process):
    """Turns through (λ, γ)."""

    span = (0.0, 0.4)

    def rates(self, s: float, here: SurfacePoint) -> torch.Tensor:
        return torch.tensor([math.cos(3 * s), math.sin(3 * s), 0.0], dtype=torch.float64)


class Tighter(Spiral):
    """Turns faster."""

    def rates(self, s: float, here: SurfacePoint) -> torch.Tensor:
        return torch.tensor([math.cos(9 * s), math.sin(9 * s), 0.0], dtype=torch.float64)


class Wrong(Spiral):
    """Forgets the data position."""

    def rates(self, s: float, here: SurfacePoint) -> torch.Tensor:
        return torch.zeros(2)


def scenario(**keys: Any) -> dict[str, Any]:
    return tiny.linear_gaussian() | {"integrator": {"method": "rk4", "step_size": 0.1}} | keys


def test_a_process_of_its_own_runs_and_is_recorded(tmp_path: Path) -> None:
    """λ = 1 + sin(3s)/3, γ = 1 + (1 − cos(3s))/3."""
    ds = rdc_dyn.run(scenario(), tmp_path / "run", process=Spiral())
    s = ds["time"].values
    assert ds.attrs["status"] == "COMPLETED"
    assert ds.lam.values == pytest.approx(1 + torch.sin(torch.tensor(3 * s)).numpy() / 3, abs=1e-5)
    assert ds.gamma.values == pytest.approx(1 + (1 - torch.cos(torch.tensor(3 * s)).numpy()) / 3, abs=1e-5)
    text = (tmp_path / "run" / "scenario.yaml").read_text()
    assert "object: tests.test_own_members.Spiral" in text and "kind: given" in text


def test_a_run_goes_on_with_the_object_that_it_began_with(tmp_path: Path) -> None:
    whole = rdc_dyn.run(scenario(), process=Spiral())
    run = tmp_path / "run"
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.run(scenario(), run, process=Spiral(), max_time=0.0)
    with pytest.raises(rdc_dyn.UserError, match=r"process: .*Spiral was passed in Python"):
        rdc_dyn.resume(run)
    with pytest.raises(rdc_dyn.UserError, match=r"process: .*Tighter with source \w{12} is not what the run"):
        rdc_dyn.resume(run, process=Tighter())
    ds = rdc_dyn.resume(run, process=Spiral())
    assert ds.lam.values.tobytes() == whole.lam.values.tobytes()


def test_an_object_is_refused_where_the_run_began_with_a_section(tmp_path: Path) -> None:
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.run(scenario(), tmp_path / "run", max_time=0.0)
    with pytest.raises(rdc_dyn.UserError, match="process: an object was passed, but the run began with"):
        rdc_dyn.resume(tmp_path / "run", process=Spiral())


def test_runs_of_an_object_are_compared_with_the_finest(tmp_path: Path) -> None:
    """No closed form follows a process that no file holds."""
    for size in (0.2, 0.1):
        tree = scenario(integrator={"method": "euler", "step_size": size})
        rdc_dyn.run(tree, tmp_path / "runs" / f"h{size}", process=Spiral())
    found = rdc_dyn.compare(tmp_path / "runs")
    assert "finest run h0.1" in found.attrs["reference"]


def test_geco_takes_every_process_that_frees_gamma_alone() -> None:
    """What a process frees is said by its section, so that one from outside is known too."""
    tree = tiny.images(corrector={"method": "geco"}, response={"kind": "secant_filter"})
    hold = {"kind": "iso_functional_transfer", "hold": {"rate": 0.1, "classification_loss": 1.0}}
    tree["data"] = {"source": {"name": "digits", "classes": [0, 1]}, "target": {"name": "digits", "classes": [2, 3]}}
    loads(json.dumps(tree | {"process": hold}))
    with pytest.raises(rdc_dyn.ScenarioError, match="geco moves one multiplier"):
        loads(json.dumps(tree | {"process": {"kind": "iso_classification"}}))


def test_the_examples_of_the_guide_run() -> None:
    text = (Path(__file__).parents[1] / "docs" / "howto" / "members.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Spiral" in block]
    names: dict[str, Any] = {"tree": scenario()}
    for block in blocks:
        code = block.replace('"scenarios/digits_iso_classification.yaml"', "tree")
        exec(compile(code, "members.md", "exec", dont_inherit=True), names)
    assert names["ds"].attrs["status"] == "COMPLETED" and len(blocks) == 2
    assert names["SpiralSection"](kind="spiral").turns == 3.0


def test_a_shipped_process_that_is_passed_gives_the_same_numbers() -> None:
    by_section = rdc_dyn.run(scenario(process={"kind": "iso_classification", "span": [0.0, 0.3]}))
    by_object = rdc_dyn.run(scenario(), process=IsoFunctional((0.0, 0.3)))
    assert by_section.gamma.values.tobytes() == by_object.gamma.values.tobytes()


def test_a_corrector_that_is_passed_is_used() -> None:
    ds = rdc_dyn.run(scenario(), corrector=NoCorrector())
    assert float(ds.corrector_iterations[-1] - ds.corrector_iterations[0]) == 0.0


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ({"process": "spiral"}, "process: got an object of class str without span, rates; expected an rdc_dyn.Process"),
        ({"process": Spiral}, r"process: is the class Spiral; expected an object, Spiral\(...\)"),
        ({"process": Wrong()}, r"process: Wrong.rates gives \(2,\); expected a tensor of shape \(3,\)"),
        ({"objective": object()}, "objective: got an object of class object without size"),
        ({"corrector": Spiral()}, "corrector: got an object of class Spiral without correct"),
        ({"integrator": 4}, "integrator: got an object of class int without step; expected an object with step"),
    ],
)
def test_an_object_that_does_not_fit_is_refused(things: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(rdc_dyn.UserError, match=message):
        rdc_dyn.run(scenario(), tmp_path / "run", **things)
    assert not (tmp_path / "run").exists()


_PACKAGE = '''
from typing import Literal

from rdc_dyn.sections import CorrectorSection, KrylovSection, NumberedReaderSection, ObjectiveSection, ProcessSection


class Ray(ProcessSection):
    """lam and gamma grow together."""

    kind: Literal["ray"]
    speed: float = 1.0

    def build(self, start):
        from ray_numbers import RayProcess

        return RayProcess(self.span, self.speed)


class Bowl(ObjectiveSection):
    """A quadratic bowl."""

    kind: Literal["bowl"]
    samples_data = False

    def build(self, context):
        from ray_numbers import BowlObjective

        return BowlObjective()


class Still(CorrectorSection):
    """Leaves theta."""

    method: Literal["still"]

    def build(self, context):
        from rdc_dyn.dynamics import NoCorrector

        return NoCorrector()


class Unit(KrylovSection):
    """The identity by another name."""

    preconditioner: Literal["unit"]

    def recipe(self, context, damping):
        from rdc_dyn.linalg import Identity

        return Identity()


class Two(NumberedReaderSection):
    """Two classes of two points each."""

    name: Literal["two"]

    def read(self, source):
        import torch
        from rdc_dyn.data.readers import Labelled

        x = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]])
        return Labelled("two", torch.tensor([0, 0, 1, 1]), (2,), lambda rows, dtype: x[rows].to(dtype))
'''
_NUMBERS = """
import torch
import rdc_dyn


class RayProcess(rdc_dyn.Process):
    def __init__(self, span, speed):
        self.span, self.speed = span, speed

    def rates(self, s, here):
        return torch.tensor([self.speed, self.speed, 0.0])


class BowlObjective:
    size, exact, weight_prior_precision, moves = 2, False, 0.0, False

    def free_energy(self, theta, lam, gamma, data_position):
        return 1 + (theta**2).sum() / 2 + lam * ((theta - 1) ** 2).sum() + gamma * ((theta + 1) ** 2).sum()

    def initial(self, generator):
        return torch.zeros(2, dtype=torch.float64)

    def kernel(self, theta):
        return theta.new_zeros((0, 2))

    def diagnostics(self, theta, lam, gamma, data_position):
        return {}
"""
_SCENARIO = """
name: ray
threads: 1
device: cpu
objective: {kind: bowl}
start: {lam: 1.0, gamma: 1.0, equilibrate: {adam_steps: 10}}
process: {kind: ray, span: [0.0, 0.5], speed: 2.0}
integrator: {method: euler, step_size: 0.1}
corrector: {method: still}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    (tmp_path / "ray_sections.py").write_text(_PACKAGE)
    (tmp_path / "ray_numbers.py").write_text(_NUMBERS)
    (tmp_path / "ray.yaml").write_text(_SCENARIO)
    names = ("Ray", "Bowl", "Still", "Unit", "Two")
    entries = "\n".join(f"{name.lower()} = ray_sections:{name}" for name in names)
    _register(tmp_path, entries)
    return tmp_path


def _register(folder: Path, entries: str) -> None:
    info = folder / "ray-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rdc_dyn.sections]\n{entries}\n")


_COMMANDS = """
import json, sys
from click.testing import CliRunner
from rdc_dyn.cli import main
done = [CliRunner().invoke(main, words) for words in json.loads(sys.argv[1])]
print(json.dumps([[each.exit_code, each.stdout, each.stderr] for each in done]))
"""


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def commands(folder: Path, *lines: Sequence[str]) -> list[Done]:
    """Several commands in one process, which has torch but once."""
    paths = os.pathsep.join([str(folder), str(Path(__file__).resolve().parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, json.dumps(lines)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*each) for each in json.loads(done.stdout)]


def command(folder: Path, *words: str) -> Done:
    return commands(folder, words)[0]


def test_a_package_adds_members_to_every_command(installed: Path) -> None:
    """A process, an objective, a corrector and a reader: listed, validated, run, resumed and swept by YAML."""
    listed, valid, schema, wrong, ran, resumed, swept = commands(
        installed,
        ["list"],
        ["validate", "ray.yaml"],
        ["schema"],
        ["validate", "ray.yaml", "--set", "process.sped=1"],
        ["run", "ray.yaml", "-o", "out", "-q", "--max-time", "0.001s"],
        ["resume", "out", "-q"],
        ["sweep", "ray.yaml", "--grid", "process.speed=1,2", "-o", "sweep", "-q"],
    )
    for line in ("ray ", "lam and gamma grow together (of ray)", "A quadratic bowl (of ray)", "Two classes of two"):
        assert line in listed.stdout
    assert "valid (bowl, ray, euler)" in valid.stdout
    assert '"Ray"' in schema.stdout
    assert wrong.returncode == 2 and "did you mean 'speed'?" in wrong.stderr
    assert ran.returncode == 5, ran.stderr
    assert resumed.returncode == 0, resumed.stderr
    ds = rdc_dyn.open_run(installed / "out")
    assert float(ds.lam[-1]) == pytest.approx(2.0) and float(ds.gamma[-1]) == pytest.approx(2.0)
    assert swept.returncode == 0 and "2 of 2 points done" in swept.stdout, swept.stderr


@pytest.mark.slow
def test_a_preconditioner_from_outside_is_told_apart_by_its_own_key(installed: Path) -> None:
    """As the shipped ones are: by the key `preconditioner`, beside the keys of the solver."""
    unit = ("--set", "response.solver={method: minres, preconditioner: unit, memory: 3}")
    listed, valid, ran, wrong = commands(
        installed,
        ["list", "preconditioners"],
        ["validate", "ray.yaml", *unit],
        ["run", "ray.yaml", *unit, "-o", "out", "-q"],
        ["validate", "ray.yaml", "--set", "response.solver={method: cg, preconditioner: unity}"],
    )
    assert "The identity by another name (of ray)" in listed.stdout
    assert valid.returncode == 0
    assert ran.returncode == 0, ran.stderr
    assert "choose one of: factorised, nystrom, kfac, none, unit; did you mean 'unit'?" in wrong.stderr


@pytest.mark.slow
def test_a_reader_from_outside_reads(installed: Path) -> None:
    tree = tiny.images(data={"source": {"name": "two", "limit": None, "classes": "all"}, "validation_fraction": 0.0})
    tree["objective"]["alphabet_size"] = 2
    (installed / "two.yaml").write_text(json.dumps(tree))
    ran = command(installed, "run", "two.yaml", "-o", "out", "-q")
    assert ran.returncode == 0, ran.stderr
    assert rdc_dyn.open_run(installed / "out").attrs["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("ray = ray_nowhere:Ray", "ray: its entry point rdc_dyn.sections:ray fails to import (ModuleNotFoundError"),
        ("ray = ray_sections:Literal", "ray: its entry point rdc_dyn.sections:ray is typing.Literal"),
        ("one = ray_sections:Ray\ntwo = ray_sections:Ray", "ray: its section Ray has kind 'ray', and so has Ray"),
    ],
)
def test_a_package_that_does_not_fit_is_named(installed: Path, entries: str, message: str) -> None:
    _register(installed, entries)
    ran = command(installed, "run", "ray.yaml", "-o", "out")
    assert ran.returncode == 2 and message in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr and not (installed / "out").exists()


@pytest.mark.slow
def test_a_run_whose_package_is_gone_says_so(installed: Path) -> None:
    assert command(installed, "run", "ray.yaml", "-o", "out", "-q", "--max-time", "0.001s").returncode == 5
    _register(installed, "bowl = ray_sections:Bowl\nstill = ray_sections:Still")
    gone = command(installed, "resume", "out")
    assert gone.returncode == 2 and "process.kind: unknown kind 'ray'" in gone.stderr, gone.stderr


def test_the_record_of_an_object_knows_its_parameters_and_no_address() -> None:
    one, same, other = (IsoFunctional((0.0, end)) for end in (0.3, 0.3, 0.4))
    assert recorded(one) == recorded(same) != recorded(other)

    @dataclass
    class Holder:
        held: object

    assert recorded(Holder(object())) == recorded(Holder(object()))
