# %% [markdown]
# # A rate–distortion curve from one training
#
# With γ = 0 and λ moving, one path is the whole rate–distortion curve of a model: every point is an equilibrium, and
# the slope of the curve is −λ.

# %%
import rdc_dyn

scenario = {
    "name": "rate-distortion",
    "data": {"source": {"name": "digits", "classes": [0, 1, 2, 3], "limit": 120}},
    "objective": {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [8], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [8], "likelihood": "bernoulli"},
        "samples": 8,
        "weight_prior_precision": 0.02,
    },
    "start": {"lam": 1.0, "gamma": 0.0},
    "process": {"kind": "prescribed", "path": {"lam": [1.0, 4.0], "gamma": [0.0, 0.0]}, "shape": "exponential"},
    "integrator": {"method": "euler", "step_size": 0.1},
}
ds = rdc_dyn.run(scenario)
columns = ["lam", "rate", "distortion", "free_energy", "gradient_evaluations"]
ds[columns].to_dataframe()[columns].iloc[::4]

# %%
ds.rdc.plot_path(units="bits")  # what is stored is in nats

# %% [markdown]
# The last column of the table is the cost: most of it is the start. The weight prior adds its penalty Ω to the rate, so
# that the slope is d(R + Ω)/dD = −λ. Where a branch of minima ends the run relaxes to the one that takes over; such
# jumps are marked in figures, and listed among the events.

# %%
events = ds.rdc.events.to_dataframe()
events.loc[events.kind == "relaxed", ["time", "jump_rate", "jump_distortion", "jump_free_energy"]].head()
