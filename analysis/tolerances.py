# %% [markdown]
# # The integrator's tolerance against the solver's
#
# An adaptive method measures its own error as the difference of two formulas. A vector field whose linear solves stop
# early is noisy, and below that noise the difference no longer falls with the step: the controller shortens steps for
# nothing. So the solver's tolerance has to follow the integrator's, and this sweep says by how much.
#
#     rdc-dyn sweep scenarios/sweeps/linear_gaussian_tolerances.yaml -o sweeps/tolerances --jobs 2
#     python analysis/tolerances.py sweeps/tolerances tolerances.png

# %%
import sys

import numpy as np
from matplotlib import pyplot as plt

import rdc_dyn

folder, figure_file = (sys.argv[1:] + ["sweeps/tolerances", "tolerances.png"][len(sys.argv) - 1 :])[:2]
comparison = rdc_dyn.compare(folder)
integrator, solver = comparison.integrator_rtol.values, comparison.response_solver_rtol.values
rows, columns = np.unique(integrator)[::-1], np.unique(solver)[::-1]


def table(values: np.ndarray) -> np.ndarray:
    """One row for each tolerance of the integrator, one column for each of the solver; NaN where a run failed."""
    out = np.full((len(rows), len(columns)), np.nan)
    for value, i, j in zip(values, integrator, solver):
        out[np.flatnonzero(rows == i)[0], np.flatnonzero(columns == j)[0]] = value
    return out


def show(title: str, values: np.ndarray, form: str) -> None:
    print(f"\n{title}\n{'integrator, solver rtol':>24}" + "".join(f"{column:>10.0e}" for column in columns))
    for tolerance, line in zip(rows, values):
        print(f"{tolerance:24.0e}" + "".join(f"{value:>10{form}}" for value in line))


# %% [markdown]
# ## Error and cost
# Along a row the error falls with the solver's tolerance until the integrator's own is left. Down a column it falls
# until the solver's is left: asking more of the integrator from there on only costs.

# %%
evaluations = {}
for name in comparison.run.values:
    run = rdc_dyn.open_run(f"{folder}/runs/{name}")
    evaluations[str(name)] = float(run.vector_field_evaluations[-1]) if run.sizes["time"] else np.nan
error = table(comparison.error_losses.values)
cost = table(comparison.gradient_equivalents.values)
calls = table(np.array([evaluations[str(name)] for name in comparison.run.values]))
show("error of (R, D, C), nat", error, ".1e")
show("evaluations of the vector field", calls, ".0f")
show("gradient-equivalents", cost, ".0f")
failed = comparison.run.values[comparison.status.values != "COMPLETED"]
for name in failed:
    print(f"{name}: {comparison.status.sel(run=name).item()}: {comparison.message.sel(run=name).item()}")

# %% [markdown]
# ## The rule
# For each tolerance of the integrator, the loosest solver whose error is at most twice that of the tightest.

# %%
print()
for i, tolerance in enumerate(rows):
    good = np.flatnonzero(error[i] <= 2 * error[i, -1])
    if len(good):
        loosest = columns[good[0]]
        print(f"integrator rtol {tolerance:.0e}: solver rtol {loosest:.0e} is enough, ratio {loosest / tolerance:.0e}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for i, (tolerance, colour) in enumerate(zip(rows, ("#D55E00", "#E69F00", "#009E73", "#0072B2", "#000000"))):
    for ax, values in ((axes[0], error), (axes[1], calls)):
        ax.loglog(columns, values[i], marker="o", color=colour, label=f"{tolerance:.0e}")
axes[0].set(xlabel="relative tolerance of the linear solves", ylabel="error of $(R, D, C)$ (nat)")
axes[1].set(xlabel="relative tolerance of the linear solves", ylabel="evaluations of the vector field")
for ax in axes:
    ax.invert_xaxis()
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(
    handles, labels, title="rtol of the integrator", loc="outside lower center", ncols=5, frameon=False, fontsize=8
)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
