# %% [markdown]
# # What free energy a path on minibatches loses, and why
#
# On the surface F − F₀ is the work ∫ D dλ + C dγ. What it lacks is dissipation: motion, which falls with the speed of
# the path, and ageing, learning that goes on at fixed multipliers and falls with the length of the start. Reads runs of
# one path that differ in `start.equilibrate.adam_steps` and in `integrator.step_size`.
#
#     S=scenarios/paper/fig2_mnist_primal_dual_cpu.yaml
#     rdc-dyn sweep $S --grid start.gamma=4 --grid start.equilibrate.adam_steps=8000,32000,128000 -o sweeps/starts
#     rdc-dyn sweep $S --grid start.gamma=4 --grid integrator.step_size=0.15,0.075 -o sweeps/speeds
#     rdc-dyn sweep $S --grid start.gamma=4 --grid start.equilibrate.adam_steps=128000 \
#         --set integrator.step_size=0.15 -o sweeps/both
#     python analysis/closure.py closure.png closure.md sweeps/starts sweeps/speeds sweeps/both

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ways
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="What free energy a path on minibatches loses, and why")
parser.add_argument("figure", type=Path)
parser.add_argument("table", type=Path)
parser.add_argument("runs", type=Path, nargs="+", help="sweeps, or folders of runs")
given = parser.parse_args()

# %%
runs = {}
folders = [folder / "runs" if (folder / "runs").is_dir() else folder for folder in given.runs]
for directory in sorted(directory for folder in folders for directory in folder.iterdir()):
    if (directory / "scenario.yaml").is_file():
        ds = rdc_dyn.open_run(directory)
        scenario = ways.scenario(ds)
        if ds.sizes["time"] > 1:
            runs[scenario["start"]["equilibrate"]["adam_steps"], scenario["integrator"]["step_size"]] = ds
runs = dict(sorted(runs.items(), key=lambda item: (item[0][0], -item[0][1])))
if not runs:
    parser.exit(4, f"{', '.join(map(str, given.runs))}: no run of at least two points\n")


# %% [markdown]
# ## The table
# Beside the loss of the whole path stands that of its second half alone.


# %%
def share(ds: xr.Dataset, first: int) -> tuple[float, float]:
    """Dissipation over work from a point on, in per cent, and its standard error."""
    lost = ds.dissipation - ds.dissipation[first]
    work = abs(float((ds.free_energy - ds.free_energy[first] + lost)[-1]))
    error = np.sqrt(max(float(ds.dissipation_error[-1]) ** 2 - float(ds.dissipation_error[first]) ** 2, 0.0))
    return 100 * float(lost[-1]) / work, 100 * error / work


rows = [
    "| updates of the start | step in λ | status | gradient-equivalents | F at the start | F at the end "
    "| max ‖∇J‖ | dissipation / work | in the second half | ageing at the end, nat an epoch |",
    "|---|---|---|---|---|---|---|---|---|---|",
]
for (updates, step), ds in runs.items():
    (whole, error), (later, later_error) = share(ds, 0), share(ds, ds.sizes["time"] // 2)
    rows.append(
        f"| {updates} | {step:g} | {ds.attrs['status']} | {float(np.ptp(ds.gradient_evaluations.values)):.1f} "
        f"| {float(ds.free_energy[0]):.3f} | {float(ds.free_energy[-1]):.2f} "
        f"| {float(ds.equilibrium_residual.max()):.2f} | {whole:.2f} ± {error:.2f} % "
        f"| {later:.2f} ± {later_error:.2f} % | {float(ds.ageing[-1]):.3f} |"
    )
text = "\n".join(rows) + "\n"
print(text)
given.table.write_text(text, encoding="utf-8")

# %% [markdown]
# ## The figure

# %%
figure, axes = plt.subplots(1, 3, figsize=(14.0, 4.2), layout="constrained")
for number, ((updates, step), ds) in enumerate(runs.items()):
    line = {"color": f"C{number}", "marker": "osD^v<>"[number % 7], "markersize": 4, "linewidth": 1.2}
    label = f"{updates:,} updates to start, steps of {step:g}"
    axes[0].plot(ds.time, ds.dissipation, label=label, **line)
    axes[0].fill_between(
        ds.time,
        ds.dissipation - ds.dissipation_error,
        ds.dissipation + ds.dissipation_error,
        color=line["color"],
        alpha=0.15,
    )
length = max(step for _, step in runs)
by_start = {updates: share(ds, 0) for (updates, step), ds in runs.items() if step == length}
draw = {"marker": "o", "capsize": 3}
axes[1].errorbar(list(by_start), [v for v, _ in by_start.values()], [e for _, e in by_start.values()], **draw)
for updates in by_start:
    by_speed = {step: share(ds, 0) for (start, step), ds in runs.items() if start == updates}
    if len(by_speed) > 1:
        losses, errors = zip(*by_speed.values())
        axes[2].errorbar(list(by_speed), losses, errors, label=f"{updates:,} updates to start", **draw)
axes[0].set(xlabel=r"process clock $s = \lambda$", ylabel="dissipation (nat)", title="Free energy lost on the way")
axes[0].legend(fontsize=8)
axes[1].set(xscale="log", xlabel="updates of the start", ylabel="dissipation / work (%)", title=f"Steps of {length:g}")
axes[2].set(xlabel=r"step in $\lambda$", ylabel="dissipation / work (%)", title="Speed of the path")
if axes[2].get_legend_handles_labels()[0]:
    axes[2].legend(fontsize=8)
for panel in axes[1:]:
    panel.axhline(1, color="0.6", linestyle=":", linewidth=1)
    panel.set_ylim(bottom=0)
figure.savefig(given.figure, dpi=110)
