"""`rdc-dyn surface`: equilibria on a grid of multipliers."""

from __future__ import annotations

import math
from pathlib import Path

import click

from rdc_dyn.cli.help import RUNS, Documented
from rdc_dyn.cli.shared import DEVICE, OVERRIDE, PLACE, QUIET, SCENARIO, TRUST, conclude, listen, seconds, tell


def _axis(context: click.Context, parameter: click.Parameter, value: str) -> list[float]:
    """Callback of an option that takes 0.1:2:9 (nine values), 1:16:9:log, or single values with commas."""
    try:
        if ":" not in value:
            return [float(part) for part in value.split(",")]
        first, last, count, *spacing = value.split(":")
        low, high, number = float(first), float(last), int(count)
        if number < 2 or spacing not in ([], ["log"]) or (spacing and min(low, high) <= 0):
            raise ValueError
    except ValueError:
        message = f"{value!r} is no axis; expected for example 0.1:2:9, 1:16:9:log or 1,2,4"
        raise click.BadParameter(message) from None
    shares = [k / (number - 1) for k in range(number)]
    if spacing:
        inner = [math.exp((1 - t) * math.log(low) + t * math.log(high)) for t in shares]
    else:
        inner = [(1 - t) * low + t * high for t in shares]
    return [low, *inner[1:-1], high]


@click.command(
    cls=Documented, examples=("rdc-dyn surface my.yaml --lam 0.1:2:9 --gamma 1:16:9:log -o runs/surface",), exits=RUNS
)
@click.argument("scenario", type=SCENARIO)
@click.option("--lam", required=True, callback=_axis, metavar="FROM:TO:N[:log]", help="Values of lam, as 0.1:2:9.")
@click.option("--gamma", required=True, callback=_axis, metavar="FROM:TO:N[:log]", help="Values of gamma.")
@click.option("-o", "--output", required=True, type=PLACE, help="Run directory to write.")
@OVERRIDE
@DEVICE
@click.option("--max-time", callback=seconds, metavar="TIME", help="Stop at the next node after 90s, 50m, 2h, ...")
@TRUST
@QUIET
def surface(
    scenario: Path,
    lam: list[float],
    gamma: list[float],
    output: Path,
    overrides: tuple[str, ...],
    device: str | None,
    max_time: float | None,
    trust: bool,
    quiet: bool,
) -> None:
    """Equilibrate SCENARIO at every node of a grid of (lam, gamma), each from the one before.

    The directory is that of a run: `rdc-dyn resume` goes on with it, and in Python open_run(OUTPUT).rdc.surface() is
    the surface.
    """
    from rdc_dyn import scenario as scenarios
    from rdc_dyn.store.run_directory import require_vacant

    require_vacant(output)
    from rdc_dyn.read.surface import concavity_gap
    from rdc_dyn.read.surface import surface as as_surface
    from rdc_dyn.running.progress import choose_progress
    from rdc_dyn.running.runner import run_scenario
    from rdc_dyn.sweeps.equilibrium_surface import on_grid

    document = on_grid(scenarios.read(scenario), lam, gamma, overrides)
    loaded = scenarios.resolve(document)
    listen()
    trajectory = run_scenario(
        loaded,
        scenario.resolve().parent,
        output,
        document=document,
        device=device,
        max_time=max_time,
        progress=choose_progress(quiet),
        trust=trust,
    )
    if trajectory.attrs["status"] == "COMPLETED":
        gap = concavity_gap(as_surface(trajectory))
        where = {name: float(gap[name][index]) for name, index in gap.argmax(("lam", "gamma")).items()}
        above = f" but for {float(gap.max()):.3g} nat at lam = {where['lam']:.6g}, gamma = {where['gamma']:.6g}"
        tell(f"{len(lam)} x {len(gamma)} equilibria; F is concave" + (above if float(gap.max()) > 0 else ""))
    conclude(trajectory, output)
