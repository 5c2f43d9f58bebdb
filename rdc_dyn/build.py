"""A scenario becomes a problem: with `parts`, the only module that knows every concrete class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rdc_dyn.dynamics import Minimiser
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.parts import (
    build_corrector,
    build_free_energy,
    build_integrator,
    build_monitor,
    build_objective,
    build_preconditioner,
    build_process,
    build_solver,
    build_start,
    build_step_size,
)
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.simulate import Problem
from rdc_dyn.status import UserError


@dataclass(frozen=True)
class Built:
    """A problem with what its provenance needs.

    Attributes:
        problem: Ready to simulate.
        device: Where it runs.
        data_digest: SHA-256 of the data.
        coupling_digest: SHA-256 of the coupling of source and target, or None.
        choices: How J is evaluated, by name, for the record.
    """

    problem: Problem
    device: torch.device
    data_digest: str
    coupling_digest: str | None
    choices: dict[str, str | int | float]


def choose_device(name: str) -> torch.device:
    """auto is the first GPU where there is one, else the CPU.

    Args:
        name: auto, cpu, cuda or cuda:N.

    Returns:
        The device.

    Raises:
        UserError: If it is no device, or a GPU that is not there (exit code 2).
    """
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"device: {name!r} is no device; expected auto, cpu, cuda or cuda:N")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"device: {name} was asked for, but torch sees {available} CUDA devices; use cpu or auto")
    return device


def absolute(scenario: Scenario, folder: Path) -> Scenario:
    """Write the paths of a scenario out, so that its copy in a run directory means the same files.

    Args:
        scenario: Any.
        folder: Folder that relative paths of the scenario start from.

    Returns:
        The same scenario without relative paths.
    """

    def located(section: Any, *keys: str) -> Any:
        paths = {key: getattr(section, key, None) for key in keys}
        return section and section.model_copy(update={k: str(folder / v) for k, v in paths.items() if v is not None})

    data = located(scenario.data, "root", "coupling")
    if data is not None:
        data = data.model_copy(update={k: located(getattr(data, k), "file") for k in ("source", "target")})
    return scenario.model_copy(update={"data": data, "start": located(scenario.start, "from_")})


def build(scenario: Scenario, folder: Path, device: str | None = None) -> Built:
    """Make everything that a run needs.

    Args:
        scenario: What to run.
        folder: Folder that relative paths of the scenario start from.
        device: Overrides the scenario's device.

    Returns:
        The problem, its device and the digest of its data.

    Raises:
        UserError: If the scenario asks for what is not there.
        DataError: If data or a checkpoint cannot be used.
    """
    if scenario.threads is not None:
        torch.set_num_threads(scenario.threads)
    place = choose_device(device or scenario.device)
    like = torch.zeros((), dtype=getattr(torch, scenario.dtype), device=place)
    objective, data = build_objective(scenario, folder, like)
    solver = build_solver(scenario, objective)
    tolerance = 1e-8 if scenario.dtype == "float64" else 1e-4
    equilibrate = scenario.start.equilibrate
    start, adam_steps = build_start(scenario, objective, folder, like)
    evaluated = build_free_energy(scenario, objective, start)
    process = build_process(scenario, start)
    fold = scenario.process.on_fold or ("stop" if objective.exact else "relax")
    looks = scenario.process.look_ahead
    looks = fold == "follow" or (objective.exact if looks is None else looks)
    problem = Problem(
        free_energy=evaluated.free_energy,
        process=process,
        solver=solver,
        integrator=build_integrator(scenario),
        corrector=build_corrector(scenario, solver, tolerance),
        minimiser=Minimiser(
            build_preconditioner("factorised" if objective.size <= MAX_SIZE else "none", 0.0, objective),
            equilibrate.tolerance or tolerance,
            equilibrate.newton_steps,
        ),
        step_size=build_step_size(scenario),
        start=start,
        adam_steps=adam_steps,
        learning_rate=equilibrate.learning_rate,
        on_fold=fold,
        monitor=build_monitor(objective, solver, fold) if looks else None,
        aims=isinstance(scenario.process, schema.GeodesicTransfer) and scenario.process.toward is not None,
        baumgarte=getattr(scenario.corrector, "baumgarte", 0.0),
    )
    if data is None:
        return Built(problem, place, "second moments in the scenario", None, {})
    coupling = None if data.coupling is None else data.coupling.digest()
    return Built(problem, place, data.digest(), coupling, evaluated.choices)
