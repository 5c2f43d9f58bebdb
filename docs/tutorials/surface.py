# %% [markdown]
# # A whole surface
#
# `rdc_dyn.surface` computes the equilibria on a grid of (λ, γ), each from the one before it. The result has the two
# multipliers as dimensions.

# %%
import numpy as np

import rdc_dyn

lam, gamma = np.linspace(2.0, 6.0, 7), np.linspace(6.0, 12.0, 7)
grid = rdc_dyn.surface("linear_gaussian_iso_classification", lam, gamma)
grid.free_energy

# %%
grid.rdc.plot_surface()

# %%
grid.rdc.plot_free_energy_surface()

# %% [markdown]
# F is concave with gradient (D, C), so at each node it lies below the planes of all others. Where it does not, the
# parameters of another node would lower J by the difference. Zero means that no equilibrium on the grid is beaten.

# %%
float(grid.rdc.concavity_gap().max())

# %% [markdown]
# On the command line a surface is a run like any other, which can be stopped and resumed:
#
# ```sh
# rdc-dyn surface digits_iso_classification --lam 0.2:2:7:log --gamma 1:16:7:log -o runs/surface
# rdc-dyn plot runs/surface -o surface.png
# ```
