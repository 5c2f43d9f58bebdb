"""The report of a run."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from rdc_dyn.read.events import events
from rdc_dyn.read.identities import first_law_residual, free_energy_closure, geodesic_straightness, maxwell_residual
from rdc_dyn.read.plots import plot_dissipation, plot_losses, plot_residuals, plot_surface3d, plot_trajectory
from rdc_dyn.read.plots.interactive import interactive_part, trajectory_page
from rdc_dyn.read.plots.runs import Runs
from rdc_dyn.read.report.page import Section, Table, page
from rdc_dyn.read.shown import note
from rdc_dyn.record import GRADIENTS_PER_PRODUCT
from rdc_dyn.status import DataError, sentence
from rdc_dyn.store.run_directory import EVENTS

_SUMMARY = ("time", "lam", "gamma", "data_position", "rate", "distortion", "classification_loss", "weight_penalty",
            "free_energy", "accuracy", "code_accuracy", "validation_distortion", "validation_classification_loss",
            "validation_accuracy", "validation_code_accuracy", "validation_target_classification_loss",
            "validation_target_accuracy", "validation_target_code_accuracy",
            "smallest_eigenvalue", "dissipation", "dissipation_error", "ageing", "gradient_noise")  # fmt: skip
_COST = ("gradient_evaluations", "hessian_vector_products", "vector_field_evaluations", "krylov_iterations",
         "corrector_iterations", "wall_time")  # fmt: skip
#: Attributes that a report shows elsewhere, or not at all.
_ELSEWHERE = {"scenario", "events", "title", "Conventions", "references", "status", "status_message", "status_detail"}
#: The table of events stops after this many; the trajectory has them all.
MOST_EVENTS = 200
GRADIENT_EQUIVALENTS = f"gradients + {GRADIENTS_PER_PRODUCT} Hessian-vector products"


def run_report(trajectory: xr.Dataset, *, interactive: bool = False) -> str:
    """An HTML page on a run, from its summary to its scenario; DataError if the trajectory has no points.

    With `interactive` it has a figure that one can turn, and scripts for that; else it has none.
    """
    attributes = trajectory.attrs
    if not trajectory.sizes["time"]:
        raise DataError(f"the trajectory has no points ({attributes.get('status_message', 'no status')})")
    status, detail = str(attributes.get("status", "")), str(attributes.get("status_detail", ""))
    lead = sentence(status, str(attributes.get("status_message", "")), detail)
    sections = (
        Section("Summary", f"{trajectory.sizes['time']} recorded points. {note(trajectory)}", [_summary(trajectory)]),
        Section("Residuals", tables=[_residuals(trajectory)]),
        Section("Cost", tables=[_cost(trajectory)]),
        *explored(trajectory, interactive),
        Section("Figures", figures=_figures(trajectory)),
        _events(trajectory),
        Section("Provenance", tables=[Table(("attribute", "value"), list(provenance(trajectory).items()))]),
        Section("Scenario", verbatim=str(attributes.get("scenario", ""))),
    )
    return page(str(attributes.get("title", "run")), lead, sections, bad=status != "COMPLETED")


def _summary(trajectory: xr.Dataset) -> Table:
    rows = []
    for name in _SUMMARY:
        if name in trajectory and np.isfinite(trajectory[name].values).any():
            values, attrs = trajectory[name].values, trajectory[name].attrs
            units, text = str(attrs.get("units", "1")), str(attrs.get("long_name", ""))
            rows.append((name, float(values[0]), float(values[-1]), units, text))
    return Table(("variable", "first", "last", "unit", "what it is"), rows)


def _residuals(trajectory: xr.Dataset) -> Table:
    rows = [
        (name, f"{float(residual.max()):.2e}", float(residual.idxmax()), unit)
        for name, (residual, unit) in residuals(trajectory).items()
        if np.isfinite(residual.values).any()
    ]
    straight = geodesic_straightness(trajectory)
    if np.isfinite(straight):
        rows.append(("distance of (R, D) from its chord, relative", f"{straight:.2e}", float("nan"), "1"))
    return Table(("residual", "largest value", "at time", "unit"), rows)


def _cost(trajectory: xr.Dataset) -> Table:
    rows = [(str(trajectory[name].attrs.get("long_name", name)), float(trajectory[name][-1])) for name in _COST]
    return Table(
        ("what", "total"), [*rows, (f"gradient-equivalents: {GRADIENT_EQUIVALENTS}", gradient_equivalents(trajectory))]
    )


def explored(runs: Runs, interactive: bool) -> tuple[Section, ...]:
    """A section with a figure that one can turn, if there is to be one."""
    if not interactive:
        return ()
    text = "A mark follows the mouse, and the slider, through all panels; drag the path in (R, D, C) to turn it."
    return (Section("Explore", text, markup=interactive_part(trajectory_page(runs))),)


def _figures(trajectory: xr.Dataset) -> list[tuple[Figure, str]]:
    drawn = [
        (plot_trajectory(trajectory), "Path, multipliers, losses and residuals."),
        (plot_losses(trajectory), "Rate, distortion and classification loss over the process clock."),
        (plot_residuals(trajectory), "Residuals over the process clock; zero is drawn at 1e-17."),
        (plot_surface3d(trajectory), "The path in (R, D, C); the ring is its start."),
    ]
    if "dissipation" in trajectory:
        text = "What the path loses, with its error; what its points still lose in an epoch; accuracies."
        drawn.append((plot_dissipation(trajectory), text))
    return drawn


def _events(trajectory: xr.Dataset) -> Section:
    if EVENTS not in trajectory.attrs:
        return Section("Events", "This trajectory carries no events.")
    found = events(trajectory)
    count = found.sizes["event"]
    text = (
        f"{count} event{'s' * (count != 1)}." if count <= MOST_EVENTS else f"The first {MOST_EVENTS} of {count} events."
    )
    shown = found.isel(event=slice(MOST_EVENTS)).to_dataframe()[["time", "kind", "step_size", "halved_to", "text"]]
    headers = ("time", "kind", "step", "halved to", "what")
    return Section("Events", text, [Table(headers, shown.to_numpy().tolist())])


def gradient_equivalents(trajectory: xr.Dataset) -> float:
    """The total cost of a trajectory that has points, in gradients."""
    end = trajectory.isel(time=-1)
    return float(end.gradient_evaluations + GRADIENTS_PER_PRODUCT * end.hessian_vector_products)


def residuals(trajectory: xr.Dataset) -> dict[str, tuple[xr.DataArray, str]]:
    """Every residual by its name in words: its magnitudes along `time`, and its unit."""
    return {
        "equilibrium |∇J|": (abs(trajectory.equilibrium_residual), "nat"),
        "held functional |h − h₀|": (abs(trajectory.constraint_residual), "nat"),
        "linear solves |b − Au| / |b|": (abs(trajectory.krylov_residual), "1"),
        "Maxwell |D_γ − C_λ| / √(D_λ C_γ)": (maxwell_residual(trajectory), "1"),
        "first law of a step": (abs(first_law_residual(trajectory)), "nat"),
        "closure of F against the work": (abs(free_energy_closure(trajectory)), "nat"),
    }


def provenance(trajectory: xr.Dataset) -> dict[str, str]:
    """The attributes that say where a trajectory comes from."""
    return {str(name): str(value) for name, value in trajectory.attrs.items() if name not in _ELSEWHERE}
