"""A scenario becomes a problem: with `parts`, the only module that knows every concrete class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from rdc_dyn.objective.group import Group, join
from rdc_dyn.objective.team import Team
from rdc_dyn.parts import (
    Ends,
    Own,
    approximations,
    build_corrector,
    build_free_energy,
    build_integrator,
    build_minimiser,
    build_monitor,
    build_objective,
    build_process,
    build_response,
    build_solver,
    build_start,
    build_step_size,
    describe,
    first_steps,
    preconditioners,
    pull,
    singular_points,
    solves,
)
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.simulate import Problem
from rdc_dyn.status import DataError, UserError


@dataclass(frozen=True)
class Built:
    """A problem with what its provenance needs.

    Attributes:
        problem: Ready to simulate.
        device: Where it runs.
        data_digest: SHA-256 of the data.
        coupling_digest: SHA-256 of the coupling of source and target, or None.
        choices: How J and its response are evaluated, by name, for the record.
        team: The processes that share the data, or None for a single one.
    """

    problem: Problem
    device: torch.device
    data_digest: str
    coupling_digest: str | None
    choices: dict[str, str | int | float]
    team: Team | None = None

    @property
    def device_name(self) -> str:
        """The device in words, for the record."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def choose_device(name: str, group: Group | None = None) -> torch.device:
    """auto is the first GPU where there is one, else the CPU; of several processes each takes another GPU.

    Args:
        name: auto, cpu, cuda or cuda:N.
        group: The processes of a run, or None for a single one.

    Returns:
        The device.

    Raises:
        UserError: If it is no device, or a GPU that is not there (exit code 2).
    """
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"device: {name!r} is no device; expected auto, cpu, cuda or cuda:N")
    if group is not None and ":" in name:
        raise UserError(f"device: {name} is one GPU for {group.world} processes; use cuda, and each takes another")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if group is not None and available and name != "cpu":
        return torch.device("cuda", group.local_rank % available)
    if name == "auto":
        return torch.device("cuda:0" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"device: {name} was asked for, but torch sees {available} CUDA devices; use cpu or auto")
    return device


def build(scenario: Scenario, folder: Path, device: str | None = None, networks: Own | None = None) -> Built:
    """Make everything that a run needs, on each of the processes that share it.

    Args:
        scenario: What to run.
        folder: Folder that relative paths of the scenario start from.
        device: Overrides the scenario's device.
        networks: Modules for the parts of the objective whose kind is module; they stay as they are.

    Returns:
        The problem, its device and the digest of its data.

    Raises:
        UserError: If the scenario asks for what is not there; a mistake on one process is a mistake of all.
        DataError: If data or a checkpoint cannot be used, or the processes have different data.
    """
    group = join()
    if group is None:
        return _build(scenario, folder, device, None, networks or {})
    built: Built | UserError
    try:
        built = _build(scenario, folder, device, group, networks or {})
    except UserError as mistake:
        built = mistake
    everywhere = group.from_all(built if isinstance(built, UserError) else (built.data_digest, built.coupling_digest))
    for found in everywhere:
        if isinstance(found, UserError):
            raise found
    if len(set(everywhere)) > 1:
        raise DataError("the processes have read different data; give each machine the same files")
    assert isinstance(built, Built)
    return built


def _build(scenario: Scenario, folder: Path, device: str | None, group: Group | None, own: Own) -> Built:
    if scenario.threads is not None:
        torch.set_num_threads(scenario.threads)
    place = choose_device(device or scenario.device, group)
    if group is not None and place.type == "cuda":
        torch.cuda.set_device(place)  # what torch puts on "the" GPU must not all land on the first
    like = torch.zeros((), dtype=getattr(torch, scenario.dtype), device=place)
    objective, data = build_objective(scenario, folder, like, own)
    solver = build_solver(scenario, objective) if solves(scenario) else None
    tolerance = 1e-8 if scenario.dtype == "float64" else 1e-4
    equilibrate = scenario.start.equilibrate
    start, adam_steps = build_start(scenario, objective, folder, like)
    evaluated = build_free_energy(scenario, objective, start, group)
    process = build_process(scenario, start)
    fold, looks = singular_points(scenario, objective)
    corrector, step_size = build_corrector(scenario, objective, solver, tolerance), build_step_size(scenario)
    minimiser = build_minimiser(scenario, objective, solver, tolerance)
    monitor = build_monitor(objective, solver, fold) if looks else None
    problem = Problem(
        free_energy=evaluated.free_energy,
        process=process,
        response=build_response(scenario, solver, corrector),
        integrator=build_integrator(scenario),
        corrector=corrector,
        minimiser=minimiser,
        step_size=first_steps(scenario, corrector, step_size),
        start=start,
        adam_steps=adam_steps,
        learning_rate=equilibrate.learning_rate,
        adam_batch=equilibrate.batch,
        drop_every=equilibrate.drop_every,
        seed=scenario.seed,
        on_fold=fold,
        monitor=monitor,
        preconditioners=preconditioners(solver, minimiser, monitor, corrector),
        aims=isinstance(scenario.process, schema.GeodesicTransfer) and scenario.process.toward is not None,
        baumgarte=pull(scenario, step_size),
    )
    count = 0 if data is None else sum(data.parts.values())
    choices = evaluated.choices | {
        "response_kind": scenario.response.kind,
        "approximations": approximations(scenario, evaluated.choices, count),
    }
    if data is None:
        return Built(problem, place, "second moments in the scenario", None, choices)
    choices |= {**Ends.of(data).record(), **describe(own)}
    coupling = None if data.coupling is None else data.coupling.digest()
    return Built(problem, place, data.digest(), coupling, choices, evaluated.team)
