"""The accessor `ds.rdc`: identities, events and plots of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from rdc_dyn.read import identities
from rdc_dyn.read.shown import Shown, trajectory
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RdcAccessor:
    """Identities, events and plots of a trajectory as methods of `ds.rdc`.

    Each method calls the function of `rdc_dyn.read` that it names; see there for arguments, results and errors. What it
    returns is in nats, also where the dataset is in bits; figures take `units="bits"`.

    Args:
        dataset: Trajectory; `plot_free_energy_surface` takes a grid of equilibria, `plot_work_precision` a comparison.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def __repr__(self) -> str:
        """How the run ended, its first and last values, its work, and the methods."""
        return self._shown.text()

    def _repr_html_(self) -> str:
        return self._shown.html()

    @property
    def _shown(self) -> Shown:
        return trajectory(
            self._dataset,
            [name + "()" * callable(member) for name, member in vars(type(self)).items() if not name.startswith("_")],
        )

    def in_units(self, units: Units) -> xr.Dataset:
        """The dataset with every variable that carries nats or bits in one of the two, by the attribute `units`.

        One bit is ln 2 nats. Losses, J and F, what derives from them by λ, γ, t and θ, such as the response matrix and
        ‖∇J‖, and their errors are converted; multipliers, accuracies, distances in θ and counters stay as they are.

        Args:
            units: nats, in which trajectories are stored, or bits.

        Returns:
            The dataset with these variables and their attribute `units` changed.

        Raises:
            UserError: If the units are unknown.
        """
        return in_units(self._dataset, units)

    @property
    def _nats(self) -> xr.Dataset:
        return in_units(self._dataset, "nats")

    def drift(self, functional: str | Mapping[str, float] = "classification_loss") -> xr.DataArray:
        """h(s) − h(0) of a functional, given by name or by weights; see `identities.drift`."""
        return identities.drift(self._nats, functional)

    def maxwell_residual(self) -> xr.DataArray:
        """Distance of D_γ from C_λ relative to its largest possible value; see `identities.maxwell_residual`."""
        return identities.maxwell_residual(self._nats)

    def hessian_eigenvalues(self) -> xr.DataArray:
        """Eigenvalues of the Hessian of F in (λ, γ), nat; see `identities.hessian_eigenvalues`."""
        return identities.hessian_eigenvalues(self._nats)

    def first_law_residual(self) -> xr.DataArray:
        """ΔR + ΔΩ + ∫ (λ dD + γ dC − ∂_tF dt) over each step, nat; see `identities.first_law_residual`."""
        return identities.first_law_residual(self._nats)

    def free_energy_closure(self) -> xr.DataArray:
        """F(s) − F(0) − ∫ (D dλ + C dγ + ∂_tF dt), nat; see `identities.free_energy_closure`."""
        return identities.free_energy_closure(self._nats)

    def geodesic_straightness(self) -> float:
        """Largest distance of (R, D) from the chord, over its length; see `identities.geodesic_straightness`."""
        return identities.geodesic_straightness(self._nats)

    def arclength(self) -> xr.DataArray:
        """∫ ‖d(R, D, C)‖ up to each point, nat; see `identities.arclength`."""
        return identities.arclength(self._nats)

    def curvature(self) -> xr.DataArray:
        """Curvature of the path in (R, D, C), 1/nat; see `identities.curvature`."""
        return identities.curvature(self._nats)

    def equilibrium_mask(self, tolerance: float | None = None) -> xr.DataArray:
        """Whether ‖∇J‖ ≤ tolerance at each point; see `identities.equilibrium_mask`."""
        return identities.equilibrium_mask(self._nats, tolerance)

    def to_common_clock(self, clock: xr.Dataset | xr.DataArray | Sequence[float] | np.ndarray) -> xr.Dataset:
        """The trajectory interpolated to another clock; see `identities.to_common_clock`."""
        return identities.to_common_clock(self._nats, clock)

    def surface(self) -> xr.Dataset:
        """A run over a grid, with the dimensions `lam` and `gamma` in place of `time`; see `surface.surface`."""
        from rdc_dyn.read.surface import surface

        return surface(self._nats)

    def concavity_gap(self) -> xr.DataArray:
        """Nats by which other nodes' parameters beat those of each node of a surface; see `surface.concavity_gap`."""
        from rdc_dyn.read.surface import concavity_gap

        return concavity_gap(self._nats)

    @property
    def events(self) -> xr.Dataset:
        """Table of rejected steps, halvings, jumps, folds, warnings and the end; see `events.events`."""
        from rdc_dyn.read.events import events  # it imports the store, which may be importing xarray just now

        return events(self._dataset)

    def plot(self, *, backend: Literal["matplotlib", "plotly"] = "matplotlib", **options: Any) -> Any:
        """Plot the path, multipliers, losses and residuals in one figure; see `plots.plot_trajectory`.

        Args:
            backend: "plotly" makes a figure that can be turned, in which each point tells its numbers.
            options: `units` (nats or bits), `look` and, for matplotlib, `axes`.

        Returns:
            A figure of matplotlib or plotly, which a notebook shows as it is.

        Raises:
            UserError: If the backend or the units are unknown, or plotly is not installed.
        """
        if backend == "plotly":
            from rdc_dyn.read.plots.interactive import trajectory_page

            return trajectory_page(self._dataset, **options)
        if backend != "matplotlib":
            raise UserError(f"plot: unknown backend {backend!r}; expected matplotlib or plotly")
        return self._figure("plot_trajectory", options)

    def _figure(self, name: str, options: Mapping[str, Any]) -> Figure:
        figure: Figure = getattr(import_module("rdc_dyn.read.plots"), name)(self._dataset, **options)
        return figure

    def plot_path(self, **options: Any) -> Figure:
        """Plot (R, D) along the process; see `plots.plot_path`."""
        return self._figure("plot_path", options)

    def plot_multipliers(self, **options: Any) -> Figure:
        """Plot (λ, γ) along the process; see `plots.plot_multipliers`."""
        return self._figure("plot_multipliers", options)

    def plot_losses(self, **options: Any) -> Figure:
        """Plot R, D and C over the clock; see `plots.plot_losses`."""
        return self._figure("plot_losses", options)

    def plot_residuals(self, **options: Any) -> Figure:
        """Plot residuals that vanish on an exact equilibrium path; see `plots.plot_residuals`."""
        return self._figure("plot_residuals", options)

    def plot_dissipation(self, **options: Any) -> Figure:
        """Plot dissipation, ageing and accuracies over the clock; see `plots.plot_dissipation`."""
        return self._figure("plot_dissipation", options)

    def plot_surface(self, **options: Any) -> Figure:
        """Plot F, R, D and C over a grid of (λ, γ) as contours; see `plots.plot_surface`."""
        return self._figure("plot_surface", options)

    def plot_surface3d(self, **options: Any) -> Figure:
        """Plot the path, or a grid of equilibria, in (R, D, C); see `plots.plot_surface3d`."""
        return self._figure("plot_surface3d", options)

    def plot_free_energy_surface(self, **options: Any) -> Figure:
        """Plot F over a grid of (λ, γ); see `plots.plot_free_energy_surface`."""
        return self._figure("plot_free_energy_surface", options)

    def plot_work_precision(self, **options: Any) -> Figure:
        """Plot error against cost for a comparison; see `plots.plot_work_precision`."""
        return self._figure("plot_work_precision", options)
