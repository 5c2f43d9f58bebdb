# %% [markdown]
# # Predictor or not
#
# The paper's recipe moves (λ, γ) by C_λ and C_γ from finite differences (31) and leaves θ where it was: the corrector
# has to carry it all the way. A predictor moves θ along with the multipliers. Here both are run with the same
# corrector, beside the linear response, which predicts by solving with A.
#
#     rdc-dyn sweep scenarios/sweeps/linear_gaussian_predictor.yaml -o sweeps/predictor --jobs 2
#     python analysis/predictor.py sweeps/predictor predictor.png

# %%
import sys

from matplotlib import pyplot as plt

import rdc_dyn

folder, figure_file = (sys.argv[1:] + ["sweeps/predictor", "predictor.png"][len(sys.argv) - 1 :])[:2]
ds = rdc_dyn.open_sweep(folder).load()
kinds, steps = ds.scenario_response.values, ds.integrator_step_size.values
first, last = ds.isel(time=0), ds.isel(time=-1)

# %% [markdown]
# ## What a step costs
# Counters are cumulative, so the end less the start is the path alone. With exact differences a predictor leaves the
# corrector an error of second order in the step, and without one of first order.

# %%
print(
    f"{'response':38}{'step':>8}{'corrector':>11}{'gradients':>11}{'products':>10}{'rejected':>10}   per nominal step"
)
length = float(ds.time[-1] - ds.time[0])
spent = {
    name: last[name] - first[name]
    for name in ("corrector_iterations", "gradient_evaluations", "hessian_vector_products")
}
for kind in kinds:
    for step in steps[::-1]:
        nominal = length / step
        own = {"scenario_response": kind, "integrator_step_size": step}
        cells = [float(value.sel(own)) / nominal for value in spent.values()]
        run = rdc_dyn.open_run(f"{folder}/runs/{ds.run.sel(own).item()}")
        rejected = int((run.rdc.events.kind == "rejected").sum())
        print(f"{kind:38}{step:8.4g}{cells[0]:11.1f}{cells[1]:11.1f}{cells[2]:10.1f}{rejected:10d}")

# %% [markdown]
# ## What it does to the answer
# All of them end on the surface and on the level set; where on it is decided by M alone, whose error is that of the
# differences, of first order in δ, but for the linear response.

# %%
comparison = rdc_dyn.compare(folder)
print(f"\nreference: {comparison.attrs['reference']}")
print(f"{'':56}{'step':>8}{'(lam, gamma)':>14}{'|grad J|':>10}{'held':>10}")
for name in comparison.run.values:
    one = comparison.sel(run=name)
    errors = float(one.error_multipliers), float(one.equilibrium_residual), float(one.error_held)
    print(f"{one.series.item():56}{float(one.resolution):8.4g}{errors[0]:14.1e}{errors[1]:10.1e}{errors[2]:10.1e}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for kind, colour, marker in zip(kinds, ("#0072B2", "#D55E00", "#009E73"), "osD"):
    own = {"scenario_response": kind}
    per_step = spent["corrector_iterations"].sel(own).values * steps / length
    cost = (spent["gradient_evaluations"] + 0.8 * spent["hessian_vector_products"]).sel(own).values
    axes[0].semilogx(steps, per_step, marker=marker, color=colour, label=str(kind))
    axes[1].semilogx(steps, cost, marker=marker, color=colour, label=str(kind))
axes[0].set(xlabel="step size (process clock)", ylabel="corrector iterations a step", ylim=(0, None))
axes[1].set(xlabel="step size (process clock)", ylabel="cost of the path (gradient-equivalents)", ylim=(0, None))
for ax in axes:
    ax.set_xticks(steps, [f"{step:g}" for step in steps])
    ax.minorticks_off()
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
