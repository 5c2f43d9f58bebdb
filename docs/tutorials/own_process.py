# %% [markdown]
# # Your own process
#
# A process gives its span and its rates. It sees the surface near the present equilibrium: the controls (λ, γ, t), the
# response matrix M, the forces (D, C, ∂F/∂t) and the rate.

# %%
import math

import torch

import rdc_dyn


class Spiral(rdc_dyn.Process):
    span = (0.0, 1.0)

    def rates(self, s, here):
        return torch.tensor([math.cos(3 * s), math.sin(3 * s), 0.0], dtype=torch.float64)


ds = rdc_dyn.run("linear_gaussian_iso_classification", process=Spiral())
ds.rdc.plot_multipliers()

# %% [markdown]
# A process that lowers the rate while it holds the classification loss: the direction that leaves C alone is
# (−C_γ, C_λ), and the row of R tells its sign.


# %%
class LessRate(rdc_dyn.Process):
    span = (0.0, 0.5)
    held = ((0.0, 0.0, 1.0),)

    def rates(self, s, here):
        rate, _, loss = here.matrix
        along = torch.stack([-loss[1], loss[0]])
        along = along / along.norm()
        return torch.cat([-torch.sign(rate[:2] @ along) * along, along.new_zeros(1)])


ds = rdc_dyn.run("linear_gaussian_iso_classification", process=LessRate())
print("drift of C", float(abs(ds.rdc.drift()).max()))
ds[["lam", "gamma", "rate", "classification_loss"]].to_dataframe()

# %% [markdown]
# Objectives, responses, correctors and integrators of your own go in the same way; a package can register them for
# scenarios: see [](../howto/members.md).
