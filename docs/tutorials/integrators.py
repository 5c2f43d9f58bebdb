# %% [markdown]
# # Compare integrators and step sizes
#
# A sweep runs a scenario at every point of a grid over its keys, and `compare` says how accurate each run is, of which
# order, and at what cost. The reference here is the closed form.

# %%
import tempfile
from pathlib import Path

import rdc_dyn

sweep = Path(tempfile.mkdtemp()) / "integrators"
result = rdc_dyn.sweep(
    "linear_gaussian_iso_classification",
    {
        "integrator.method": ["euler", "rk4"],
        "integrator.step_size": [0.5, 0.25, 0.125],
        "corrector": [{"method": "none"}, {"method": "newton_krylov"}],
    },
    output=sweep,
)
result

# %%
comparison = rdc_dyn.compare(sweep)
columns = ["error_multipliers", "error_losses", "gradient_equivalents"]
comparison[columns].to_dataframe().set_index(["series", "resolution"])[columns]

# %%
comparison.order.to_pandas()

# %%
comparison.rdc.plot_work_precision()

# %% [markdown]
# Without a corrector the error of Euler's method halves with the step and that of RK4 falls sixteenfold. With one, all
# of them end at the corrector's tolerance, because this path is nearly straight in (λ, γ).

# %% [markdown]
# `rdc_dyn.open_sweep` has all trajectories as one dataset over the swept keys. A dimension is a valid Python name: the
# key with underscores in place of dots.

# %%
ds = rdc_dyn.open_sweep(sweep)
ds.gamma.sel(integrator_method="rk4", integrator_step_size=0.25, corrector="none").dropna("time").to_series()
