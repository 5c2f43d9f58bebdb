# %% [markdown]
# # Figure 4a: the free energy in the course of one equilibration
#
# From the equilibrium at (λ, γ) = (0.5, 1) the multipliers jump to (0.51, 1.04) while θ stays. J jumps with them, and
# the paper's equilibration (Adam, its learning rate a hump) takes it down towards the surface again. Reads a run whose
# process has `shape: jump`, whose response is `none` and whose gradient corrector has a `trace`.
#
#     rdc-dyn run scenarios/paper/fig4a_equilibration.yaml -o runs/fig4a
#     python analysis/fig4a_equilibration.py runs/fig4a fig4a.png fig4a.md

# %%
import json
import math

import claims
import numpy as np
import panels
import ways
import xarray as xr

given = ways.arguments("Figure 4a: F in the course of one equilibration", "RUN", "FIGURE", "TABLE")
recipe = ways.read_run(given.run, "equilibration")
found = ways.trajectories(recipe, points=2)
if not found:
    ways.fail(f"{given.run}: {claims.completed(recipe)} to its end; expected a run of at least two points", 4)
ds = found["equilibration"]
events = ds.rdc.events
courses = np.flatnonzero(events.kind == "equilibrated")
if not courses.size:
    ways.fail(f"{given.run}: no event equilibrated; expected a run with corrector.trace, such as corrector.trace=50", 4)

# %% [markdown]
# ## What happened
# J of all data at even intervals of the updates. F is concave in (λ, γ), so after the jump it can be no more than
# F + D dλ + C dγ of the start. Where the start was on the surface, what equilibration regains of the jump in J is of
# second order in the jump; more than that says that the start was not.

# %%
COURSE = ("free_energy", "equilibrium_residual")
J, residual = (np.array(json.loads(events[name].values[courses[0]])) for name in COURSE)
updates, pieces = int(ways.scenario(ds)["corrector"]["steps"]), len(J) - 1
at = np.array([math.ceil(k * updates / pieces) for k in range(pieces + 1)])
before, after = ds.isel(time=0), ds.isel(time=1)
F = float(before.free_energy)
step = [float(after[name] - before[name]) for name in ("lam", "gamma")]
bound = F + float(before.distortion) * step[0] + float(before.classification_loss) * step[1]
mean = [0.5 * float(before[name] + after[name]) for name in ("distortion", "classification_loss")]
work = mean[0] * step[0] + mean[1] * step[1]
regained = (J[0] - J[-1]) / (J[0] - F) if J[0] > F else math.nan
changed = abs(J[-1] - F) / abs(F)
ABOUT = 0.01


def multipliers(point: xr.Dataset) -> str:
    """(λ, γ) of a point."""
    return f"({float(point.lam):g}, {float(point.gamma):g})"


# %%
def cell(text: str) -> claims.Cell:
    """What was measured of the one run that there is."""
    return lambda way: text


number, verdict = claims.number, claims.verdict
moved = f"{multipliers(before)}, {multipliers(after)}"
residuals = ", ".join(number(x) for x in (float(before.equilibrium_residual), residual[0], max(residual), residual[-1]))
measured = [
    ("(lam, gamma) before and after", "(0.5, 1), (0.51, 1.04)", moved),
    ("updates of the equilibration", "", f"{updates}"),
    ("F before (nat)", "", number(F, 7)),
    ("J as the multipliers have jumped (nat)", "", number(J[0], 7)),
    ("J after the equilibration (nat)", "", number(J[-1], 7)),
    (f"F about equal: |dF| <= {ABOUT:g} |F|", "yes", verdict(changed <= ABOUT, number(changed))),
    ("share of the jump in J that is regained", "", number(regained)),
    ("F is at most F + D dlam + C dgamma (nat)", "", verdict(J[-1] <= bound, f"bound {number(bound, 7)}")),
    ("change of F less int D dlam + C dgamma (nat)", "", number(J[-1] - F - work)),
    ("|grad J| at F, as the multipliers have jumped, at most, after (nat)", "", residuals),
    ("cost: gradients + products", "", number(float(ways.gradient_equivalents(ds)[1]))),
    ("wall time (s)", "", number(float(ways.seconds(ds)[1]))),
]
rows = [
    claims.row("runs to the end of their span", "1 of 1", claims.completed, {}, recipe),
    *(claims.row(claim, paper, cell(text), {}, recipe) for claim, paper, text in measured),
    *claims.origin_rows({}, recipe, ""),
]
claims.write(rows, "Figure 4a: the free energy in the course of one equilibration", given.table)

# %% [markdown]
# ## The figure
# Left, J beside F of the start; in the middle its course alone, whose size is of another order where the start was on
# the surface; right, how far from equilibrium θ is.

# %%
figure, axes = panels.canvas(1, 3)
left, middle, right = axes[0]
left.plot(at, J, color=panels.RED)
left.axhline(F, color=panels.BLUE)
left.axhline(bound, color=panels.GREY, linestyle=":")
left.set(xlabel="updates since the jump", ylabel="free energy $J$ (nat)", title="Beside the free energy of the start")
middle.plot(at, J - J[0], color=panels.RED)
middle.set(xlabel="updates since the jump", ylabel="$J - J$ after the jump (nat)", title="Course of the equilibration")
right.plot(at, residual, color=panels.RED)
right.axhline(float(before.equilibrium_residual), color=panels.BLUE)
right.set(xlabel="updates since the jump", ylabel=r"$\|\nabla J\|$ (nat)", title="Distance from equilibrium")
entries = [
    panels.key(f"$J$ at {multipliers(after)}, equilibrating", panels.RED),
    panels.key(f"$F$ at {multipliers(before)}", panels.BLUE),
    panels.key(r"$F + D\,d\lambda + C\,d\gamma$", panels.GREY, ":"),
]
title = panels.headline(f"equilibration regains {claims.number(100 * regained, 3)} % of the jump in $J$", recipe)
panels.save(figure, entries, title, given.figure)
