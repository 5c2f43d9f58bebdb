# %% [markdown]
# # Figure 4b: the free energy along iso-classification
#
# The first run of figure 2, that of the smallest γ₀. F changes a lot although C is constant, and by no other amount
# than the work ∫ D dλ + C dγ. The paper's run goes from (λ, γ) = (0.25, 4) to (3.5, 26), a mean slope of 6.8. Reads the
# sweeps of figure 2; "-" in place of the second leaves it out.
#
#     python analysis/fig4b_multipliers.py sweeps/fig2 sweeps/fig2_recipe fig4b.png fig4b.md

# %%
import claims
import numpy as np
import panels
import ways
import xarray as xr
from matplotlib.ticker import MaxNLocator

given = ways.arguments("Figure 4b: F along iso-classification", "SWEEP", "RECIPE_SWEEP", "FIGURE", "TABLE")
sweeps = ways.read_sweep(given.sweep), ways.read_sweep(given.recipe_sweep)
first = next(iter(sweeps[0]))
ours, recipe = ({first: sweep[first]} if first in sweep else {} for sweep in sweeps)
if not ways.trajectories(ours, points=2):
    ways.fail(f"{given.sweep}: {first} has not moved ({ours[first].status}); expected a run of at least two points", 4)
LAM, GAMMA = (0.25, 3.5), (4.0, 26.0)
SLOPE = (GAMMA[1] - GAMMA[0]) / (LAM[1] - LAM[0])


# %% [markdown]
# ## Slopes and work
# A local slope is that of the chord of one step; at constant C it is −C_λ / C_γ.


# %%
def slopes(ds: xr.Dataset) -> np.ndarray:
    """Δγ/Δλ of each step."""
    return np.diff(ds.gamma.values) / np.diff(ds.lam.values)


def work(ds: xr.Dataset) -> xr.DataArray:
    """F₀ + ∫ D dλ + C dγ."""
    return ds.free_energy - ds.rdc.free_energy_closure()


def risen(ds: xr.Dataset) -> float:
    """(F − F₀) / |F₀| at the end."""
    return float((ds.free_energy[-1] - ds.free_energy[0]) / abs(ds.free_energy[0]))


# %%
pair = (ours, recipe)
mean = ways.slope("gamma", "lam")
rows = [
    claims.row("run", f"gamma0 = {GAMMA[0]:g}", lambda way: "; ".join(way), *pair),
    claims.row("runs to the end of their span", "1 of 1", claims.completed, *pair),
    claims.row("steps", "", claims.over(lambda ds: float(ds.sizes["time"] - 1)), *pair),
    claims.row("lam along the run", f"{LAM[0]:g} to {LAM[1]:g}", claims.over(ways.variable("lam")), *pair),
    claims.row("gamma along the run", f"{GAMMA[0]:g} to {GAMMA[1]:g}", claims.over(ways.variable("gamma")), *pair),
    claims.row("mean slope dgamma/dlam", f"{SLOPE:.2g}", claims.over(mean), *pair),
    claims.row("slopes dgamma/dlam of the steps", "", claims.over(slopes), *pair),
    claims.row("F along the run (nat)", "", claims.over(ways.variable("free_energy")), *pair),
    claims.row("(F - F0) / |F0| at the end", "changes a lot", claims.over(risen), *pair),
    claims.row("F - F0 = int D dlam + C dgamma, to 1 %", "", claims.bounded(ways.closure, 0.01), *pair),
    *claims.constant_rows(*pair, "along the run"),
    *claims.course_rows(*pair),
    *claims.origin_rows(*pair, "60000"),
]
claims.write(rows, "Figure 4b: the free energy along iso-classification", given.table)

# %%
figure, axes = panels.canvas(1, 3)
energy, path, local = axes[0]
for line in panels.lines(*pair):
    ds, look = line.trajectory, line.look(line.trajectory.sizes["time"])
    colour = {panels.OURS: panels.BLUE, panels.RECIPE: panels.RED}[line.way]
    steps = np.arange(ds.sizes["time"])
    energy.plot(steps, ds.free_energy, **look | {"color": colour})
    energy.plot(steps, work(ds), color=panels.BLACK, linestyle=":", linewidth=1.0)
    path.plot(ds.lam, ds.gamma, **look | {"color": colour})
    local.plot(0.5 * (ds.lam.values[1:] + ds.lam.values[:-1]), slopes(ds), **look | {"color": colour})
    local.axhline(mean(ds), color=colour, linestyle=line.way, linewidth=0.8, alpha=0.6)
here = next(iter(ways.trajectories(ours).values()))
ends = here.lam.values[[0, -1]]
path.plot(ends, here.gamma.values[0] + SLOPE * (ends - ends[0]), color=panels.GREEN, linestyle="-.")
local.axhline(SLOPE, color=panels.GREEN, linestyle="-.")
energy.xaxis.set_major_locator(MaxNLocator(6, integer=True))
energy.set(xlabel="step of (31)", ylabel="free energy $F$ (nat)", title="Free energy and the work along the path")
path.set(xlabel=panels.LAM, ylabel=panels.GAMMA, title="Lagrange multipliers")
local.set(xlabel=panels.LAM, ylabel=r"$d\gamma / d\lambda$", title="Slope of each step, and its mean (thin)")
entries = [
    panels.key(panels.WAYS[style], {panels.OURS: panels.BLUE, panels.RECIPE: panels.RED}[style], style)
    for style, way in ((panels.OURS, ours), (panels.RECIPE, recipe))
    if way
]
entries += [
    panels.key(r"$F_0 + \int D\,d\lambda + C\,d\gamma$", panels.BLACK, ":"),
    panels.key(f"the paper's mean slope, {SLOPE:.2g}", panels.GREEN, "-."),
]
title = panels.headline(f"iso-classification from $\\gamma_0$ = {first.split()[-1]}", *pair)
panels.save(figure, entries, title, given.figure)
