"""`ds.rdc`: what a trajectory says, from xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from rdc_dyn.output import identities

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@xr.register_dataset_accessor("rdc")
class RdcAccessor:
    """Short names for the free functions of `rdc_dyn.output.identities` and `rdc_dyn.output.plot`.

    Args:
        dataset: A trajectory.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def drift(self, functional: str = "classification_loss") -> xr.DataArray:
        """h(s) − h(0) of a functional; see `identities.drift`."""
        return identities.drift(self._dataset, functional)

    def maxwell_residual(self) -> xr.DataArray:
        """Relative |D_γ − C_λ|; see `identities.maxwell_residual`."""
        return identities.maxwell_residual(self._dataset)

    def hessian_eigenvalues(self) -> xr.DataArray:
        """Eigenvalues of the Hessian of F; see `identities.hessian_eigenvalues`."""
        return identities.hessian_eigenvalues(self._dataset)

    def first_law_residual(self) -> xr.DataArray:
        """ΔR + ΔΩ + ∫ λ dD + γ dC of each step; see `identities.first_law_residual`."""
        return identities.first_law_residual(self._dataset)

    def free_energy_closure(self) -> xr.DataArray:
        """F − F(0) − ∫ D dλ + C dγ; see `identities.free_energy_closure`."""
        return identities.free_energy_closure(self._dataset)

    def geodesic_straightness(self) -> float:
        """Largest relative distance of (R, D) from its chord; see `identities.geodesic_straightness`."""
        return identities.geodesic_straightness(self._dataset)

    def plot(self) -> Figure:
        """Path, multipliers, losses and residuals in one figure; see `plot.plot_trajectory`."""
        from rdc_dyn.output.plot import plot_trajectory

        return plot_trajectory(self._dataset)
