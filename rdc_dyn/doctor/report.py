"""Check the derivatives of a scenario's objective at θ₀ and near it, measure what they cost, and print the findings."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.doctor.checks import Check, examinations
from rdc_dyn.doctor.measure import measure
from rdc_dyn.doctor.scaled_state import ScaledState
from rdc_dyn.doctor.trials import Scan, Trial
from rdc_dyn.dynamics import State
from rdc_dyn.objective.own_modules import Own
from rdc_dyn.running.build import build
from rdc_dyn.scenario import Scenario
from rdc_dyn.status import UserError

#: Distance between the two places, relative to the scale of θ₀. Where an objective starts, parts of its derivatives
#: vanish by symmetry, and an error in what vanishes does not show.
_AWAY = 0.1


@dataclass(frozen=True)
class Report:
    """Checks, each at the place where it is worst, and further numbers as names and values in words."""

    checks: tuple[Check, ...] = ()
    measures: Mapping[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def examine(places: Sequence[ScaledState]) -> tuple[Check, ...]:
    """All checks of an objective at one or more places, each where it is worst."""
    worst: dict[str, Check] = {}
    for place in places:
        # The first check is whether numbers are finite; if first derivatives are not, no other check makes sense.
        first, *others = examinations(place.free_energy.objective)
        for check in (first.of(place), *(each.of(place) for each in others if place.exists)):
            worst[check.name] = max(worst.get(check.name, check), check, key=lambda one: one.strain)
    return tuple(worst.values())


def two_places(free_energy: FreeEnergy, start: State) -> tuple[ScaledState, ScaledState]:
    """θ₀, where a run begins before it equilibrates, and a place near it."""
    here = ScaledState(free_energy, start)
    away = _AWAY * here.length * ScaledState(free_energy, start, seed=1).directions(1)[0]
    return here, ScaledState(free_energy, State(start.theta + away, start.controls), seed=2)


def diagnose(scenario: Scenario, folder: Path, device: str | None = None, networks: Own | None = None) -> Report:
    """Check the objective of a scenario as a run would evaluate it; raises UserError under torchrun."""
    built = build(scenario, folder, device, networks)
    if built.group is not None:
        raise UserError("doctor: looks at the derivatives of one process; start it without torchrun")
    # A from some of the data (linearisation.curvature_data) is deliberately not the derivative of ∇J.
    free_energy = replace(built.problem.free_energy, work=Work(), curvature=None, curvature_share=1.0)
    start = built.problem.start
    checks = examine(two_places(free_energy, start))
    return Report(checks, measure(scenario, free_energy, start) if checks[0].passed else {})


def show(checks: Sequence[Check], facts: Mapping[str, str], console: Console | None = None) -> None:
    """Print checks and facts; in colour, and hints with the name of their check, on `console` or a terminal."""
    plain = console is None and not sys.stdout.isatty()
    console = console or Console(force_terminal=not plain)
    width = max(map(len, [*(check.name for check in checks), *facts]), default=0)
    for check in checks:
        verdict = ("ok", "green") if check.passed else ("FAILED", "bold red")
        numbers = f"{check.name:<{width}}  {check.value:8.1e} <= {check.bound:7.1e}  "
        console.print(Text.assemble(numbers, verdict), soft_wrap=True)
        if not check.passed:
            console.print(Text.assemble("  " if plain else (f"{check.name}: ", "bold red"), check.hint), soft_wrap=True)
    if checks and facts:
        console.print()
    for name, value in facts.items():
        console.print(Text.assemble((f"{name:<{width}}", "bold"), f"  {value}"), soft_wrap=True)


def show_scan(found: Iterable[Trial | Scan], rho: float | None, console: Console | None = None) -> bool:
    """Print the trials of a scan of a scenario with this ρ; whether there is a start from which D and C respond."""
    console = console or Console(highlight=False, soft_wrap=True)
    scan = None
    with console.status("training") as status:
        for each in found:
            if isinstance(each, Trial):
                status.update(f"trained at lam {each.lam:.4g}, gamma {each.gamma:.4g}, rho {each.rho:.3g}")
            else:
                console.print(_table(each))
                scan = each
    if scan is None or scan.best is None:
        console.print("D and C respond at none of these starts; use more units or latent dimensions")
        return False
    best = scan.best
    keys = {"start.lam": best.lam, "start.gamma": best.gamma} if (best.lam, best.gamma) != scan.start else {}
    if best.rho != rho:
        keys["objective.weight_prior_precision"] = best.rho
    begin = " ".join(f"--set {key}={value:.4g}" for key, value in keys.items())
    console.print(f"begin with {begin}" if keys else "D and C respond where the scenario starts")
    return True


def _table(scan: Scan) -> Table:
    table = Table("lam", "gamma", "rho", "R", "D", "C", "verdict", box=None, header_style="bold")
    for trial, verdict in zip(scan.trials, scan.verdicts):
        numbers = (trial.lam, trial.gamma, trial.rho, trial.rate, trial.distortion, trial.classification_loss)
        style = "green" if verdict == "responds" else ""
        table.add_row(*(f"{number:.4g}" for number in numbers), verdict + " <-" * (trial is scan.best), style=style)
    return table
