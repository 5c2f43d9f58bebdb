# %% [markdown]
# # What the response matrix says
#
# M = d(R, D, C)/d(λ, γ, t) is recorded at every point of a run. It decides where every process goes: here one path is
# read as a stress test, without running another. Default: the run of `make demo`.
#
#     python analysis/response_matrix.py runs/demo response.png

# %%
import sys

import numpy as np
from matplotlib import pyplot as plt

import rdc_dyn  # registers ds.rdc

run, figure_file = (sys.argv[1:] + ["runs/demo", "response.png"][len(sys.argv) - 1 :])[:2]
ds = rdc_dyn.open_run(run)
M = {
    (f, c): ds.response.sel(functional=f, control=c).values
    for f in ("rate", "distortion", "classification_loss")
    for c in ("lam", "gamma")
}
print(f"{ds.attrs['title']}: {ds.attrs['status']}, {ds.sizes['time']} points")

# %% [markdown]
# ## Which multiplier buys what
# An elasticity is a relative change for a relative change of a multiplier: d ln D / d ln λ and so on. Along the
# diagonal they are negative, since F is concave. The terms off it say how much paying for one loss helps or hurts the
# other: positive, where codes that serve one are taken from the other; negative, where they serve both.

# %%
names = {"distortion": "D", "classification_loss": "C", "rate": "R"}
print(f"\n{'d ln . / d ln .':18}{'lam, first':>12}{'lam, last':>12}{'gamma, first':>14}{'gamma, last':>13}")
elasticity = {(f, c): M[f, c] * ds[c].values / ds[f].values for f, c in M}
for f, symbol in names.items():
    lam, gamma = elasticity[f, "lam"], elasticity[f, "gamma"]
    print(f"{symbol:18}{lam[0]:12.4f}{lam[-1]:12.4f}{gamma[0]:14.4f}{gamma[-1]:13.4f}")

# %% [markdown]
# ## Rows are not independent
# R = F − λD − γC − Ω, so with a weight prior dR + dΩ = −λ dD − γ dC in every direction. Without one (Ω = 0) the row of
# R follows from the others, and what is printed here is rounding; else it is what the weight penalty answers.

# %%
for c in ("lam", "gamma"):
    rest = M["rate", c] + ds.lam.values * M["distortion", c] + ds.gamma.values * M["classification_loss", c]
    largest = abs(M["rate", c]).max()
    print(f"largest |R_{c} + lam D_{c} + gamma C_{c}| = {abs(rest).max():.2e}, largest |R_{c}| = {largest:.2e}")

# %% [markdown]
# ## Where a level set of C turns
# At constant C the path has dγ/dλ = −C_λ/C_γ. The chords of a run that holds C must agree with it; where C_λ changes
# its sign, the path turns in γ.

# %%
predicted = -M["classification_loss", "lam"] / M["classification_loss", "gamma"]
if float(abs(ds.rdc.drift()).max()) < 1e-6 and ds.sizes["time"] > 2:
    chord = np.diff(ds.gamma.values) / np.diff(ds.lam.values)
    mean = 0.5 * (predicted[:-1] + predicted[1:])
    print(
        f"largest difference of chord and mean of -C_lam/C_gamma at its ends: {abs(chord - mean).max():.1e} "
        f"(slopes from {predicted.min():.3g} to {predicted.max():.3g})"
    )
turns = ds.time.values[1:][np.diff(np.sign(M["classification_loss", "lam"])) != 0]
print(f"C_lam changes its sign before time {', '.join(f'{t:.4g}' for t in turns) or '(nowhere)'}")

# %% [markdown]
# ## How far one may step
# The smaller eigenvalue of −Hess F is the stiffness of the surface in its softest direction, and the ratio of the two
# says how unequal the directions are: an integrator that moves both multipliers must resolve the larger.

# %%
eigenvalues = ds.rdc.hessian_eigenvalues().values
ratio = eigenvalues[:, 0] / eigenvalues[:, 1]
print(f"eigenvalues of Hess F: {eigenvalues.min():.3e} to {eigenvalues.max():.3e}")
print(f"ratio of the two: {ratio.min():.3g} to {ratio.max():.3g}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
colours = {"distortion": "#E69F00", "classification_loss": "#009E73", "rate": "#0072B2"}
for (f, c), values in elasticity.items():
    style = "-" if c == "lam" else "--"
    greek = r"\lambda" if c == "lam" else r"\gamma"
    label = rf"$\partial\ln {names[f]}/\partial\ln {greek}$"
    axes[0].plot(ds.time, values, style, color=colours[f], label=label)
axes[0].axhline(0, color="0.8", lw=0.8, zorder=0)
axes[0].set(xlabel="process time", ylabel="elasticity", title="What a multiplier buys")
axes[0].legend(frameon=False, fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(0, 0.4))
axes[1].plot(ds.time, predicted, color="#0072B2", label=r"$-C_\lambda/C_\gamma$ from $M$")
middle, chords = 0.5 * (ds.time.values[:-1] + ds.time.values[1:]), np.diff(ds.gamma.values) / np.diff(ds.lam.values)
axes[1].plot(middle, chords, "o", ms=4, mfc="none", color="#D55E00", label="chords of the path")
axes[1].set(xlabel="process time", ylabel=r"$d\gamma/d\lambda$", title="Slope of the level set of $C$")
axes[1].legend(frameon=False, fontsize=8)
for k, label in enumerate(("stiffest", "softest")):
    axes[2].semilogy(ds.time, np.maximum(-eigenvalues[:, k], 1e-300), color=("#0072B2", "#D55E00")[k], label=label)
axes[2].set(xlabel="process time", ylabel="eigenvalue of $-$Hess $F$ (nat)", title="Curvature of the surface")
axes[2].legend(frameon=False, fontsize=8)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
