# %% [markdown]
# # What a rate–distortion curve costs: epochs of one path and of separate trainings of equal βR + D
#
# For each β that was trained for separately, for several lengths: after how many epochs a training is as good as the
# path's model at that β. Between these β the number of epochs is taken on straight lines in logarithms, and ten of the
# path's models are summed. On held-out data and on those of training; epochs are those of training alone.
#
#     rdc-dyn run scenarios/duel/mnist_path.yaml -o runs/duel/path
#     rdc-dyn sweep scenarios/duel/mnist_separate.yaml --grid 'process.path.lam=[0.1,0.1],[1,1],[10,10],[100,100]' \
#         --grid start.equilibrate.adam_steps=1000,2600,5800,12200 --set start.equilibrate.drop_every=20000 \
#         -o sweeps/duel_lengths
#     python analysis/price.py price.png price.md runs/duel/path sweeps/duel_lengths

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ways
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="Epochs of one path and of separate trainings of equal βR + D")
for name in ("figure", "table", "path"):
    parser.add_argument(name, type=Path)
parser.add_argument("separate", type=Path, nargs="+", help="sweeps over λ and over the length of the start")
given = parser.parse_args()
MODELS = 10
ON = {"training data": "", "held-out data": "validation_"}


# %%
def epochs(ds: xr.Dataset) -> float:
    """Epochs of training of the start and of all points."""
    tree = ways.scenario(ds)
    start, corrector = tree["start"]["equilibrate"], tree["corrector"]
    batch = corrector["batch"] / tree["data"]["source"]["limit"]
    return float(start["adam_steps"] * batch + ds.sizes["time"] * (corrector["moving"] + corrector["averaged"]))


def objective(model: xr.Dataset, on: str) -> float:
    """βR + D of one model."""
    return float(model[f"{on}rate"] / model.lam + model[f"{on}distortion"])


path = rdc_dyn.open_run(given.path)


def of_path(lam: float, on: str) -> float:
    """βR + D of the path's model at λ."""
    nearest = int(abs(path.lam.values - lam).argmin())
    assert abs(float(path.lam[nearest]) / lam - 1) < 1e-3, f"the path has no model at lam = {lam}"
    return objective(path.isel(time=nearest), on)


trained: dict[float, list[tuple[float, xr.Dataset]]] = {}
for directory in sorted(place for sweep in given.separate for place in (sweep / "runs").iterdir()):
    ds = rdc_dyn.open_run(directory)
    trained.setdefault(round(float(ds.lam[-1]), 6), []).append((epochs(ds), ds.isel(time=-1)))
trained = {lam: sorted(trained[lam], key=lambda pair: pair[0]) for lam in sorted(trained)}


# %% [markdown]
# ## Epochs for equal βR + D
# A training that is not as good after its longest start counts as that long: the sum is then a lower bound.


# %%
def needed(lam: float, on: str) -> tuple[float, bool]:
    """Epochs after which a training at λ is as good as the path, and whether any was."""
    wanted = of_path(lam, on)
    lengths = np.array([length for length, _ in trained[lam]])
    values = np.minimum.accumulate([objective(model, on) for _, model in trained[lam]])
    if values[-1] > wanted:
        return float(lengths[-1]), False
    return float(np.exp(np.interp(-wanted, -values, np.log(lengths)))), True


lams = np.array(list(trained))
chosen = path.lam.values[np.linspace(0, path.sizes["time"] - 1, MODELS).round().astype(int)]
betas = " | ".join(f"β = {1 / lam:.4g}" for lam in lams)
rows = [f"| | {betas} | {MODELS} models, epochs |", f"|---|{'---|' * (len(lams) + 1)}"]
figure, axes = plt.subplots(1, len(ON), figsize=(11.0, 4.2), layout="constrained")
for axis, (data, on) in zip(axes, ON.items()):
    found = [needed(lam, on) for lam in lams]
    own = [of_path(lam, on) for lam in lams]
    rows.append(f"| βR + D on {data} (nat), one path | {' | '.join(f'{v:.2f}' for v in own)} | {epochs(path):g} |")
    for count in sorted({length for pairs in trained.values() for length, _ in pairs}):
        at = [[objective(model, on) for length, model in trained[lam] if length == count] for lam in lams]
        numbers = " | ".join(f"{min(values):.2f}" if values else "" for values in at)
        rows.append(f"| … trained alone for {count:g} epochs | {numbers} | |")
    total = float(np.exp(np.interp(np.log(chosen), np.log(lams), np.log([e for e, _ in found]))).sum())
    bound = "" if all(reached for _, reached in found) else "more than "
    numbers = " | ".join(f"{e:.3g}" if reached else f"more than {e:g}" for e, reached in found)
    times = f"{bound}{total:.0f}, {total / epochs(path):.1f} times the path's"
    rows.append(f"| epochs alone for what the path has | {numbers} | {times} |")
    for number, lam in enumerate(lams):
        excess = [objective(model, on) - own[number] for _, model in trained[lam]]
        look = {"color": f"C{number}", "marker": "osD^v<>"[number % 7], "markersize": 4}
        axis.plot([length for length, _ in trained[lam]], excess, label=f"β = {1 / lam:.4g}", **look)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.axvline(epochs(path), color="0.4", linestyle=":", linewidth=1)
    axis.set(xscale="log", xlabel="epochs of one training", title=data)
axes[0].set_ylabel("βR + D less that of the path (nat)")
axes[0].legend(fontsize=8)
figure.savefig(given.figure, dpi=110)

# %% [markdown]
# ## The table

# %%
text = "\n".join(rows) + "\n"
print(text)
given.table.write_text(text, encoding="utf-8")
