"""Build the problem that a scenario describes, on each of the processes that share it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rdc_dyn.distributed.group import Group, join
from rdc_dyn.dynamics import Minimiser, Monitor
from rdc_dyn.linalg import Preconditioner
from rdc_dyn.linalg.base import allocating, require_memory
from rdc_dyn.objective.base import OverData
from rdc_dyn.objective.own_modules import Ends, Own, describe
from rdc_dyn.running.allocator import keep_large_blocks
from rdc_dyn.scenario import Scenario
from rdc_dyn.scenario.context import Context
from rdc_dyn.scenario.sections.solvers import FACTOR, NOTHING
from rdc_dyn.simulate import Problem
from rdc_dyn.status import DataError, UserError

#: Vectors of the size of θ that every run holds: θ, ∇J, and the two means of Adam.
_VECTORS = 4


@dataclass(frozen=True)
class Built:
    """A problem with what its provenance needs.

    Attributes:
        problem: Ready to simulate.
        device: Where it runs.
        data_digest: SHA-256 of the data.
        coupling_digest: SHA-256 of the coupling of source and target, or None.
        choices: How J and its response are evaluated, by name, for the record.
        group: The processes that share the data, or None for a single one.
    """

    problem: Problem
    device: torch.device
    data_digest: str
    coupling_digest: str | None
    choices: dict[str, str | int | float]
    group: Group | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.group is None or self.group.leads

    @property
    def device_name(self) -> str:
        """The device in words, for the record."""
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


def build(
    scenario: Scenario,
    folder: Path,
    device: str | None = None,
    networks: Own | None = None,
    given: Mapping[str, Any] | None = None,
) -> Built:
    """Build everything that a run needs, on each of the processes that share it.

    `networks` are modules for the parts of the objective whose kind is module; they are not modified. Raises UserError
    on every process if one finds a mistake, DataError if the processes have read different data, and MemoryError.
    """
    keep_large_blocks()
    group = join()
    if group is None:
        with allocating():
            return _build(scenario, folder, device, None, networks or {}, given or {})
    built: Built | UserError
    try:
        built = _build(scenario, folder, device, group, networks or {}, given or {})
    except UserError as mistake:
        built = mistake
    everywhere = group.from_all(built if isinstance(built, UserError) else (built.data_digest, built.coupling_digest))
    for found in everywhere:
        if isinstance(found, UserError):
            raise found
    if len(set(everywhere)) > 1:
        raise DataError("the processes have read different data; give each machine the same files")
    assert isinstance(built, Built)
    group.broadcast(built.problem.start.theta)  # modules that were passed may be initialised at random
    return built


def _build(
    scenario: Scenario, folder: Path, device: str | None, group: Group | None, networks: Own, given: Mapping[str, Any]
) -> Built:
    if scenario.threads is not None:
        torch.set_num_threads(scenario.threads)
    place = choose_device(device or scenario.device, group)
    if group is not None and place.type == "cuda":
        torch.cuda.set_device(place)  # what torch puts on "the" GPU must not all land on the first
        torch.backends.cudnn.deterministic = True  # what each computes for itself must be the same
    like = torch.zeros((), dtype=getattr(torch, scenario.dtype), device=place)
    context = Context(scenario, folder, like, networks, given, group)
    size = context.objective.size
    require_memory(_VECTORS * float(like.element_size()) * size, f"{_VECTORS} vectors of {size} parameters")
    solver, evaluated, process = context.solver, context.evaluated, context.process
    minimiser, monitor, equilibrate = _minimiser(context), _monitor(context), scenario.start.equilibrate
    assert scenario.process.on_fold is not None  # resolved
    problem = Problem(
        free_energy=evaluated.free_energy,
        process=process,
        response=context.response,
        integrator=context.integrator,
        corrector=context.corrector,
        minimiser=minimiser,
        step_size=context.step_size,
        start=context.start,
        adam_steps=scenario.start.adam_steps,
        learning_rate=equilibrate.learning_rate,
        adam_batch=equilibrate.batch,
        drop_every=equilibrate.drop_every,
        seed=scenario.seed,
        on_fold=scenario.process.on_fold,
        monitor=monitor,
        preconditioners=_preconditioners(solver, minimiser, monitor, context.corrector),
        aims=scenario.process.aims,
        baumgarte=scenario.corrector.pull,
    )
    return _described(context, problem, place)


def _described(context: Context, problem: Problem, place: torch.device) -> Built:
    scenario, choices = context.scenario, context.evaluated.choices
    data = context.objective.data if isinstance(context.objective, OverData) else None
    count = 0 if data is None else sum(data.parts.values())
    approximations = scenario.approximations(int(choices.get("curvature_data", count)), count)
    choices = choices | {"response_kind": scenario.response.kind, "approximations": approximations}
    choices = choices | {"guarantees": scenario.guarantees}
    if data is None:
        return Built(problem, place, "second moments in the scenario", None, choices)
    choices = choices | {**Ends.of(data).record(), **describe(context.networks)}
    coupling = None if data.coupling is None else data.coupling.digest()
    return Built(problem, place, data.digest(), coupling, choices, context.group)


def _minimiser(context: Context) -> Minimiser:
    """What descends to the first equilibrium and beyond folds.

    Its preconditioner is the solver's own, so that the path begins with what the start ends with, or one as the
    scenario names it. A factor takes the place of what knows less wherever it can be had, for it proves a minimum. A
    solver's own is no use here if it is of a damped A.
    """
    section, solver, small = context.scenario.start.equilibrate, context.scenario.response.solver, context.factorisable
    own: Preconditioner | None = getattr(context.solver, "preconditioner", None)
    assert section.tolerance is not None  # resolved
    preconditioner = (FACTOR if small else NOTHING).preconditioned(context)
    if own is not None and solver.damping == 0.0:
        if own.recipe.spectral or not small:
            preconditioner = own
    elif not small:
        preconditioner = solver.undamped(context) or preconditioner
    return Minimiser(preconditioner, section.tolerance, section.newton_steps)


def _monitor(context: Context) -> Monitor | None:
    """What looks ahead for singular points; shares its preconditioner with the solver where that has one."""
    section = context.scenario.process
    if section.on_fold == "follow" and not context.factorisable:
        raise UserError(
            f"process.on_fold: follow forms A, and {context.objective.size} parameters are too many (limit "
            f"{context.largest}); use stop or relax"
        )
    return Monitor(context.preconditioner) if section.on_fold == "follow" or section.look_ahead else None


def _preconditioners(*holders: object) -> tuple[Preconditioner, ...]:
    """The preconditioners of some parts, each once, for the record of what they cost."""
    found = [getattr(holder, "preconditioner", None) for holder in holders]
    return tuple({id(each): each for each in found if isinstance(each, Preconditioner)}.values())
