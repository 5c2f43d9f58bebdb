# %% [markdown]
# # What a frozen encoder costs
#
# Runs a scenario with a prescribed path twice from the same start: with all networks free, and with the encoder held
# where it is there. The price is J of the frozen minus J of the free system at the same (λ, γ), zero at the start. To
# second order in the distance u it is ½ uᵀ(M' − M)u, where M and M' are the responses of (D, C) to (λ, γ) of the two.
#
#     python analysis/frozen_encoder.py scenarios/truths/digits_frozen_encoder.yaml frozen.png

# %%
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from ruamel.yaml import YAML

import rdc_dyn

words = sys.argv[1:] + ["scenarios/truths/digits_frozen_encoder.yaml", "frozen.png"][len(sys.argv) - 1 :]
scenario_file, figure_file = words[:2]
scenario = YAML(typ="safe").load(Path(scenario_file))
with TemporaryDirectory() as folder:
    free = rdc_dyn.run(scenario, Path(folder) / "free")
    networks = rdc_dyn.load_networks(Path(folder) / "free", point=0)
networks["encoder"].requires_grad_(False)
encoder, decoder = scenario["objective"]["encoder"], scenario["objective"]["decoder"]
scenario["objective"] |= {
    "encoder": {"kind": "module", "latent_dim": encoder["latent_dim"]},
    "decoder": {"kind": "module", "likelihood": decoder["likelihood"]},
    "classifier": {"kind": "module"},
}
scenario["start"]["equilibrate"] = {"adam_steps": 0}  # which is where the free system began
frozen = rdc_dyn.run(scenario, networks=networks)
free, frozen = xr.align(free, frozen)  # the points that both have

# %% [markdown]
# The weight prior of the frozen parameters is part of J of the free system alone. For the frozen one it is a constant,
# by which the two J differ at the start, and which is taken off.

# %%
price = (frozen.free_energy - frozen.free_energy[0] - (free.free_energy - free.free_energy[0])).values
moved = np.stack([free[c] - free[c][0] for c in ("lam", "gamma")])
losses, controls = ["distortion", "classification_loss"], ["lam", "gamma"]
response, of_frozen = (ds.response[:, :, 0].sel(functional=losses, control=controls).values for ds in (free, frozen))
predicted = 0.5 * np.einsum("ip,ij,jp->p", moved, of_frozen - response, moved)
print(f"{'lam':>8}{'gamma':>8}{'price (nat)':>13}{'2nd order':>12}")
for row in zip(free.lam.values, free.gamma.values, price, predicted):
    print("{:8.4f}{:8.4f}{:13.3e}{:12.3e}".format(*row))
print(f"R: free {float(free.rate[0]):.4f} to {float(free.rate[-1]):.4f}, frozen {float(frozen.rate[-1]):.4f} nat")

figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
distance = np.linalg.norm(moved, axis=0)
axes.loglog(distance[1:], price[1:], "o", ms=4, mfc="none", color="#D55E00", label="price")
axes.loglog(distance[1:], predicted[1:], color="#0072B2", label=r"$\frac{1}{2}u^{\top}(M' - M)u$ at the start")
axes.set(xlabel=r"distance $|u|$ in $(\lambda, \gamma)$", ylabel="nat", title="What a frozen encoder costs")
axes.legend(frameon=False)
figure.savefig(figure_file, dpi=150)
print(f"wrote {figure_file}")
