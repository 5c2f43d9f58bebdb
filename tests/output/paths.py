"""Trajectories of a free energy that is known in closed form, with jumps and folds where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from tests.output.test_identities import _path
from tests.tiny import record, trajectory


def smooth(steps: int = 10) -> xr.Dataset:
    """F = a ln(1 + λ) + b ln(1 + γ) + m ln(1 + λ + γ) along a curve."""
    path = _path(steps)
    found = 1e-9 + 1e-10 * np.arange(steps + 1.0)
    residuals = {"equilibrium_residual": found, "constraint_residual": -found}
    return path.assign({name: ("time", values, path[name].attrs) for name, values in residuals.items()})


def jumping(points: int = 9, at: int = 4) -> xr.Dataset:
    """Distortion s² before a jump, 10 + s³ behind it."""
    from rdc_dyn.store.dataset import to_dataset
    from tests.tiny import ATTRIBUTES

    times = np.linspace(0.0, 0.8, points)
    distortions = [s**2 if i < at else 10 + s**3 for i, s in enumerate(times)]
    records = [
        record(
            float(s), lam=1 + s, gamma=2 - s, data_position=0.0, rate=3 - s, distortion=float(d),
            classification_loss=0.4, jump_theta=0.7 if i == at else 0.0, gradient_evaluations=10.0 * i,
            equilibrium_residual=10.0 ** -(i % 3 + 8),
        )
        for i, (s, d) in enumerate(zip(times, distortions))
    ]  # fmt: skip
    return to_dataset(records, ATTRIBUTES)


def curve(parameter: Sequence[float] | np.ndarray, points: np.ndarray) -> xr.Dataset:
    """A trajectory whose (R, D, C) are given, shape (3, N)."""
    made = trajectory(len(parameter)).assign_coords(time=np.asarray(parameter))
    names = ("rate", "distortion", "classification_loss")
    return made.assign({name: ("time", row) for name, row in zip(names, points)})


def grid(sizes: tuple[int, int] = (5, 6)) -> xr.Dataset:
    """Equilibria over (λ, γ), as a sweep over both gives."""
    lam, gamma = xr.DataArray(np.linspace(1, 2, sizes[0]), dims="start_lam"), xr.DataArray(
        np.linspace(1, 3, sizes[1]), dims="start_gamma")  # fmt: skip
    f = 0.7 * np.log(1 + lam) + 0.4 * np.log(1 + gamma) + 0.9 * np.log(1 + lam + gamma)
    d, c = 0.7 / (1 + lam) + 0.9 / (1 + lam + gamma), 0.4 / (1 + gamma) + 0.9 / (1 + lam + gamma)
    r = f - lam * d - gamma * c
    values = {"lam": lam, "gamma": gamma, "rate": r, "distortion": d, "classification_loss": c, "free_energy": f}
    return xr.Dataset(values).expand_dims(time=[0.0, 0.1]).transpose("start_lam", "start_gamma", "time")
