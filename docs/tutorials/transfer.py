# %% [markdown]
# # From one task to another
#
# The data change from a source to a target while the classification loss stays what it is: by (32) with λ rising
# steadily, or along a straight line in (R, D), the geodesic (30). The clock is the position t of the data.

# %%
import rdc_dyn

ds = rdc_dyn.run("linear_gaussian_geodesic_transfer")
ds.attrs["status_message"]

# %%
print("drift of C               ", float(abs(ds.rdc.drift()).max()))
print("distance from the line   ", ds.rdc.geodesic_straightness())

# %%
ds.rdc.plot_path()

# %%
ds.rdc.plot_multipliers()

# %% [markdown]
# `digits_transfer_geodesic_mixture` and its siblings do the same on images, where the data are a mixture or move along
# an optimal transport plan; see [](../howto/data.md).
