# %% [markdown]
# # Sources whose R(D) is known
#
# Reads the paths of three `scenarios/truths/`, draws R(D) against the truth with the error below it, writes a table.
# For Gaussian sources the truth is reverse water-filling, in which a bound on C bounds the error of the component that
# tells of the class; for Bernoulli(p) bits under Hamming distortion it is h(p) − h(D). Each truth is a function of what
# was measured: of D, and of C where C is held. Needs xarray, SciPy and matplotlib, no torch.
#
#     for s in gaussian_source bernoulli_hamming gaussian_classification; do rdc-dyn run truths/$s -o runs/$s; done
#     python analysis/known_sources.py runs sources.png sources.md

# %%
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from ruamel.yaml import YAML
from scipy.optimize import brentq
from scipy.special import xlog1py, xlogy

import rdc_dyn

folder, figure_file, table_file = (sys.argv[1:] + ["runs", "sources.png", "sources.md"][len(sys.argv) - 1 :])[:3]
P = 0.3


def water_filling(variances: np.ndarray, error: float, most: np.ndarray | float = np.inf) -> float:
    """R in bits of independent Gaussian components with a squared error in all, and at most so much in each."""
    bound = np.minimum(variances, most)
    level = brentq(lambda w: np.minimum(bound, w).sum() - error, 0, bound.max(), xtol=1e-15)
    return float(0.5 * np.log2(variances / np.minimum(bound, level)).sum())


def entropy(p: np.ndarray | float) -> np.ndarray:
    """H(p) of a bit, in bits."""
    return -(xlogy(p, p) + xlog1py(1 - np.asarray(p), -p)) / np.log(2)


def gaussian(ds: xr.Dataset, held: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Squared error of x and R(D, C), or R(D) where C is not held; y is a multiple of one component or of none."""
    model = YAML(typ="safe").load(ds.attrs["scenario"])["objective"]
    s, n = np.array(model["source_second_moment"]), model["x_dim"]
    error, of_class = (
        (2 * loss - k * np.log(2 * np.pi * variance)) * variance
        for loss, k, variance in (
            (ds.distortion.values, n, model["distortion_variance"]),
            (ds.classification_loss.values, model["y_dim"], model["label_variance"]),
        )
    )
    variances, cross = np.diag(s)[:n], s[:n, n]
    squares = np.where(cross == 0, np.inf, variances / np.where(cross == 0, 1.0, cross)) ** 2
    rates = [water_filling(variances, d, c * squares if held else np.inf) for d, c in zip(error, of_class)]
    return error, np.array(rates)


def bernoulli(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Hamming distortion and R(D)."""
    error = ds.distortion.values - np.log1p(np.exp(-1))
    return error, entropy(P) - entropy(error)


SOURCES = {
    "gaussian_source": ("Gaussian, variances 4, 1, ¼", "squared error $D$", gaussian),
    "bernoulli_hamming": ("Bernoulli(0.3)", "Hamming distortion $D$", bernoulli),
    "gaussian_classification": ("Gaussian, variances 4, 1, $C$ held", "squared error $D$", gaussian),
}

# %% [markdown]
# ## Figure and table
# The dashed line is R(D) of the same source where nothing is asked of the class: what lies above it is what C costs.

# %%
figure, axes = plt.subplots(2, 3, figsize=(12, 6), sharex="col", height_ratios=(2, 1), layout="constrained")
rows = ["| source | points | R (bit) | D | largest error of R (bit) |", "|---|---|---|---|---|"]
errors: dict[str, np.ndarray] = {}
for (name, (title, label, truth)), (above, below) in zip(SOURCES.items(), axes.T):
    ds = rdc_dyn.open_run(Path(folder) / name)
    rate, (distortion, known) = ds.rate.values / np.log(2), truth(ds)
    errors[name] = abs(rate - known)
    clock = np.linspace(float(ds.time[0]), float(ds.time[-1]), 400)
    fine = ds[["distortion", "classification_loss"]].interp(time=clock)  # the truth between the points
    above.plot(*truth(fine), color="#0072B2", label="truth")
    above.plot(distortion, rate, "o", ms=4, mfc="none", color="#D55E00", label="one path")
    if name == "gaussian_classification":
        above.plot(*gaussian(fine, held=False), "--", color="#0072B2", label="truth without the class")
    above.set(title=title, ylabel="$R$ (bit)")
    above.legend(frameon=False)
    below.semilogy(distortion, np.maximum(errors[name], 1e-17), "o", ms=4, mfc="none", color="#D55E00")
    below.axhline(1e-6, color="0.6", lw=0.8)
    below.set(xlabel=label, ylabel="error of $R$ (bit)", ylim=(5e-18, 1e-5))
    ends = (f"{values[0]:.4g} to {values[-1]:.4g}" for values in (rate, distortion))
    rows.append(f"| {title} | {len(rate)} | {' | '.join(ends)} | {errors[name].max():.1e} |")
figure.savefig(figure_file, dpi=150)
Path(table_file).write_text("# Sources whose R(D) is known\n\n" + "\n".join(rows) + "\n", "utf-8")
print("\n".join([*rows, f"wrote {figure_file}, {table_file}"]))
