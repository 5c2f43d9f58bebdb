# %% [markdown]
# # The duel: a rate–distortion curve from one path, from separate trainings and from a warm-started sweep
#
# βR + D on held-out data, with β = 1/λ, for every model of each way that has the same data and the same network; on a
# path of constant C it is βR + D + βγC, at the path's γ. Where it is lower, the model is better; and at the same rate
# the curve that has less distortion is.
#
#     rdc-dyn run scenarios/duel/mnist_path.yaml -o runs/duel/path
#     rdc-dyn sweep scenarios/duel/mnist_separate.yaml -o sweeps/duel_separate
#     rdc-dyn run scenarios/duel/mnist_warm.yaml -o runs/duel/warm
#     python analysis/duel.py duel.png duel.md runs/duel/path sweeps/duel_separate runs/duel/warm

# %%
import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="A rate-distortion curve from one path and from separate trainings")
for name in ("figure", "table", "path", "separate"):
    parser.add_argument(name, type=Path)
parser.add_argument("warm", type=Path, nargs="?")
given = parser.parse_args()


# %% [markdown]
# ## Reading
# A separate training counts at its last point; of a path every point does.


# %%
@dataclass(frozen=True)
class Curve:
    """Models of one way, from low to high rate, and the gradient-equivalents of all of them."""

    models: xr.Dataset
    cost: float

    @classmethod
    def of(cls, *runs: xr.Dataset) -> "Curve":
        """The points of the given runs."""
        cost = sum(float(np.max(ds.gradient_evaluations)) for ds in runs)
        return cls(xr.concat([ds[NAMES] for ds in runs], "time").sortby("lam"), cost)

    def at(self, lam: float) -> xr.Dataset:
        """The model that was trained for this λ."""
        model = self.models.isel(time=int(np.argmin(abs(np.log(self.models.lam.values / lam)))))
        assert abs(float(model.lam) / lam - 1) < 1e-3, f"no model at lam = {lam}"
        return model

    def objective(self, lam: float, gamma: float) -> float:
        """βR + D + βγC of the model that was trained for this λ."""
        model = self.at(lam)
        losses = model.validation_rate + gamma * model.validation_classification_loss
        return float(losses / lam + model.validation_distortion)

    def distortion_at(self, rate: float) -> float:
        """D at a rate, on straight lines between the models, which mixtures of two models attain."""
        return float(np.interp(rate, self.models.validation_rate, self.models.validation_distortion, np.nan, np.nan))


LOSSES = ("rate", "distortion", "classification_loss")
NAMES = ["classification_loss", *(f"validation_{name}" for name in LOSSES)]
sweep = [rdc_dyn.open_run(directory) for directory in sorted((given.separate / "runs").iterdir())]
curves = {
    "separate trainings": Curve.of(*(ds.isel(time=[-1]) for ds in sweep)),
    "one path": Curve.of(rdc_dyn.open_run(given.path)),
}
if given.warm is not None:
    curves["warm-started sweep"] = Curve.of(rdc_dyn.open_run(given.warm))
separate, path = curves["separate trainings"], curves["one path"]
lams = separate.models.lam.values
gammas = [float(path.at(lam).gamma) for lam in lams]
loss, held = ("βR + D", "") if not any(gammas) else ("βR + D + βγC", r" + \beta \gamma C")

# %% [markdown]
# ## The table

# %%
betas = " | ".join(f"β = {1 / lam:.4g}" for lam in lams)
rows = [f"| held-out data | {betas} | models | gradient-equivalents |", f"|---|{'---|' * (len(lams) + 2)}"]
for name, curve in curves.items():
    numbers = " | ".join(f"{curve.objective(lam, gamma):.2f}" for lam, gamma in zip(lams, gammas))
    rows.append(f"| {loss} (nat), {name} | {numbers} | {curve.models.sizes['time']} | {curve.cost:.1f} |")
saved = [float(m.validation_distortion) - path.distortion_at(float(m.validation_rate)) for m in map(separate.at, lams)]
numbers = " | ".join("no model at its rate" if np.isnan(d) else f"{d:.2f}" for d in saved)
rows.append(f"| D of the separate training less that of the path at its rate | {numbers} | | |")
if held:
    for name, curve in curves.items():
        numbers = " | ".join(f"{float(curve.at(lam).classification_loss):.4f}" for lam in lams)
        rows.append(f"| C on training data (nat), {name} | {numbers} | | |")
text = "\n".join(rows) + "\n"
print(text)
given.table.write_text(text, encoding="utf-8")

# %% [markdown]
# ## The figure

# %%
figure, (plane, gain) = plt.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained")
looks = {
    "separate trainings": ("#D55E00", "s", "none"),
    "warm-started sweep": ("#009E73", "^", ":"),
    "one path": ("#0072B2", "o", "-"),
}
for name, curve in curves.items():
    colour, marker, line = looks[name]
    look = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "linewidth": 1.3}
    models = curve.models
    label = f"{name}, {models.sizes['time']} models"
    plane.plot(models.validation_rate, models.validation_distortion, label=label, **look)
    gain.plot(1 / lams, [curve.objective(*at) - separate.objective(*at) for at in zip(lams, gammas)], **look)
plane.set(xlabel="rate $R$ (nat)", ylabel="distortion $D$ (nat)", title="Held-out rate and distortion")
gain.set(xscale="log", xlabel=r"$\beta = 1/\lambda$", title="Lower is better")
gain.set_ylabel(rf"$\beta R + D{held}$ less that of the separate training (nat)")
plane.legend()
figure.savefig(given.figure, dpi=110)
