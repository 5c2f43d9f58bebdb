"""Identities that every equilibrium path obeys, evaluated on saved trajectories (xarray only)."""

from rdc_dyn.read.identities.branches import jumped
from rdc_dyn.read.identities.common_clock import to_common_clock
from rdc_dyn.read.identities.drift import drift
from rdc_dyn.read.identities.equilibrium import equilibrium_mask
from rdc_dyn.read.identities.first_law import (
    first_law_residual,
    free_energy_closure,
    hessian_eigenvalues,
    maxwell_residual,
)
from rdc_dyn.read.identities.geometry import arclength, curvature, geodesic_straightness
