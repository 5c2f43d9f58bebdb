"""The report of a run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from rdc_dyn.output.events import EVENTS, events
from rdc_dyn.output.identities import geodesic_straightness
from rdc_dyn.output.plots import plot_dissipation, plot_losses, plot_residuals, plot_surface3d, plot_trajectory
from rdc_dyn.output.report.numbers import gradient_equivalents, last, provenance_rows, worst
from rdc_dyn.output.report.page import Section, figure, page, paragraph, table, verbatim
from rdc_dyn.status import DataError

_SUMMARY = ("time", "lam", "gamma", "data_position", "rate", "distortion", "classification_loss", "weight_penalty",
            "free_energy", "accuracy", "code_accuracy", "validation_distortion", "validation_classification_loss",
            "validation_accuracy", "validation_code_accuracy", "validation_target_classification_loss",
            "validation_target_accuracy", "validation_target_code_accuracy",
            "smallest_eigenvalue", "dissipation", "dissipation_error", "ageing", "gradient_noise")  # fmt: skip
_COST = ("gradient_evaluations", "hessian_vector_products", "vector_field_evaluations", "krylov_iterations",
         "corrector_iterations", "wall_time")  # fmt: skip
#: The table of events stops after this many; the trajectory has them all.
MOST_EVENTS = 200


def run_report(trajectory: xr.Dataset) -> str:
    """An HTML page on a run, from its summary to its scenario; DataError if the trajectory has no points."""
    attributes = trajectory.attrs
    if not trajectory.sizes["time"]:
        raise DataError(f"the trajectory has no points ({attributes.get('status_message', 'no status')})")
    status, detail = str(attributes.get("status", "")), str(attributes.get("status_detail", ""))
    sentence = f"{status.lower().replace('_', ' ')}: {attributes.get('status_message', '')}"
    sections = [
        Section("Summary", _summary(trajectory)),
        Section("Residuals", _residuals(trajectory)),
        Section("Cost", _cost(trajectory)),
        Section("Figures", _figures(trajectory)),
        Section("Events", _events(trajectory)),
        Section("Provenance", table(("attribute", "value"), provenance_rows(attributes))),
        Section("Scenario", verbatim(str(attributes.get("scenario", "")))),
    ]
    lead = paragraph(sentence + (f" ({detail})" if detail else ""), bad=status != "COMPLETED")
    return page(str(attributes.get("title", "run")), lead, sections)


def _summary(trajectory: xr.Dataset) -> str:
    rows = []
    for name in _SUMMARY:
        if name in trajectory and np.isfinite(trajectory[name].values).any():
            values, attrs = trajectory[name].values, trajectory[name].attrs
            units, text = str(attrs.get("units", "1")), str(attrs.get("long_name", ""))
            rows.append((name, float(values[0]), float(values[-1]), units, text))
    return paragraph(f"{trajectory.sizes['time']} recorded points.") + table(
        ("variable", "first", "last", "unit", "what it is"), rows
    )


def _residuals(trajectory: xr.Dataset) -> str:
    rows: list[tuple[str, str | float, str | float, str]] = [
        (name, f"{value:.2e}", time, unit) for name, value, time, unit in worst(trajectory)
    ]
    straight = geodesic_straightness(trajectory)
    if np.isfinite(straight):
        rows.append(("distance of (R, D) from its chord, relative", f"{straight:.2e}", float("nan"), "1"))
    return table(("residual", "largest value", "at time", "unit"), rows)


def _cost(trajectory: xr.Dataset) -> str:
    rows = [(str(trajectory[name].attrs.get("long_name", name)), last(trajectory, name)) for name in _COST]
    total = ("gradient-equivalents: a gradient, or 0.8 products", gradient_equivalents(trajectory))
    return table(("what", "total"), [*rows, total])


def _figures(trajectory: xr.Dataset) -> str:
    drawn = [
        figure(plot_trajectory(trajectory), "Path, multipliers, losses and residuals."),
        figure(plot_losses(trajectory), "Rate, distortion and classification loss over the process clock."),
        figure(plot_residuals(trajectory), "Residuals over the process clock; zero is drawn at 1e-17."),
        figure(plot_surface3d(trajectory), "The path in (R, D, C); the ring is its start."),
    ]
    if "dissipation" in trajectory:
        text = "What the path loses, with its error; what its points still lose in an epoch; accuracies."
        drawn.append(figure(plot_dissipation(trajectory), text))
    return "\n".join(drawn)


def _events(trajectory: xr.Dataset) -> str:
    if EVENTS not in trajectory.attrs:
        return paragraph("This trajectory carries no events.")
    found = events(trajectory)
    count = found.sizes["event"]
    shown = found.isel(event=slice(MOST_EVENTS))
    rows = [
        (float(one.time), str(one.kind.item()), float(one.step_size), float(one.halved_to), str(one.text.item()))
        for one in (shown.isel(event=k) for k in range(shown.sizes["event"]))
    ]
    text = f"{count} events." if count <= MOST_EVENTS else f"The first {MOST_EVENTS} of {count} events."
    return paragraph(text) + table(("time", "kind", "step", "halved to", "what"), rows)
