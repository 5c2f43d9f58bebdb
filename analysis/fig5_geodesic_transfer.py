# %% [markdown]
# # Figure 5: geodesic transfer from MNIST 0-4 to 5-9
#
# The data move from the digits 0-4 to the digits 5-9 while C stays constant and (R, D) runs on a straight line, (30).
# Compared with fine-tuning the source's model on the target and with training on the target from scratch. Along the
# transfer accuracies are of held-out data at t, (1 - t) source + t target; those of the other two are of the target.
#
#     for s in transfer transfer_recipe fine_tuning from_scratch; do
#         rdc-dyn run scenarios/paper/fig5_$s.yaml -o runs/fig5_$s
#     done
#     cd runs && python ../analysis/fig5_geodesic_transfer.py \
#         fig5_transfer fig5_transfer_recipe fig5_fine_tuning fig5_from_scratch fig5.png fig5.md
#
# The second, the same transfer by the paper's recipe, may be "-".

# %%
import claims
import numpy as np
import panels
import transfers
import ways
import xarray as xr

given = ways.arguments("Figure 5: geodesic transfer on MNIST", *transfers.NAMES)
runs = transfers.read(given)
pair = runs.pair


# %% [markdown]
# ## The claims
# Accuracy constant, and the same as from scratch; a gap to fine-tuning that is small, though fine-tuning starts very
# low ("very low": less than half of the least along the transfer). R falls, D rises, dR/dD is constant: the distance of
# (R, D) from its chord is at most 1 % of the chord.


# %%
def slopes(ds: xr.Dataset) -> np.ndarray:
    """ΔR/ΔD of each step."""
    return np.diff(ds.rate.values) / np.diff(ds.distortion.values)


close = claims.CONSTANT_ACCURACY
rows = [
    claims.row("transfer to the end of its span", "1 of 1", claims.completed, *pair),
    *claims.constant_rows(*pair, "along the transfer"),
    claims.row("accuracy along the transfer", "", claims.over(ways.held_out("accuracy")), *pair),
    claims.row(
        f"accuracy at the end as from scratch: to {close:g}",
        "yes",
        transfers.near("accuracy", runs.scratch, close),
        *pair,
    ),
    claims.row(
        f"accuracy at the end as by fine-tuning: to {close:g}",
        "small gap",
        transfers.near("accuracy", runs.tuning, close),
        *pair,
    ),
    claims.row("fine-tuning starts below half of the transfer's least", "yes", transfers.starts_low(runs), *pair),
    claims.row("R falls at every step", "yes", claims.monotone(ways.variable("rate"), -1), *pair),
    claims.row("D rises at every step", "yes", claims.monotone(ways.variable("distortion"), 1), *pair),
    claims.row(
        "(R, D) straight: distance from the chord <= 1 %",
        "yes",
        claims.bounded(ways.straightness, 0.01),
        *pair,
    ),
    claims.row("dR/dD of the steps", "constant", claims.over(slopes), *pair),
    claims.row("F - F0 = int D dlam + C dgamma + dF/dt dt, to 1 %", "", claims.bounded(ways.closure, 0.01), *pair),
    claims.row("lam along the transfer", "", claims.over(ways.variable("lam")), *pair),
    claims.row("gamma along the transfer", "", claims.over(ways.variable("gamma")), *pair),
    *claims.course_rows(*pair),
    *transfers.baseline_rows(runs),
    *claims.origin_rows(*pair, "60000"),
]
claims.write(rows, "Figure 5: geodesic transfer from MNIST 0-4 to 5-9", given.table)

# %%
figure, axes = panels.canvas(2, 4)
transfers.plane(axes[0, 0], runs)
transfers.quantity(axes[0, 1], runs, "accuracy", "accuracy", "Accuracy")
transfers.quantity(axes[0, 2], runs, "classification_loss", panels.C, "Classification loss")
transfers.multipliers(axes[0, 3], runs)
panels.courses(axes[1], runs.lines, ways.variable("data_position"), panels.T)
kinds = {ways.scenario(ds)["process"]["kind"] for way in pair for ds in ways.trajectories(way).values()}
kept = "on a straight line in $(R, D)$" if kinds == {"geodesic_transfer"} else "at constant $C$"
title = panels.headline(f"transfer {kept}, rings are starts", *pair)
panels.save(figure, transfers.keys(runs), title, given.figure)
