# %% [markdown]
# # What noise hides: one small network by three ways
#
# The exact path, feedback on minibatches and the paper's recipe from one equilibrium of 1,000 MNIST images. On the
# surface a branch of minima ends here and there, and the path jumps; neither of the other two can show it.
#
#     rdc-dyn run scenarios/paper/exact/fig2_mnist.yaml --set sweep=null --set start.gamma=15 -o runs/exact
#     rdc-dyn run scenarios/paper/exact/fig2_mnist_primal_dual.yaml --set sweep=null --set start.gamma=15 -o runs/means
#     rdc-dyn run scenarios/paper/exact/fig2_mnist_recipe.yaml --set sweep=null --set start.gamma=15 -o runs/recipe
#     python analysis/exact_and_minibatches.py runs/exact runs/means runs/recipe exact.png exact.md

# %%
from collections.abc import Callable

import numpy as np
import panels
import ways
import xarray as xr

import rdc_dyn

given = ways.arguments("One small network by three ways", "EXACT", "MEANS", "RECIPE", "FIGURE", "TABLE")
runs = {
    "exact": (rdc_dyn.open_run(given.exact), panels.BLUE, "o-"),
    "feedback on minibatches": (rdc_dyn.open_run(given.means), panels.GREEN, "s-"),
    "the recipe": (rdc_dyn.open_run(given.recipe), panels.RED, "x--"),
}
exact = runs["exact"][0]

# %% [markdown]
# ## The table
# Distortion is compared with that of the exact path at the same λ.

# %%
rows = ["| | exact | feedback on minibatches | the recipe |", "|---|---|---|---|"]
lines: dict[str, Callable[[xr.Dataset], str]] = {
    "max \\|C − C₀\\|/C₀": lambda ds: f"{float(abs(ds.classification_loss / ds.classification_loss[0] - 1).max()):.1e}",
    "largest ‖∇J‖": lambda ds: f"{float(ds.equilibrium_residual.max()):.1e}",
    "γ, R, D at the end": lambda ds: ", ".join(f"{float(ds[n][-1]):.5g}" for n in ("gamma", "rate", "distortion")),
    "accuracy on held-out data (%)": lambda ds: (
        f"{100 * float(ds.validation_accuracy.min()):.1f}–{100 * float(ds.validation_accuracy.max()):.1f}"
    ),
    "gradients + products on the path": lambda ds: (
        f"{np.ptp(ds.gradient_evaluations.values):.0f} + {np.ptp(ds.hessian_vector_products.values):.0f}"
    ),
}
rows += [f"| {name} | {' | '.join(number(ds) for ds, _, _ in runs.values())} |" for name, number in lines.items()]
text = "\n".join(rows) + "\n"
print(text)
with open(given.table, "w", encoding="utf-8") as file:
    file.write(text)

# %% [markdown]
# ## The figure

# %%
figure, axes = panels.canvas(1, 4, (15.5, 3.9))
held, gamma, distortion, residual = axes.flat
for name, (ds, colour, style) in runs.items():
    look = {"color": colour, "markersize": 4, "linewidth": 1.3}
    held.plot(ds.lam, 100 * (ds.classification_loss / ds.classification_loss[0] - 1), style, label=name, **look)
    gamma.plot(ds.lam, ds.gamma, style, **look)
    distortion.plot(ds.lam, ds.distortion - np.interp(ds.lam, exact.lam, exact.distortion), style, **look)
    residual.semilogy(ds.lam, ds.equilibrium_residual, style, **look)
jumps = exact.lam[exact.jump_theta > 0] if "jump_theta" in exact else exact.lam[:0]
for at in jumps.values:
    for panel in axes.flat:
        panel.axvline(at, color="0.8", zorder=0)
held.set(ylabel="$C/C_0 - 1$ (%)", title="What is held")
gamma.set(ylabel=panels.GAMMA, title="The multiplier that holds it")
distortion.set(ylabel="$D$ less that of the exact path (nat)", title="Where the path goes")
residual.set(ylabel=r"$\|\nabla J\|$", title="Distance from equilibrium")
for panel in axes.flat:
    panel.set_xlabel(panels.LAM)
held.legend(fontsize=8)
figure.savefig(given.figure, dpi=110)
