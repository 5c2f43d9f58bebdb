# %% [markdown]
# # Corrector on and off
#
# The same kind of sweep as in `analysis/integrators.py`, read for another question: what does a corrector change?
# Without one the integrator's error accumulates in two ways, along the surface and off it; with one each step ends on
# the surface and on the level set, and only the position along the path is left to the integrator.
#
#     python analysis/corrector.py sweeps/transfer corrector.png

# %%
import sys

import numpy as np
from matplotlib import pyplot as plt

import rdc_dyn

folder, figure_file = (sys.argv[1:] + ["sweeps/transfer", "corrector.png"][len(sys.argv) - 1 :])[:2]
comparison = rdc_dyn.compare(folder)
completed = comparison.isel(run=np.flatnonzero(comparison.status == "COMPLETED"))
method, corrector = completed.integrator_method.values, completed.corrector_method.values
METHODS = [name for name in ("euler", "midpoint", "heun2", "heun3", "rk4", "bosh3", "dopri5") if name in set(method)]

# %% [markdown]
# ## Pairs
# Each pair differs in the corrector alone. The price is a few solves a step, and it is paid back where the corrector
# lets a cheap method with long steps do what only a good one with short steps does without.

# %%
print(
    f"{'method':10}{'step, rtol':>11}{'error off':>12}{'error on':>11}{'|grad J| off':>14}{'on':>10}"
    f"{'held off':>11}{'on':>10}{'cost off':>10}{'on':>8}"
)
for name in METHODS:
    for resolution in sorted(set(completed.resolution.values[method == name]), reverse=True):
        here = (method == name) & (completed.resolution.values == resolution)
        off, on = np.flatnonzero(here & (corrector == "none")), np.flatnonzero(here & (corrector != "none"))
        if len(off) != 1 or len(on) != 1:
            continue
        a, b = completed.isel(run=off[0]), completed.isel(run=on[0])
        print(
            f"{name:10}{resolution:11.4g}{float(a.error_losses):12.1e}{float(b.error_losses):11.1e}"
            f"{float(a.equilibrium_residual):14.1e}{float(b.equilibrium_residual):10.1e}{float(a.error_held):11.1e}"
            f"{float(b.error_held):10.1e}{float(a.gradient_equivalents):10.0f}{float(b.gradient_equivalents):8.0f}"
        )

# %% [markdown]
# ## What is sure without a reference
# ‖∇J‖, the drift of what is held and the free-energy closure are known to every run by itself. The figure shows that
# they tell the true error: without a corrector the three rise and fall with it.

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
COLOURS = dict(zip(METHODS, ("#D55E00", "#E69F00", "#009E73", "#56B4E9", "#0072B2", "#CC79A7", "#000000")))
floor = 1e-16
for ax, quantity, axis_label in (
    (axes[0], "equilibrium_residual", r"largest $\|\nabla_\theta J\|$"),
    (axes[1], "error_held", "held functional, largest deviation (nat)"),
    (axes[2], "error_closure", "free-energy closure (nat)"),
):
    for name in METHODS:
        for corrects in (False, True):
            members = np.flatnonzero((method == name) & ((corrector != "none") == corrects))
            order = members[np.argsort(completed.error_losses.values[members])]
            x = np.maximum(completed.error_losses.values[order], floor)
            y = np.maximum(completed[quantity].values[order], floor)
            style = {
                "marker": "o",
                "ls": ":" if corrects else "-",
                "mfc": "none" if corrects else COLOURS[name],
                "ms": 5,
            }
            ax.loglog(x, y, color=COLOURS[name], label=f"{name}, {'corrector' if corrects else 'none'}", **style)
    ax.set(xlabel="error of $(R, D, C)$ (nat)", ylabel=axis_label)
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=len(METHODS), frameon=False, fontsize=8)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
