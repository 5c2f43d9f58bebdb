# %% [markdown]
# # The duel: a rate–distortion curve from one path, from separate trainings and from a warm-started sweep
#
# βR + D on held-out data, with β = 1/λ, for every model of each way that has the same data and the same network. Where
# it is lower, the model is better; and at the same rate the curve that has less distortion is.
#
#     rdc-dyn run scenarios/duel/mnist_path.yaml -o runs/duel/path
#     rdc-dyn sweep scenarios/duel/mnist_separate.yaml -o sweeps/duel_separate
#     rdc-dyn run scenarios/duel/mnist_warm.yaml -o runs/duel/warm
#     python analysis/duel.py runs/duel/path sweeps/duel_separate runs/duel/warm duel.png duel.md

# %%
import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import rdc_dyn

parser = argparse.ArgumentParser(description="A rate-distortion curve from one path and from separate trainings")
for name in ("path", "separate", "warm", "figure", "table"):
    parser.add_argument(name, type=Path)
given = parser.parse_args()


# %% [markdown]
# ## Reading
# A separate training counts at its last point; of a path every point does.


# %%
@dataclass(frozen=True)
class Curve:
    """Models of one way, from low to high rate, and the gradient-equivalents of all of them."""

    lam: np.ndarray
    rate: np.ndarray
    distortion: np.ndarray
    cost: float

    @classmethod
    def of(cls, *runs: xr.Dataset) -> "Curve":
        """The points of the given runs."""
        lam, rate, distortion = (
            np.concatenate([np.atleast_1d(ds[name]) for ds in runs])
            for name in ("lam", "validation_rate", "validation_distortion")
        )
        order, cost = np.argsort(lam), sum(float(np.max(ds.gradient_evaluations)) for ds in runs)
        return cls(lam[order], rate[order], distortion[order], cost)

    def objective(self, lam: float) -> float:
        """βR + D of the model that was trained for this λ."""
        at = int(np.argmin(abs(np.log(self.lam / lam))))
        assert abs(self.lam[at] / lam - 1) < 1e-6, f"no model at lam = {lam}"
        return float(self.rate[at] / lam + self.distortion[at])

    def distortion_at(self, rate: float) -> float:
        """D at a rate, on straight lines between the models, which mixtures of two models attain."""
        return float(np.interp(rate, self.rate, self.distortion, np.nan, np.nan))


sweep = [rdc_dyn.open_run(directory) for directory in sorted((given.separate / "runs").iterdir())]
curves = {
    "separate trainings": Curve.of(*(ds.isel(time=-1) for ds in sweep)),
    "warm-started sweep": Curve.of(rdc_dyn.open_run(given.warm)),
    "one path": Curve.of(rdc_dyn.open_run(given.path)),
}
separate, path = curves["separate trainings"], curves["one path"]

# %% [markdown]
# ## The table

# %%
betas = " | ".join(f"β = {1 / lam:.4g}" for lam in separate.lam)
rows = [f"| held-out data | {betas} | models | gradient-equivalents |",
        f"|---|{'---|' * (len(separate.lam) + 2)}"]  # fmt: skip
for name, curve in curves.items():
    numbers = " | ".join(f"{curve.objective(lam):.2f}" for lam in separate.lam)
    rows.append(f"| βR + D (nat), {name} | {numbers} | {len(curve.lam)} | {curve.cost:.1f} |")
saved = " | ".join(f"{d - path.distortion_at(r):.2f}" for r, d in zip(separate.rate, separate.distortion))
saved = saved.replace("nan", "no model at its rate")
rows.append(f"| D of the separate training less that of the path at its rate | {saved} | | |")
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
    plane.plot(curve.rate, curve.distortion, label=f"{name}, {len(curve.lam)} models", **look)
    gain.plot(1 / separate.lam, [curve.objective(lam) - separate.objective(lam) for lam in separate.lam], **look)
plane.set(xlabel="rate $R$ (nat)", ylabel="distortion $D$ (nat)", title="Held-out rate and distortion")
gain.set(xscale="log", xlabel=r"$\beta = 1/\lambda$", ylabel=r"$\beta R + D$ less that of the separate training (nat)",
         title="Lower is better")  # fmt: skip
plane.legend()
figure.savefig(given.figure, dpi=110)
