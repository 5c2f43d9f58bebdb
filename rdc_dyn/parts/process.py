"""Build the initial state and the process from the sections `start` and `process`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rdc_dyn.dynamics import GeodesicTransfer, IsoClassificationTransfer, IsoFunctional, Prescribed, Process, State
from rdc_dyn.objective import Objective
from rdc_dyn.output.checkpoint import Checkpoint, load_checkpoint
from rdc_dyn.output.run_directory import last_checkpoint
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.status import DataError, UserError


def build_start(scenario: Scenario, objective: Objective, folder: Path, like: Tensor) -> tuple[State, int]:
    """θ and controls from which the first equilibrium is sought, and the number of Adam steps to take.

    A DataError reports an earlier run, named by `start.from` relative to `folder`, that does not fit.
    """
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
    # Adam would only spoil the equilibrium of an earlier run.
    adam_steps = section.equilibrate.adam_steps if checkpoint is None else 0
    return State(theta, torch.tensor([lam, gamma, position], dtype=torch.float64).to(like)), adam_steps


def _data_position(scenario: Scenario) -> float:
    """t at the start: where the path or the transfer begins, otherwise 0, the source."""
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


def build_process(scenario: Scenario, start: State) -> Process:
    """The process that moves the controls; for a geodesic with a goal, the straight path in (λ, γ, t) to it.

    A UserError reports a process that cannot begin at `start`.
    """
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
            # The path to the goal; the geodesic begins once its slope is known.
            lam, gamma = (start.lam, section.toward.lam), (start.gamma, section.toward.gamma)
            return Prescribed(section.span, lam, gamma, section.span)
        assert section.slope is not None  # the scenario's checks ask for one of the two
        if abs(1 + section.slope * start.lam) < 1e-9:  # lam may come from an earlier run, which no check has seen
            raise UserError(
                f"process.slope: is -1/lam at lam = {start.lam:g}, the slope of the iso-classification curve itself, "
                "where no geodesic starts"
            )
        return GeodesicTransfer(section.span, section.slope)

    def ends(value: float | tuple[float, float], first: float) -> tuple[float, float]:
        return value if isinstance(value, tuple) else (first, value)

    lam, gamma = ends(section.path.lam, start.lam), ends(section.path.gamma, start.gamma)
    if section.shape == "exponential" and min(*lam, *gamma) <= 0:
        raise UserError("process.path: an exponential path needs positive multipliers at both ends")
    return Prescribed(section.span, lam, gamma, section.path.data_position, section.shape)


def singular_points(scenario: Scenario, objective: Objective) -> tuple[Literal["stop", "relax", "follow"], bool]:
    """What happens where a branch of minima ends, and whether the path looks ahead for such places.

    By default nothing takes products with A where the response was chosen to avoid them.
    """
    process, curved = scenario.process, isinstance(scenario.response, schema.LinearResponse)
    relaxes = curved and not objective.exact and scenario.start.equilibrate.newton_steps > 0
    fold = process.on_fold or ("relax" if relaxes else "stop")
    looks = objective.exact and curved if process.look_ahead is None else process.look_ahead
    return fold, fold == "follow" or looks
