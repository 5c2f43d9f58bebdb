# %% [markdown]
# # Figure 6: iso-classification transfer from CIFAR-10's vehicles to its animals
#
# The data move from airplane, automobile, ship and truck to bird, cat, deer and dog while C stays constant and λ falls
# at a constant rate, (32), from (λ, γ) = (4, 100) with dλ/dt = -1.5. Compared with fine-tuning the source's model on
# the target and with training on the target from scratch. Along the transfer C and accuracy are of held-out data at t,
# (1 - t) source + t target; those of the other two are of the target.
#
#     for s in transfer transfer_recipe fine_tuning from_scratch; do
#         rdc-dyn run scenarios/paper/fig6_$s.yaml -o runs/fig6_$s
#     done
#     cd runs && python ../analysis/fig6_iso_classification_transfer.py \
#         fig6_transfer fig6_transfer_recipe fig6_fine_tuning fig6_from_scratch fig6.png fig6.md
#
# The second, the same transfer by the paper's recipe, may be "-".

# %%
import claims
import panels
import transfers
import ways

given = ways.arguments("Figure 6: iso-classification transfer on CIFAR-10", *transfers.NAMES)
runs = transfers.read(given)
pair = runs.pair

# %% [markdown]
# ## The claims
# C and accuracy constant; at the end clearly better than fine-tuning in both, and than training from scratch in C.
# "Clearly" is by more than what is called constant.

# %%
loss, clear, less = "classification_loss", claims.CONSTANT_ACCURACY, claims.CONSTANT_LOSS
rows = [
    claims.row("transfer to the end of its span", "1 of 1", claims.completed, *pair),
    claims.row("lam along the transfer", "4 to 2.5", claims.over(ways.variable("lam")), *pair),
    claims.row("mean dlam/dt", "-1.5", claims.over(ways.slope("lam", "data_position")), *pair),
    claims.row("gamma along the transfer", "from 100", claims.over(ways.variable("gamma")), *pair),
    *claims.constant_rows(*pair, "along the transfer"),
    claims.row("accuracy along the transfer", "", claims.over(ways.held_out("accuracy")), *pair),
    claims.row("C along the transfer (nat)", "", claims.over(ways.held_out(loss)), *pair),
    claims.row(
        f"accuracy at the end above fine-tuning: by > {clear:g}",
        "yes",
        transfers.above("accuracy", runs.tuning, clear),
        *pair,
    ),
    claims.row(
        f"C at the end below fine-tuning: by > {less:g} of it", "yes", transfers.below(loss, runs.tuning, less), *pair
    ),
    claims.row(
        f"accuracy at the end above from scratch: by > {clear:g}",
        "yes",
        transfers.above("accuracy", runs.scratch, clear),
        *pair,
    ),
    claims.row(
        f"C at the end below from scratch: by > {less:g} of it", "yes", transfers.below(loss, runs.scratch, less), *pair
    ),
    claims.row("fine-tuning starts below half of the transfer's least", "yes", transfers.starts_low(runs), *pair),
    claims.row("F - F0 = int D dlam + C dgamma + dF/dt dt, to 1 %", "", claims.bounded(ways.closure, 0.01), *pair),
    *claims.course_rows(*pair),
    *transfers.baseline_rows(runs),
    *claims.origin_rows(*pair, "40000"),
]
claims.write(rows, "Figure 6: iso-classification transfer from CIFAR-10's vehicles to its animals", given.table)

# %%
figure, axes = panels.canvas(2, 4)
transfers.quantity(axes[0, 0], runs, loss, panels.C, "Classification loss")
transfers.quantity(axes[0, 1], runs, "accuracy", "accuracy", "Accuracy")
transfers.plane(axes[0, 2], runs)
transfers.multipliers(axes[0, 3], runs)
panels.courses(axes[1], runs.lines, ways.variable("data_position"), panels.T)
title = panels.headline(r"transfer at constant $C$ and $d\lambda/dt$, rings are starts", *pair)
panels.save(figure, transfers.keys(runs), title, given.figure)
