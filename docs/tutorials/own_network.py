# %% [markdown]
# # Your own network
#
# An encoder takes rows of x and gives mean and log-variance, twice the number of latent dimensions; a decoder takes
# codes and gives means (or logits). Any `torch.nn.Module` serves that
# is smooth (tanh or softplus, not ReLU: Newton needs second derivatives) and has no dropout and no batch statistics.

# %%
import torch
from torch import nn

import rdc_dyn

torch.manual_seed(0)
networks = {
    "encoder": nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4)
    ),
    "decoder": nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 64)),
}
scenario = {
    "name": "own-networks",
    "data": {"source": {"name": "digits", "classes": [0, 1, 2], "limit": 60}},
    "objective": {
        "kind": "amortised",
        "encoder": {"kind": "module", "latent_dim": 2},
        "decoder": {"kind": "module", "likelihood": "bernoulli"},
        "weight_prior_precision": 0.1,
    },
    "start": {"lam": 0.5, "gamma": 2.0},
    "process": {"kind": "iso_classification", "span": [0.0, 0.2]},
    "integrator": {"method": "euler", "step_size": 0.05},
}
ds = rdc_dyn.run(scenario, networks=networks)
print(ds.attrs["modules"])

# %%
columns = ["lam", "gamma", "rate", "distortion", "classification_loss", "accuracy"]
ds[columns].to_dataframe()[columns]

# %% [markdown]
# The modules that were passed stay as they are; `rdc_dyn.load_networks(run, networks)` returns trained ones from a run
# directory. A scenario can also name a file that makes the modules, for the command line and for sweeps; there is
# [a guide](../howto/networks.md).
