# %% [markdown]
# # A first look at a trajectory
#
# Reads a run directory (default: `runs/demo`, which `make demo` writes), prints what an equilibrium path must obey and
# what it cost, and compares the integrated path with the response matrix. Needs xarray and no torch.

# %%
import sys

import numpy as np

import rdc_dyn  # registers ds.rdc

run = sys.argv[1] if len(sys.argv) > 1 else "runs/demo"
ds = rdc_dyn.open_run(run)
print(f"{ds.attrs['title']}: {ds.attrs['status']}, {ds.sizes['time']} points, {ds.attrs['parameters']} parameters")

# %% [markdown]
# ## The path
# Along iso-classification the rate rises, the distortion falls, and the classification loss stays where it was.

# %%
columns = ["lam", "gamma", "rate", "distortion", "classification_loss", "accuracy"]
print(ds[columns].to_dataframe()[columns].iloc[:: max(1, ds.sizes["time"] // 8)].round(4).to_string())

# %% [markdown]
# ## The identities of an equilibrium surface
# None of these is imposed by the integrator; each would show a path that has left the surface.

# %%
print(f"largest |grad J|                    {float(ds.equilibrium_residual.max()):.2e} nat")
print(f"drift of C                          {float(abs(ds.rdc.drift()).max()):.2e} nat")
print(f"Maxwell, D_gamma = C_lam (relative) {float(ds.rdc.maxwell_residual().max()):.2e}")
print(f"largest eigenvalue of Hess F        {float(ds.rdc.hessian_eigenvalues().max()):.2e} nat, must not be positive")
print(f"F - F0 - work along the path        {float(abs(ds.rdc.free_energy_closure()).max()):.2e} nat")

# %% [markdown]
# ## Slope of the path in the rate-distortion plane
# At constant C and fixed data dR + dOmega = -lam dD, where Omega is the weight penalty: the chord of each step must lie
# between the two values of lam at its ends.

# %%
slope = -np.diff((ds.rate + ds.weight_penalty).values) / np.diff(ds.distortion.values)
lam = ds.lam.values
low, high = np.minimum(lam[:-1], lam[1:]), np.maximum(lam[:-1], lam[1:])
margin = 1e-6 * np.abs(high)
inside = (slope >= low - margin) & (slope <= high + margin)
print(f"steps whose chord has a slope between the lam at its ends: {int(inside.sum())} of {len(slope)}")

# %% [markdown]
# ## What it cost

# %%
last = ds.isel(time=-1)
for name in ("gradient_evaluations", "hessian_vector_products", "vector_field_evaluations", "corrector_iterations"):
    print(f"{ds[name].attrs['long_name']:45} {float(last[name]):10.0f}")
print(f"{ds.wall_time.attrs['long_name']:45} {float(last.wall_time):10.1f} s")
