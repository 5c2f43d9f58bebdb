# %% [markdown]
# # The equilibrium surface over a grid of multipliers, and its convexity
#
# F(λ, γ) = min R + λD + γC is a minimum of functions that are linear in (λ, γ), so it is concave, and the surface of
# (R, D, C) that it belongs to is convex. Nothing in the program imposes this: here it is looked for in differences of F
# over a grid, which share nothing with the response matrix that the runs record, and then the two are compared.
#
#     rdc-dyn sweep scenarios/sweeps/linear_gaussian_surface.yaml -o sweeps/surface --jobs 2
#     python analysis/equilibrium_surface.py sweeps/surface surface.png

# %%
import sys

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

import rdc_dyn  # registers ds.rdc

folder, figure_file = (sys.argv[1:] + ["sweeps/surface", "surface.png"][len(sys.argv) - 1 :])[:2]
grid = rdc_dyn.open_sweep(folder).rename(process_path_gamma="row").transpose("row", "time", ...).load()
grid = grid.isel(row=np.argsort(grid.gamma.isel(time=0).values))
lam, gamma = grid.lam.isel(row=0).values, grid.gamma.isel(time=0).values
assert np.allclose(grid.lam, lam[None]) and np.allclose(grid.gamma, gamma[:, None]), "the runs must form a grid"
print(
    f"{grid.sizes['row']} runs, {grid.sizes['time']} equilibria each; lam {lam[0]:g} to {lam[-1]:g}, "
    f"gamma {gamma[0]:g} to {gamma[-1]:g}; largest |grad J| {float(grid.equilibrium_residual.max()):.1e}"
)

# %% [markdown]
# ## Concavity from the values of F alone
# Every midpoint must lie above its chord: along λ, along γ and along both diagonals. A plane would give zero.

# %%
F = grid.free_energy.values


def above_chord(shift: tuple[int, int]) -> np.ndarray:
    """F at each inner point minus the mean of its two neighbours along a shift of the grid."""
    (i, j), (rows, columns) = shift, F.shape
    r, c = slice(abs(i), rows - abs(i)), slice(abs(j), columns - abs(j))
    one = F[abs(i) + i : rows - abs(i) + i, abs(j) + j : columns - abs(j) + j]
    two = F[abs(i) - i : rows - abs(i) - i, abs(j) - j : columns - abs(j) - j]
    return F[r, c] - 0.5 * (one + two)


for name, shift in {"lam": (0, 1), "gamma": (1, 0), "both up": (1, 1), "one up, one down": (1, -1)}.items():
    excess = above_chord(shift)
    share = f"{int((excess > 0).sum())} of {excess.size}"
    print(f"midpoint above chord along {name:17} in {share}, least {excess.min():.2e} nat")

# %% [markdown]
# ## The response matrix is the Hessian of F
# Central differences over the grid against what each run's linear solves gave: D = ∂F/∂λ, and D_λ, D_γ = C_λ, C_γ.
# What is left is the error of the differences, of second order in the spacing.


# %%
def along(values: xr.DataArray, axis: int) -> np.ndarray:
    """Central differences over the grid, without its edge."""
    return np.gradient(values.values, gamma if axis == 0 else lam, axis=axis)[1:-1, 1:-1]


inner = grid.isel(row=slice(1, -1), time=slice(1, -1))
M = {
    (f, c): inner.response.sel(functional=f, control=c).values
    for f in ("distortion", "classification_loss")
    for c in ("lam", "gamma")
}
pairs = {
    "dF/dlam = D": (along(grid.free_energy, 1), inner.distortion.values),
    "dF/dgamma = C": (along(grid.free_energy, 0), inner.classification_loss.values),
    "dD/dlam": (along(grid.distortion, 1), M["distortion", "lam"]),
    "dD/dgamma": (along(grid.distortion, 0), M["distortion", "gamma"]),
    "dC/dlam": (along(grid.classification_loss, 1), M["classification_loss", "lam"]),
    "dC/dgamma": (along(grid.classification_loss, 0), M["classification_loss", "gamma"]),
}
print(f"\n{'':16}{'largest':>12}{'largest difference':>20}")
for name, (differences, exact) in pairs.items():
    print(f"{name:16}{abs(exact).max():12.4e}{abs(differences - exact).max():20.1e}")
maxwell = abs(M["distortion", "gamma"] - M["classification_loss", "lam"]).max()
determinant = M["distortion", "lam"] * M["classification_loss", "gamma"] - M["distortion", "gamma"] ** 2
print(f"largest |D_gamma - C_lam| {maxwell:.1e}")
print(f"least determinant of Hess F {determinant.min():.2e}, must not be negative")

# %% [markdown]
# ## The figure
# Left: F with lines of equal C, which iso-classification paths follow. Right: the same equilibria in (R, D, C).

# %%
figure = plt.figure(figsize=(11, 4.8), layout="constrained")
left = figure.add_subplot(1, 2, 1)
filled = left.contourf(lam, gamma, F, levels=20, cmap="cividis")
lines = left.contour(lam, gamma, grid.classification_loss, levels=8, colors="white", linewidths=0.8)
left.clabel(lines, fmt="C = %.3g", fontsize=7)
left.set(xlabel=r"$\lambda$", ylabel=r"$\gamma$", title=r"Free energy $F(\lambda, \gamma)$ and lines of equal $C$")
figure.colorbar(filled, ax=left, label="$F$ (nat)")
right = figure.add_subplot(1, 2, 2, projection="3d")
right.plot_wireframe(grid.rate.values, grid.distortion.values, grid.classification_loss.values, color="#0072B2", lw=0.7)
right.set(xlabel="$R$ (nat)", ylabel="$D$ (nat)", zlabel="$C$ (nat)", title="Equilibrium surface in $(R, D, C)$")
for axis in (right.xaxis, right.yaxis, right.zaxis):
    axis.set_major_locator(MaxNLocator(5))
right.view_init(elev=22, azim=40)
right.set_box_aspect(None, zoom=0.9)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
