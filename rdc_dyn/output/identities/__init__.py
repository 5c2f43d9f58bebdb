"""Identities that every equilibrium path obeys, evaluated on saved trajectories (xarray only)."""

from rdc_dyn.output.identities.branches import jumped
from rdc_dyn.output.identities.common_clock import to_common_clock
from rdc_dyn.output.identities.convexity import hessian_eigenvalues, maxwell_residual
from rdc_dyn.output.identities.drift import drift
from rdc_dyn.output.identities.equilibrium import equilibrium_mask
from rdc_dyn.output.identities.first_law import first_law_residual, free_energy_closure
from rdc_dyn.output.identities.geometry import arclength, curvature, geodesic_straightness

__all__ = [
    "arclength",
    "curvature",
    "drift",
    "equilibrium_mask",
    "first_law_residual",
    "free_energy_closure",
    "geodesic_straightness",
    "hessian_eigenvalues",
    "jumped",
    "maxwell_residual",
    "to_common_clock",
]
