"""Equilibria on a grid of (λ, γ), each started from the one before it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rdc_dyn import scenario as scenarios

if TYPE_CHECKING:
    import xarray as xr

    from rdc_dyn.objective.own_modules import Own
    from rdc_dyn.running.progress import Callback, Progress


def surface(
    scenario: scenarios.Source,
    lam: Sequence[float],
    gamma: Sequence[float],
    output: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    max_time: float | None = None,
    progress: Progress | Callback | Literal["auto", False] | None = "auto",
    networks: Own | None = None,
    trust: bool = False,
) -> xr.Dataset:
    """Compute the equilibrium surface over a grid of (λ, γ).

    The first node is equilibrated from scratch. From there a run of the process `grid` goes from node to node by the
    response matrix and the scenario's corrector, row by row, back and forth. It is a run like any other: `resume` goes
    on with it, and `rdc_dyn.open_run(output).rdc.surface()` is what this returns.

    Args:
        scenario: A scenario, a mapping with its keys, the path of a YAML file, or the name of a shipped example. Its
            process, integrator, start.lam and start.gamma give way to the grid.
        lam: Values of λ, rising or falling.
        gamma: Values of γ.
        output: Run directory to write; None keeps everything in memory.
        device: Overrides the scenario's device: auto, cpu, cuda or cuda:N.
        max_time: Seconds after which the run stops, at the next point or while the start is trained.
        progress: Receives the progress of the run, as in `rdc_dyn.run`.
        networks: Modules for the parts of the objective whose kind is module, as in `rdc_dyn.run`.
        trust: Whether the code of files that the scenario names may run.

    Returns:
        The variables of a trajectory with the dimensions `lam` and `gamma` in place of `time`; see
        `rdc_dyn.read.surface.surface`.

    Raises:
        ScenarioError: If the scenario or the grid has errors; all are listed.
        UserError: As `rdc_dyn.run` does.
        DataError: If data cannot be used or files cannot be written.
    """
    from rdc_dyn.read.surface import surface as as_surface
    from rdc_dyn.running.progress import chosen
    from rdc_dyn.running.runner import run

    shown, document = chosen(progress), on_grid(scenarios.read(scenario), lam, gamma)
    return as_surface(
        run(document, output, device=device, max_time=max_time, progress=shown, networks=networks, trust=trust)
    )


def on_grid(
    document: scenarios.Document, lam: Sequence[float], gamma: Sequence[float], overrides: Sequence[str] = ()
) -> scenarios.Document:
    """The scenario of a surface, with overrides of its other keys; not validated yet."""
    axes = [[float(value) for value in axis] for axis in (lam, gamma)]
    grid = f"process={{kind: grid, lam: {axes[0]}, gamma: {axes[1]}}}"
    first = [f"start.{key}={axis[0]!r}" for key, axis in zip(("lam", "gamma"), axes) if axis]
    walked = [grid, "integrator={method: euler, step_size: 1}", "sweep=null", *first]
    return scenarios.apply_overrides(document, [*walked, *overrides])
