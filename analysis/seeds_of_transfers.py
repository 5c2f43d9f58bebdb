# %% [markdown]
# # Transfers over seeds: constant C, Remark 8, fine-tuning and training from scratch
#
# Ways from one task to another, each by several seeds: transfers that hold C (32) or C + R/β (Remark 8), fine-tuning,
# and training on the target from scratch. The table has the mean over seeds of what each has on the target at its end,
# with the standard error, and by how much that exceeds the end of (32), as a mean over pairs of the same seed.
#
#     for s in transfer_primal_dual remark8; do
#         rdc-dyn sweep scenarios/paper/fig6_${s}_cpu.yaml -o sweeps/fig6/$s --jobs 2
#     done
#     python analysis/seeds_of_transfers.py fig6_seeds.png fig6_seeds.md sweeps/fig6/*

# %%
import argparse
import hashlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ways
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="Transfers over seeds")
for place in ("figure", "table"):
    parser.add_argument(place, type=Path)
parser.add_argument("sweeps", type=Path, nargs="+", help="sweeps, or folders of runs")
given = parser.parse_args()


# %%
def way(ds: xr.Dataset) -> str:
    """What a run holds, or which baseline it is."""
    scenario = ways.scenario(ds)
    process = scenario["process"]
    if process["kind"] == "prescribed":
        return "fine-tuning" if scenario["data"].get("target") else "from scratch"
    rate = process.get("hold", {}).get("rate", 0.0)
    return f"C + R/{1 / rate:.4g} constant" if rate else "C constant"


def held(ds: xr.Dataset) -> xr.DataArray:
    """C + R/β along a run, or whatever else the scenario holds; C where it names nothing."""
    hold = ways.scenario(ds)["process"].get("hold", {"classification_loss": 1.0})
    return sum((weight * ds[name] for name, weight in hold.items()), start=xr.zeros_like(ds.rate))


found: dict[str, dict[int, xr.Dataset]] = {}
for folder in given.sweeps:
    for log in sorted(folder.rglob("log.jsonl")):
        ds = rdc_dyn.open_run(log.parent)
        ds.attrs["log"] = hashlib.sha256(log.read_bytes()).hexdigest()[:16]
        found.setdefault(way(ds), {})[int(ways.scenario(ds)["seed"])] = ds
if not found:
    parser.exit(4, "no runs\n")
order = sorted(found, key=lambda name: (name in ("fine-tuning", "from scratch"), name != "C constant", name))

# %% [markdown]
# ## The table
# The cost counts minibatches in data, so that fine-tuning and training from scratch, which have other data, compare.


# %%
def cost(ds: xr.Dataset) -> float:
    """Gradients of single data in millions: since the start, or all of them where the start is the training."""
    spent = ds.gradient_evaluations + ds.hessian_vector_products
    before = 0.0 if way(ds) == "from scratch" else float(spent[0])
    return 1e-6 * (float(spent[-1]) - before) * float(ways.data_count(ds))


ENDS = {
    "C on training data (nat)": lambda ds: float(ds.classification_loss[-1]),
    "C held out (nat)": lambda ds: float(ways.on_target("classification_loss")(ds)[-1]),
    "accuracy held out (%)": lambda ds: 100 * float(ways.on_target("accuracy")(ds)[-1]),
    "of one code (%)": lambda ds: 100 * float(ways.on_target("code_accuracy")(ds)[-1]),
    "R (nat)": lambda ds: float(ds.rate[-1]),
    "D (nat)": lambda ds: float(ds.distortion[-1]),
    "gamma": lambda ds: float(ds.gamma[-1]),
    "10^6 gradients of data": cost,
}


def spread(values: list[float]) -> str:
    """Mean and its standard error."""
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.5g}{error}"


def compared(name: str, measure: str) -> str:
    """By how much a measure exceeds that of (32), over pairs of the same seed."""
    base = found.get("C constant", {})
    both = [seed for seed in found[name] if seed in base]
    if name == "C constant" or not both:
        return ""
    return f"; {spread([ENDS[measure](found[name][s]) - ENDS[measure](base[s]) for s in both])}"


def rows() -> list[list[str]]:
    """One row for each way."""
    table = [["way", "seeds at t = 1", "max abs(h/h₀ − 1)", *(f"{m}; less that at constant C" for m in ENDS)]]
    for name in order:
        runs = found[name].values()
        arrived = [ds for ds in runs if float(ds.data_position[-1]) >= ways.ARRIVED or name == "from scratch"]
        transfer = name not in ("fine-tuning", "from scratch")
        off = max(float(abs(held(ds) / held(ds)[0] - 1).max()) for ds in runs) if transfer else np.nan
        cells = [spread([measure(ds) for ds in runs]) + compared(name, m) for m, measure in ENDS.items()]
        table.append([name, f"{len(arrived)} of {len(runs)}", f"{off:.2e}" if transfer else "", *cells])
    return table


lines = rows()
logs = ", ".join(f"{name}, seed {seed}: {ds.attrs['log']}" for name in order for seed, ds in found[name].items())
text = "".join(f"| {' | '.join(row)} |\n" for row in [lines[0], ["---"] * len(lines[0]), *lines[1:]])
text += f"\nSHA-256 of the logs, first 16 digits: {logs}\n"
print(text)
given.table.write_text(text, encoding="utf-8")

# %% [markdown]
# ## The figure

# %%
figure, axes = plt.subplots(2, 3, figsize=(14.0, 7.6), layout="constrained")
VALIDATION = {"accuracy": "Held-out accuracy", "classification_loss": "Held-out $C$ (nat)"}
for number, name in enumerate(order):
    for k, ds in enumerate(found[name].values()):
        line = {"color": f"C{number}", "linewidth": 1.2, "marker": ".", "label": name if k == 0 else None}
        if name == "from scratch":
            for panel, of in zip(axes[0], VALIDATION):
                panel.plot([1.0], [float(ways.on_target(of)(ds)[-1])], "D", color=line["color"], label=line["label"])
            axes[1, 1].plot(ds.rate[-1], ds.distortion[-1], "D", color=line["color"])
            continue
        if name == "fine-tuning":
            clock = ds.corrector_iterations - ds.corrector_iterations[0]
            clock = clock / float(clock[-1])
        else:
            clock = ds.data_position
            axes[0, 2].plot(clock, 100 * (held(ds) / held(ds)[0] - 1), **line)
            axes[1, 0].plot(clock, ds.gamma, **line)
            axes[1, 2].plot(clock, ds.classification_loss, **line)
        for panel, of in zip(axes[0], VALIDATION):
            if name[0] == "C":
                panel.plot(clock, ways.held_out(of)(ds), **line)
            alone = {"linestyle": ":", "label": None} if name[0] == "C" else {}
            panel.plot(clock, ways.on_target(of)(ds), **line | alone)
        axes[1, 1].plot(ds.rate, ds.distortion, **line)
for panel, told in zip(axes[0], VALIDATION.values()):
    panel.set(
        title=f"{told}; dotted on the target alone", xlabel="data position $t$; fine-tuning: share of its updates"
    )
axes[0, 2].set(title="What is held, $h/h_0 - 1$ (%)", xlabel="data position $t$")
axes[1, 0].set(title=r"The multiplier $\gamma$ that holds it", xlabel="data position $t$")
axes[1, 1].set(title="The path", xlabel="rate $R$ (nat)", ylabel="distortion $D$ (nat)")
axes[1, 2].set(title="$C$ on training data (nat)", xlabel="data position $t$")
handles, labels = axes[0, 0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
figure.savefig(given.figure, dpi=110)
