# %% [markdown]
# # The first trajectory
#
# A linear-Gaussian model has a closed-form equilibrium surface and runs in seconds, so it is the place to begin.
# `rdc_dyn.run` takes the name of a shipped scenario, a YAML file of yours, or a dictionary.

# %%
import rdc_dyn

ds = rdc_dyn.run("linear_gaussian_iso_classification")
ds.rdc

# %% [markdown]
# `ds.rdc` tells how the run went and what can be done with it. `ds` itself is one `xarray.Dataset` with the process
# clock as its dimension. Rate, distortion and classification loss are in nats per datum; `response` is the matrix
# M = d(R, D, C)/d(λ, γ, t).

# %%
columns = ["lam", "gamma", "rate", "distortion", "classification_loss", "free_energy"]
ds[columns].to_dataframe()[columns].iloc[::4]

# %% [markdown]
# The process holds the classification loss. How well, and whether the path is one of equilibria, the accessor tells:
# D_γ = C_λ (Maxwell's relation), and F − F₀ = ∫ D dλ + C dγ.

# %%
print("drift of C            ", float(abs(ds.rdc.drift("classification_loss")).max()))
print("Maxwell's relation    ", float(ds.rdc.maxwell_residual().max()))
print("closure of F          ", float(abs(ds.rdc.free_energy_closure()).max()))

# %%
ds.rdc.plot()

# %% [markdown]
# On the command line the same run is
#
# ```sh
# rdc-dyn run linear_gaussian_iso_classification -o runs/first
# rdc-dyn plot runs/first -o first.png
# ```
#
# and `rdc_dyn.open_run("runs/first")` opens it. `rdc-dyn init digits -o my.yaml` writes a commented scenario.
