"""Run directories without a run: trajectories whose errors follow a law that is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.store.dataset import to_dataset, write_netcdf
from rdc_dyn.store.run_directory import TRAJECTORY
from tests.tiny import ATTRIBUTES, linear_gaussian, record

#: A weight prior takes the closed form away, so that made-up numbers have a run as their reference.
_OBJECTIVE = {"weight_prior_precision": 0.1}


def write_run(
    path: Path, step_size: float, error: float, *, status: str = "COMPLETED", digest: str = "d", **changes: Any
) -> None:
    """A run whose (λ, γ) and (R, D, C) are off by `error` at the end of the span, and less before."""
    changes = {"objective": _OBJECTIVE, "process": {"span": [0.0, 1.0]}} | changes
    tree = linear_gaussian(**{"integrator": {"method": "euler", "step_size": step_size}, **changes})
    text = dump(from_mapping(tree))
    times = np.arange(0, 1 + 1e-9, step_size) if step_size <= 0.5 else np.array([0.0, 1.0])
    records = [
        record(
            float(s),
            lam=1 + s + error * s,
            gamma=2 + s,
            rate=1 - s,
            distortion=3 - s + error * s,
            constraint_residual=0.0,
            equilibrium_residual=1e-12,
            gradient_evaluations=5 + 10 * s / step_size,
            hessian_vector_products=20 * s / step_size,
            vector_field_evaluations=s / step_size,
            wall_time=0.1 + s / step_size,
        )
        for s in times
    ]
    path.mkdir(parents=True)
    attributes = ATTRIBUTES | {"scenario": text, "status": status, "status_message": "so", "data_digest": digest}
    write_netcdf(to_dataset(records, attributes), path / TRAJECTORY)


STEPS = (0.25, 0.125, 0.0625, 0.03125)


def write_series(folder: Path, law: Callable[[float], float], steps: tuple[float, ...] = STEPS) -> None:
    """A run for each step, and one without error, which is of another series: a series tells its own run's error."""
    for h in steps:
        write_run(folder / f"h{h}", h, law(h))
    write_run(folder / "exact", 0.015625, 0.0, integrator={"method": "rk4", "step_size": 0.015625})
