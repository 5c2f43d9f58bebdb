"""A scenario becomes objects: the only module that knows every concrete class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rdc_dyn.dynamics import (
    Corrector,
    GeodesicTransfer,
    Gradient,
    Integrator,
    IsoClassificationTransfer,
    IsoFunctional,
    Minimiser,
    Monitor,
    NewtonKrylov,
    NoCorrector,
    Prescribed,
    Process,
    State,
    StepSize,
)
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, Identity, LinearSolver, Preconditioner
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.objective import (
    Amortised,
    FiniteLatent,
    FreeEnergy,
    ImportanceWeighted,
    LinearGaussian,
    Objective,
    Work,
)
from rdc_dyn.objective.data import Data
from rdc_dyn.objective.datasets import Selection, Transport, load_data
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian, Likelihood
from rdc_dyn.objective.networks import Networks, mlp
from rdc_dyn.output.checkpoint import Checkpoint, load_checkpoint
from rdc_dyn.output.run_directory import last_checkpoint
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
    """

    problem: Problem
    device: torch.device
    data_digest: str
    coupling_digest: str | None


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
    objective, data = _objective(scenario, folder, like)
    free_energy = FreeEnergy(objective, Work())
    solver = _solver(scenario, objective)
    tolerance = 1e-8 if scenario.dtype == "float64" else 1e-4
    equilibrate = scenario.start.equilibrate
    start, adam_steps = _start(scenario, objective, folder, like)
    process = _process(scenario, start)
    fold = scenario.process.on_fold or ("stop" if objective.exact else "relax")
    looks = scenario.process.look_ahead
    looks = fold == "follow" or (objective.exact if looks is None else looks)
    problem = Problem(
        free_energy=free_energy,
        process=process,
        solver=solver,
        integrator=_integrator(scenario),
        corrector=_corrector(scenario, solver, tolerance),
        minimiser=Minimiser(
            _preconditioner("factorised" if objective.size <= MAX_SIZE else "none", 0.0, objective),
            equilibrate.tolerance or tolerance,
            equilibrate.newton_steps,
        ),
        step_size=_step_size(scenario),
        start=start,
        adam_steps=adam_steps,
        learning_rate=equilibrate.learning_rate,
        on_fold=fold,
        monitor=_monitor(objective, solver, fold) if looks else None,
        aims=isinstance(scenario.process, schema.GeodesicTransfer) and scenario.process.toward is not None,
        baumgarte=getattr(scenario.corrector, "baumgarte", 0.0),
    )
    if data is None:
        return Built(problem, place, "second moments in the scenario", None)
    return Built(problem, place, data.digest(), None if data.coupling is None else data.coupling.digest())


def _objective(scenario: Scenario, folder: Path, like: Tensor) -> tuple[Objective, Data | None]:
    section = scenario.objective
    if isinstance(section, schema.LinearGaussian):
        path = "mixture" if scenario.data is None else scenario.data.path
        return _linear_gaussian(section, path, like), None
    likelihood = _likelihood(section.decoder)
    assert scenario.data is not None  # the scenario's checks ask for it
    data = _data(scenario.data, scenario.seed, folder, likelihood, like)
    if isinstance(section, schema.FiniteLatent):
        if section.alphabet_size > len(data.source):
            raise DataError(f"objective.alphabet_size: {section.alphabet_size} codes for {len(data.source)} data")
        return FiniteLatent(data, section.alphabet_size, likelihood, section.weight_prior_precision), data
    networks = Networks(
        mlp((data.x_dim, *section.encoder.hidden, 2 * section.encoder.latent_dim), section.encoder.activation),
        mlp((section.encoder.latent_dim, *section.decoder.hidden, data.x_dim), section.decoder.activation),
        nn.Linear(section.encoder.latent_dim, data.classes, device="meta"),
    )
    common: dict[str, Any] = {
        "data": data,
        "networks": networks,
        "latent_dim": section.encoder.latent_dim,
        "likelihood": likelihood,
        "samples": section.samples,
        "weight_prior_precision": section.weight_prior_precision,
        "seed": scenario.seed,
    }
    if isinstance(section, schema.ImportanceWeighted):
        return ImportanceWeighted(**common, importance_samples=section.importance_samples or section.samples), data
    return Amortised(**common), data


def _linear_gaussian(
    section: schema.LinearGaussian, path: Literal["mixture", "optimal_transport"], like: Tensor
) -> LinearGaussian:
    def moment(rows: schema.Matrix | None) -> Tensor | None:
        return None if rows is None else torch.tensor(rows, dtype=like.dtype, device=like.device)

    source = moment(section.source_second_moment)
    assert source is not None
    return LinearGaussian(
        x_dim=section.x_dim,
        y_dim=section.y_dim,
        latent_dim=section.latent_dim,
        distortion_variance=section.distortion_variance,
        label_variance=section.label_variance,
        source=source,
        target=moment(section.target_second_moment),
        path=path,
        weight_prior_precision=section.weight_prior_precision,
    )


def _likelihood(decoder: schema.MlpDecoder | schema.TableDecoder) -> Likelihood:
    return Gaussian(decoder.variance) if decoder.likelihood == "gaussian" else Bernoulli()


def _data(section: schema.Data, seed: int, folder: Path, likelihood: Likelihood, like: Tensor) -> Data:
    def selection(part: schema.Digits | schema.TorchvisionImages | schema.Npz) -> Selection:
        if isinstance(part, schema.Npz):
            path: Path | None = folder / part.file
        else:
            path = None if section.root is None else folder / section.root
        classes = None if part.classes == "all" else part.classes
        return Selection(part.name, classes, part.limit, path, section.download)

    assert section.source is not None  # the scenario's checks ask for it
    file = None if section.coupling is None else folder / section.coupling
    transport = Transport(file, section.label_cost)
    return load_data(
        selection(section.source),
        None if section.target is None else selection(section.target),
        section.validation_fraction,
        seed,
        unit_interval=isinstance(likelihood, Bernoulli),
        like=like,
        transport=transport if section.path == "optimal_transport" else None,
    )


def _preconditioner(name: str, damping: float, objective: Objective) -> Preconditioner:
    if name == "none":
        return Identity()
    if objective.size > MAX_SIZE:
        raise UserError(
            f"response.solver: a factor of {objective.size} parameters is too large (limit {MAX_SIZE}); use method cg "
            "with preconditioner none"
        )
    return Factorised(damping)


def _solver(scenario: Scenario, objective: Objective) -> LinearSolver:
    section = scenario.response.solver
    if isinstance(section, schema.Dense):
        _preconditioner("factorised", 0.0, objective)
        return Dense(section.damping)
    return ConjugateGradient(
        section.rtol,
        section.max_iterations,
        section.damping,
        _preconditioner(section.preconditioner, section.damping, objective),
    )


def _monitor(objective: Objective, solver: LinearSolver, fold: str) -> Monitor:
    if fold == "follow" and objective.size > MAX_SIZE:
        raise UserError(
            f"process.on_fold: follow forms A, and {objective.size} parameters are too many (limit {MAX_SIZE}); use "
            "stop or relax"
        )
    if isinstance(solver, ConjugateGradient):
        return Monitor(solver.preconditioner)
    return Monitor(_preconditioner("factorised", 0.0, objective))


def _integrator(scenario: Scenario) -> Integrator:
    section = scenario.integrator
    if isinstance(section, schema.AdaptiveStep) and section.rtol is not None:
        return Integrator(
            section.method, section.rtol, section.atol if section.atol is not None else 1e-2 * section.rtol
        )
    return Integrator(section.method)


def _step_size(scenario: Scenario) -> StepSize:
    start, end = scenario.process.span
    length = scenario.integrator.step_size or abs(end - start) / 10
    length = min(length, abs(end - start))
    return StepSize(length, scenario.integrator.smallest_step or min(1e-4, length / 16))


def _corrector(scenario: Scenario, solver: LinearSolver, tolerance: float) -> Corrector:
    section = scenario.corrector
    if isinstance(section, schema.NewtonKrylov):
        return NewtonKrylov(
            solver=solver,
            tolerance=section.tolerance or tolerance,
            constraint_tolerance=1e-10 if scenario.dtype == "float64" else 1e-5,
            max_iterations=section.max_iterations,
            holds_constraint=section.hold_constraint,
        )
    if isinstance(section, schema.Gradient):
        return Gradient(section.steps, section.peak_learning_rate)
    return NoCorrector()


def _start(scenario: Scenario, objective: Objective, folder: Path, like: Tensor) -> tuple[State, int]:
    section = scenario.start
    checkpoint = (
        None if section.from_ is None else _checkpoint(folder / section.from_, scenario.objective.kind, objective)
    )
    if checkpoint is None:
        theta = objective.initial(torch.Generator().manual_seed(scenario.seed)).to(like)
        lam, gamma = section.lam, section.gamma
    else:
        theta = checkpoint.theta.to(like)
        lam = float(checkpoint.controls[0]) if section.lam is None else section.lam
        gamma = float(checkpoint.controls[1]) if section.gamma is None else section.gamma
    if isinstance(scenario.process, schema.Prescribed):
        ends = scenario.process.path
        lam = ends.lam[0] if isinstance(ends.lam, tuple) else lam
        gamma = ends.gamma[0] if isinstance(ends.gamma, tuple) else gamma
    assert lam is not None and gamma is not None  # the scenario's checks ask for them
    position = _data_position(scenario)
    # An equilibrium of an earlier run would only be spoilt by Adam.
    adam_steps = section.equilibrate.adam_steps if checkpoint is None else 0
    return State(theta, torch.tensor([lam, gamma, position], dtype=torch.float64).to(like)), adam_steps


def _data_position(scenario: Scenario) -> float:
    """t at the start: where the path or the transfer begins, else the source."""
    section = scenario.process
    if isinstance(section, schema.Prescribed):
        return section.path.data_position[0]
    return section.span[0] if isinstance(section, schema.IsoClassificationTransfer | schema.GeodesicTransfer) else 0.0


def _checkpoint(run: Path, kind: str, objective: Objective) -> Checkpoint:
    checkpoint = load_checkpoint(last_checkpoint(run))
    if (other := checkpoint.objective.split(" ")[0]) != kind:
        raise DataError(f"start.from: {run} is a run of the objective {other}, this one is {kind}")
    if checkpoint.theta.shape[0] != objective.size:
        raise DataError(
            f"start.from: {run} has {checkpoint.theta.shape[0]} parameters, this objective has {objective.size}"
        )
    return checkpoint


def _process(scenario: Scenario, start: State) -> Process:
    section = scenario.process
    if isinstance(section, schema.IsoClassification):
        return IsoFunctional(section.span, (0.0, 0.0, 1.0), section.clock)
    if isinstance(section, schema.IsoFunctional):
        hold = section.hold
        return IsoFunctional(section.span, (hold.rate, hold.distortion, hold.classification_loss), section.clock)
    if isinstance(section, schema.IsoClassificationTransfer):
        return IsoClassificationTransfer(section.span, section.lam_rate)
    if isinstance(section, schema.GeodesicTransfer):
        if section.toward is not None:
            # The way to the goal; the geodesic begins when its slope is known.
            lam, gamma = (start.lam, section.toward.lam), (start.gamma, section.toward.gamma)
            return Prescribed(section.span, lam, gamma, section.span)
        assert section.slope is not None  # the scenario's checks ask for one of the two
        return GeodesicTransfer(section.span, section.slope)

    def ends(value: float | tuple[float, float], first: float) -> tuple[float, float]:
        return value if isinstance(value, tuple) else (first, value)

    lam, gamma = ends(section.path.lam, start.lam), ends(section.path.gamma, start.gamma)
    if section.shape == "exponential" and min(*lam, *gamma) <= 0:
        raise UserError("process.path: an exponential path needs positive multipliers at both ends")
    return Prescribed(section.span, lam, gamma, section.path.data_position, section.shape)
