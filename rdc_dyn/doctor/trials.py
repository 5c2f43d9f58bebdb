"""Look for multipliers and a weight prior at which D and C respond, by short trainings on a grid around a start."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics import State
from rdc_dyn.objective.base import OverData
from rdc_dyn.objective.own_modules import Own
from rdc_dyn.running.build import Built, build
from rdc_dyn.scenario import Scenario
from rdc_dyn.simulate.collapse import NOTHING, label_entropy
from rdc_dyn.simulate.problem import Problem
from rdc_dyn.simulate.start import adam, begin
from rdc_dyn.status import NumericalFailure, UserError

#: Multiples of start.lam, start.gamma and weight_prior_precision that are tried; codes close more easily than they
#: open again, so the grid is walked from where they are most open.
MULTIPLES = (10.0, 3.0, 1.0, 1 / 3)
PRIORS = (1.0, 0.1, 0.01)
#: Adam steps from scratch and at each point of a grid, data in a minibatch, and data that R, D, C are of.
FIRST, FURTHER, BATCH, MEASURED = 600, 150, 256, 2000
#: A neighbour a factor of three away must change C by this share, and D by this share of its range over the grid.
_RESPONDS = 0.02
#: Where codes are closed at the start's multipliers times ten, the grid moves to larger ones, up to this factor.
_WIDEST = 1e4
#: Shares of the entropy of the labels above which C is nearly that of a guess, and below which none is left to trade.
_GUESSED, _NONE_LEFT = 0.95, 0.01

Verdict = Literal[
    "diverged",
    "collapsed",
    "guesses labels",
    "C is almost zero",
    "hardly responds",
    "responds",
    "collapses from scratch",
]
_CLOSED = ("diverged", "collapsed", "guesses labels")


@dataclass(frozen=True)
class Trial:
    """A short training: its multipliers, its weight prior ρ, and the R, D and C that it came to, in nats."""

    lam: float
    gamma: float
    rho: float
    rate: float
    distortion: float
    classification_loss: float

    def verdict(self, others: Sequence[Trial], entropy: float) -> Verdict:
        """What a path from here would meet, judged beside the other trials of the same ρ."""
        if not math.isfinite(self.rate):
            return "diverged"
        others = [each for each in others if math.isfinite(each.rate)]
        if self.rate < 10 * NOTHING:
            return "collapsed"
        if self.classification_loss > _GUESSED * entropy:
            return "guesses labels"
        if self.classification_loss < _NONE_LEFT * entropy:
            return "C is almost zero"
        spread = max(o.distortion for o in others) - min(o.distortion for o in others)
        along_gamma = [o for o in others if o.lam == self.lam and o is not self]
        along_lam = [o for o in others if o.gamma == self.gamma and o is not self]
        c = max((abs(o.classification_loss - self.classification_loss) for o in along_gamma), default=0.0)
        d = max((abs(o.distortion - self.distortion) for o in along_lam), default=0.0)
        moves = c > _RESPONDS * self.classification_loss and d > _RESPONDS * spread
        return "responds" if moves else "hardly responds"


@dataclass(frozen=True)
class Scan:
    """All trials at one ρ with their verdicts, and the best of them: the one nearest to the start, or None.

    Attributes:
        start: (λ, γ) of the scenario's start.
    """

    trials: tuple[Trial, ...]
    verdicts: tuple[Verdict, ...]
    best: Trial | None
    start: tuple[float, float]


def scan(
    scenario: Scenario, folder: Path, device: str | None = None, networks: Own | None = None
) -> Iterator[Trial | Scan]:
    """Scan at the scenario's ρ, and at smaller ones for as long as nothing responds: trials as they come, then a scan.

    Raises UserError where there are no labelled data.
    """
    rho = getattr(scenario.objective, "weight_prior_precision", None)
    for share in PRIORS if rho else (1.0,):
        update = {} if not rho else {"weight_prior_precision": share * rho}
        objective = scenario.objective.model_copy(update=update)
        built = build(scenario.model_copy(update={"objective": objective}), folder, device, networks)
        found = yield from _grid(built)
        yield found
        if found.best is not None:
            return


def _grid(built: Built) -> Generator[Trial, None, Scan]:
    problem = built.problem
    lam, gamma, data_position = problem.start.controls.tolist()
    entropy = label_entropy(problem.free_energy.objective, data_position)
    if entropy is None or built.group is not None:
        raise UserError("doctor --scan: needs an objective over labelled data, on one process")
    if not (lam > 0 and gamma > 0):
        raise UserError(f"doctor --scan: the start is at lam = {lam:g}, gamma = {gamma:g}; expected both above zero")
    shift, theta = yield from _opening(problem)
    trials: list[Trial] = []
    for row, first in enumerate(MULTIPLES):
        for second in MULTIPLES if row % 2 == 0 else MULTIPLES[::-1]:
            controls = problem.start.controls * theta.new_tensor([shift * first, shift * second, 1.0])
            theta, trial = _trained(problem, State(theta, controls), FURTHER)
            yield trial
            trials.append(trial)
    verdicts = [trial.verdict(trials, entropy) for trial in trials]
    best = None
    for trial in sorted(trials, key=lambda each: math.hypot(math.log(each.lam / lam), math.log(each.gamma / gamma))):
        number = trials.index(trial)
        if verdicts[number] != "responds":
            continue
        controls = problem.start.controls.new_tensor([trial.lam, trial.gamma, data_position])
        _, again = _trained(problem, State(problem.start.theta, controls), FIRST)
        if again.verdict(trials, entropy) in _CLOSED:  # open codes stay open for a while where none would open
            verdicts[number] = "collapses from scratch"
            continue
        best = trial
        break
    return Scan(tuple(trials), tuple(verdicts), best, (lam, gamma))


def _opening(problem: Problem) -> Generator[Trial, None, tuple[float, torch.Tensor]]:
    """The factor by which both multipliers must grow for the grid's largest ones to open codes, and θ there."""
    shift = 1.0
    while shift < _WIDEST:
        corner = problem.start.controls * problem.start.theta.new_tensor([shift * max(MULTIPLES)] * 2 + [1.0])
        theta, trial = _trained(problem, State(problem.start.theta, corner), FIRST)
        yield trial
        if trial.rate >= 10 * NOTHING:
            return shift, theta
        shift *= 10.0
    return 1.0, problem.start.theta


def _trained(problem: Problem, state: State, steps: int) -> tuple[torch.Tensor, Trial]:
    """θ after a short training from a state, and what it came to; a training that diverges starts anew from there."""
    objective = problem.free_energy.objective
    batch = BATCH if isinstance(objective, OverData) and max(objective.data.parts.values()) > BATCH else None
    short = replace(problem, start=state, adam_steps=steps, adam_batch=batch, drop_every=None)
    lam, gamma, _ = state.controls.tolist()
    try:
        theta = adam(short, begin(short), None, short.adam_steps).theta
    except NumericalFailure:
        return problem.start.theta, Trial(lam, gamma, objective.weight_prior_precision, *[math.nan] * 3)
    rate, distortion, loss = _measured(problem.free_energy).functionals(theta, state.controls).tolist()
    return theta, Trial(lam, gamma, objective.weight_prior_precision, rate, distortion, loss)


def _measured(free_energy: FreeEnergy) -> FreeEnergy:
    """J on some of the data, the same for all trials."""
    if not isinstance(free_energy.objective, OverData):
        return free_energy
    return free_energy.minibatch(MEASURED, torch.Generator().manual_seed(0))
