# %% [markdown]
# # Which integrator to trust, and which is cheap
#
# Reads one sweep over integrators, step sizes and tolerances with `rdc_dyn.compare` and prints what it says: the order
# that each method shows, where its error ends, and what an accuracy costs. Orders are taken from the runs without
# corrector; with one the error no longer accumulates, and what is left is another question (`analysis/corrector.py`).
#
#     rdc-dyn sweep scenarios/sweeps/linear_gaussian_integrators.yaml -o sweeps/integrators --jobs 2
#     python analysis/integrators.py sweeps/integrators integrators.png

# %%
import sys

import numpy as np

import rdc_dyn  # registers ds.rdc

folder, figure_file = (sys.argv[1:] + ["sweeps/integrators", "integrators.png"][len(sys.argv) - 1 :])[:2]
comparison = rdc_dyn.compare(folder)
QUANTITIES = ("error_multipliers", "error_losses")
print(f"{comparison.sizes['run']} runs; reference: {comparison.attrs['reference']}")

# %% [markdown]
# ## Observed orders
# Slope of log error against log step size, with its 95 % confidence; runs at the solver's floor are left out. For
# adaptive methods it is the power of rtol, which the method's order does not fix.

# %%
print(f"\n{'':36}{'method':>7}{'(lam, gamma)':>28}{'(R, D, C)':>28}")
for series in comparison.series_name.values:
    own = comparison.sel(series_name=series)
    cells = []
    for quantity in QUANTITIES:
        at = own.sel(quantity=quantity)
        if int(at.order_points) < 2:
            cells.append(f"{'at the floor':>28}")
            continue
        half = 0.5 * float(at.order_high - at.order_low)
        cells.append(f"{float(at.order):12.2f} ± {half:4.2f} ({int(at.order_points)} runs)")
    expected = "" if np.isnan(own.method_order) else f"{float(own.method_order):.0f}"
    print(f"{series!s:36}{expected:>7}{''.join(cells)}")

# %% [markdown]
# ## What an accuracy costs
# The cheapest run whose path is at least so accurate, by gradient-equivalents.

# %%
error = comparison.error_losses.values
cost = comparison.gradient_equivalents.values
print(f"\n{'error of (R, D, C)':>20}  {'cheapest run':34}{'step, rtol':>11}{'cost':>8}")
for accuracy in 10.0 ** np.arange(-2, -13, -1):
    good = np.flatnonzero(error <= accuracy)
    if len(good):
        best = comparison.isel(run=good[np.argmin(cost[good])])
        name, resolution = str(best.series.values), float(best.resolution)
        print(f"{accuracy:20.0e}  {name:34}{resolution:11.3g}{float(best.gradient_equivalents):8.0f}")
    else:
        print(f"{accuracy:20.0e}  none")

# %%
comparison.rdc.plot_work_precision().savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
