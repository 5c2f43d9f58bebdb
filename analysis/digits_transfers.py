# %% [markdown]
# # From digits 0-4 to digits 5-9
#
# Reads the four transfers that `scenarios/digits_transfer_*.yaml` make, (32) and (30), by mixture and by optimal
# transport, prints what must hold along them, and draws them in one figure. Needs xarray and matplotlib, no torch.
#
#     for s in scenarios/digits_transfer_*.yaml; do rdc-dyn run $s -o runs/$(basename $s .yaml); done
#     python analysis/digits_transfers.py runs transfers.png

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rdc_dyn  # registers ds.rdc

folder, figure_file = (sys.argv[1:] + ["runs", "transfers.png"][len(sys.argv) - 1 :])[:2]
PROCESSES = {"iso_classification": "constant $C$, $\\dot\\lambda$ given (32)", "geodesic": "straight in $(R, D)$ (30)"}
PATHS = {"mixture": "-", "transport": "--"}
COLOURS = {"iso_classification": "#0072B2", "geodesic": "#D55E00"}  # Okabe & Ito
runs = {
    (process, path): rdc_dyn.open_run(Path(folder) / f"digits_transfer_{process}_{path}")
    for process in PROCESSES
    for path in PATHS
}

# %% [markdown]
# ## What must hold
# C is constant; F − F₀ is the work ∫ D dλ + C dγ + ∂F/∂t dt; a geodesic is straight. At t = 1 it no longer matters by
# which way the data came: λ and C are given there for (32), the line and C for (30).

# %%
print(
    f"{'':34}{'drift of C':>12}{'closure':>10}{'Maxwell':>10}{'straight':>10}{'lam':>11}{'gamma':>11}{'products':>10}"
)
for (process, path), ds in runs.items():
    last = ds.isel(time=-1)
    print(
        f"{process + ', ' + path:34}{float(abs(ds.rdc.drift()).max()):12.1e}"
        f"{float(abs(ds.rdc.free_energy_closure()).max()):10.1e}{float(ds.rdc.maxwell_residual().max()):10.1e}"
        f"{ds.rdc.geodesic_straightness() if process == 'geodesic' else np.nan:10.1e}"
        f"{float(last.lam):11.7f}{float(last.gamma):11.7f}{float(last.hessian_vector_products):10.0f}"
    )

# %% [markdown]
# ## The figure
# A mixture asks eight codes to serve ten digits in the middle of the way, so its distortion rises; optimal transport
# blends each digit with its partner, blends are smoother than digits, and its distortion falls.

# %%
figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
for (process, path), ds in runs.items():
    style = {"color": COLOURS[process], "ls": PATHS[path], "marker": ".", "label": f"{PROCESSES[process]}, {path}"}
    axes[0, 0].plot(ds.rate, ds.distortion, **style)
    axes[0, 1].plot(ds.lam, ds.gamma, **style)
    axes[1, 0].plot(ds.time, ds.accuracy, **style)
    axes[1, 1].semilogy(ds.time[1:], np.maximum(abs(ds.rdc.drift()[1:]), 1e-17), **style)
start = next(iter(runs.values())).isel(time=0)
for ax, x, y in ((axes[0, 0], "rate", "distortion"), (axes[0, 1], "lam", "gamma")):
    ax.plot(start[x], start[y], "o", mfc="none", mec="k", ms=11)
    ax.annotate("start", (float(start[x]), float(start[y])), xytext=(9, -12), textcoords="offset points")
axes[0, 0].set(xlabel="rate $R$ (nat)", ylabel="distortion $D$ (nat)", title="Rate–distortion plane")
axes[0, 1].set(xlabel=r"$\lambda$", ylabel=r"$\gamma$", title="Lagrange multipliers")
axes[1, 0].set(xlabel="data position $t$", ylabel="accuracy", title="Accuracy of the encoder that sees no label")
axes[1, 1].set(xlabel="data position $t$", ylabel="$|C - C_0|$ (nat)", title="What is held")
axes[1, 0].legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.66))
figure.suptitle(f"Digits 0–4 become digits 5–9, $C = {float(start.classification_loss):.4f}$ nat")
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
