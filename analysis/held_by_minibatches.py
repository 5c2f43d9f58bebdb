# %% [markdown]
# # What a corrector on minibatches holds
#
# For each run: how far C leaves its first value, how far from equilibrium its points are beside the noise of a mean
# over all data, how far the accuracy of one sampled code moves, and what share of its work the path has dissipated.
# Reads a sweep over start.gamma, over corrector.method, or over anything else.
#
#     rdc-dyn sweep scenarios/paper/fig2_mnist_primal_dual_cpu.yaml -o sweeps/fig2_primal_dual
#     python analysis/held_by_minibatches.py sweeps/fig2_primal_dual held.png held.md

# %%
import argparse
import hashlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ways
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="What a corrector on minibatches holds")
parser.add_argument("runs", type=Path, help="a sweep, or a folder of runs")
parser.add_argument("figure", type=Path)
parser.add_argument("table", type=Path, nargs="?")
given = parser.parse_args()


# %%
def named(folder: Path) -> dict[str, xr.Dataset]:
    """All runs of a sweep that have two points, by what was swept."""
    found = {}
    for directory in sorted((folder / "runs" if (folder / "runs").is_dir() else folder).iterdir()):
        if (directory / "scenario.yaml").is_file():
            ds = rdc_dyn.open_run(directory)
            if ds.sizes["time"] > 1:
                log = hashlib.sha256((directory / "log.jsonl").read_bytes()).hexdigest()
                found[name_of(ds, directory)] = ds.assign_attrs(log=log[:16])
    return dict(sorted(found.items(), key=lambda item: (float(item[1].gamma[0]), item[0])))


def name_of(ds: xr.Dataset, directory: Path) -> str:
    """Where the run starts, what corrects it, and the process where it is a transfer."""
    scenario = ways.scenario(ds)
    seed = f", seed {scenario['seed']}" if scenario["seed"] else ""
    kind = scenario["process"]["kind"]
    transfer = f", {kind.replace('_', ' ')}" if "transfer" in kind else ""
    return f"γ₀ = {float(ds.gamma[0]):.4g}, {scenario['corrector']['method']}{transfer}{seed}"


runs = named(given.runs)
if not runs:
    parser.exit(4, f"{given.runs}: no run of at least two points\n")

# %% [markdown]
# ## The table
# ‖∇J‖ beside σ/√N says whether a point can be told from an equilibrium with these data at all. Dissipation is what
# F − F₀ lacks against the work; ageing is what a last epoch still loses at fixed multipliers.

# %%
CODES = ("code_accuracy", "validation_code_accuracy")


def measures(ds: xr.Dataset) -> dict[str, str]:
    """What the table says of a run."""
    C, lost, steps = ds.classification_loss, ds.dissipation, (np.diff(ds.rate) > 0) & (np.diff(ds.distortion) < 0)
    noise = float((ds.equilibrium_residual / ds.gradient_noise).max()) if "gradient_noise" in ds else np.nan
    work = abs(float(ds.free_energy[-1] - ds.free_energy[0] + lost[-1]))
    cost = float(np.ptp(ds.gradient_evaluations.values) + np.ptp(ds.hessian_vector_products.values))
    train, held_out = (100 * ds[code].values if code in ds else np.array([np.nan]) for code in CODES)
    return {
        "status": str(ds.attrs["status"]),
        "points": str(ds.sizes["time"]),
        "cost of the path": f"{cost:.1f}",
        "C₀": f"{float(C[0]):.4f}",
        "max abs(C − C₀)/C₀": f"{float(abs(C / C[0] - 1).max()):.2e}",
        "max ‖∇J‖": f"{float(ds.equilibrium_residual.max()):.2f}",
        "max ‖∇J‖ / (σ/√N)": f"{noise:.2f}",
        "code accuracy (%)": f"{train.min():.2f} to {train.max():.2f}",
        "on held-out data (%)": f"{held_out.min():.2f} to {held_out.max():.2f}",
        "dissipation / work": f"{float(lost[-1]) / work:.2%} ± {float(ds.dissipation_error[-1]) / work:.2%}",
        "steps of higher R and lower D": f"{steps.sum()} of {steps.size}",
        "γ at the end (least)": f"{float(ds.gamma[-1]):.4g} ({float(ds.gamma.min()):.4g})",
        "R, D at the end": f"{float(ds.rate[-1]):.2f}, {float(ds.distortion[-1]):.2f}",
        "SHA-256 of the log": ds.attrs["log"],
    }


table = {name: measures(ds) for name, ds in runs.items()}
head = ["run", *next(iter(table.values()))]
rows = [head, ["---"] * len(head), *([name, *found.values()] for name, found in table.items())]
text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
print(text)
if given.table is not None:
    given.table.write_text(text, encoding="utf-8")

# %% [markdown]
# ## The figure

# %%
figure, axes = plt.subplots(2, 3, figsize=(14.0, 7.6), layout="constrained")
for number, (name, ds) in enumerate(runs.items()):
    line = {"color": f"C{number}", "marker": "osD^v<>"[number % 7], "markersize": 3.5, "linewidth": 1.2}
    axes[0, 0].plot(ds.time, 100 * (ds.classification_loss / ds.classification_loss[0] - 1), label=name, **line)
    axes[0, 1].plot(ds.time, ds.gamma, **line)
    axes[0, 2].plot(ds.rate, ds.distortion, **line)
    axes[1, 0].plot(ds.time, ds.equilibrium_residual, **line)
    if "gradient_noise" in ds:
        axes[1, 0].plot(ds.time, ds.gradient_noise, color=line["color"], linewidth=0.8, linestyle=":")
    axes[1, 1].plot(ds.time, ds.dissipation, **line)
    for code, dashes in zip(CODES, ("-", "--")):
        if code in ds:
            axes[1, 2].plot(ds.time, ds[code], **{**line, "linestyle": dashes})
band = 100 * max(ways.scenario(ds)["corrector"].get("tolerance", 0.0) for ds in runs.values())
axes[0, 0].axhspan(-band, band, color="0.9", zorder=0)
axes[0, 0].set(ylabel="$C/C_0 - 1$ (%)", title="What is held; grey: the tolerance")
axes[0, 1].set(ylabel=r"multiplier $\gamma$", title="The multiplier that holds it")
axes[0, 2].set(xlabel="rate $R$ (nat)", ylabel="distortion $D$ (nat)", title="The path")
axes[1, 0].set(ylabel=r"$\|\nabla J\|$ (nat)", title=r"Distance from equilibrium; dotted $\sigma_g/\sqrt{N}$")
axes[1, 1].set(ylabel="dissipation (nat)", title="Free energy lost on the way")
axes[1, 2].set(ylabel="accuracy of one code", title="Code accuracy; dashed on held-out data")
for panel in axes.flat:
    if not panel.get_xlabel():
        panel.set_xlabel("process clock $s$")
figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
figure.savefig(given.figure, dpi=110)
