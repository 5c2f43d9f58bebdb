"""Turn a scenario into a problem; apart from `parts`, this is the only module that knows every concrete class."""

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
        """Name of the device, for the record."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def choose_device(name: str, group: Group | None = None) -> torch.device:
    """Resolve auto (the first GPU if there is one, else the CPU), cpu, cuda or cuda:N.

    Each process of a group takes another GPU. Raises UserError if this is no device, or a GPU that does not exist.
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
    """Build everything that a run needs, on each of the processes that share it.

    `networks` are modules for the parts of the objective whose kind is module; they are not modified. Raises UserError
    on every process if one finds a mistake, and DataError if the processes have read different data.
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
        torch.cuda.set_device(place)  # else what torch puts on the current GPU all lands on the first
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
