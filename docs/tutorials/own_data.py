# %% [markdown]
# # Your own data
#
# The reader `npz` takes two arrays, `x` with a row for each datum and `y` with its label; here two noisy rings.

# %%
import tempfile
from pathlib import Path

import numpy as np

import rdc_dyn

rng = np.random.default_rng(0)
angle, label = rng.uniform(0, 2 * np.pi, 300), rng.integers(0, 2, 300)
radius = 1.0 + label + 0.1 * rng.standard_normal(300)
folder = Path(tempfile.mkdtemp())
np.savez(folder / "rings.npz", x=np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y=label)

# %% [markdown]
# A Gaussian likelihood suits real-valued x; for `bernoulli` x must lie in [0, 1]. The weight prior keeps A regular.

# %%
scenario = {
    "name": "rings",
    "data": {"source": {"name": "npz", "file": str(folder / "rings.npz")}, "validation_fraction": 0.2},
    "objective": {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [12], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [12], "likelihood": "gaussian", "variance": 0.1},
        "classifier": {"kind": "mlp", "hidden": [8]},
        "samples": 8,
        "weight_prior_precision": 0.05,
    },
    "start": {"lam": 0.5, "gamma": 8.0},
    "process": {"kind": "iso_classification", "span": [0.0, 0.3]},
    "integrator": {"method": "euler", "step_size": 0.05},
}
ds = rdc_dyn.run(scenario)
ds.attrs["status_message"]

# %%
columns = ["lam", "gamma", "rate", "distortion", "classification_loss", "accuracy"]
ds[columns].to_dataframe()[columns]

# %% [markdown]
# Frozen noise can be learnt by heart: D and C on noise that the model never saw stand beside the others, and the
# accuracy on held-out data beside that on the training data.

# %%
names = ["distortion", "fresh_distortion", "classification_loss", "fresh_classification_loss"]
ds[[*names, "accuracy", "validation_accuracy"]].isel(time=-1).to_pandas()

# %%
ds.rdc.plot_path()
