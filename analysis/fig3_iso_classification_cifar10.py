# %% [markdown]
# # Figure 3: iso-classification on CIFAR-10
#
# As figure 2, with a residual network: four models start at λ = 0.5 and γ = 5, 10, 15, 20. Reads two sweeps over
# `start.gamma`; "-" in place of the second leaves it out. `--mnist` names the sweep of figure 2, whose rate-distortion
# curves the paper calls less flat.
#
#     rdc-dyn sweep scenarios/paper/fig3_cifar10.yaml -o sweeps/fig3
#     rdc-dyn sweep scenarios/paper/fig3_cifar10_recipe.yaml -o sweeps/fig3_recipe
#     python analysis/fig3_iso_classification_cifar10.py sweeps/fig3 sweeps/fig3_recipe fig3.png fig3.md \
#         --mnist sweeps/fig2

# %%
import claims
import numpy as np
import panels
import ways

given = ways.arguments(
    "Figure 3: iso-classification on CIFAR-10", "SWEEP", "RECIPE_SWEEP", "FIGURE", "TABLE",
    option=("--mnist", "the sweep of figure 2, to compare how flat the curves are"),
)  # fmt: skip
ours, recipe = ways.read_sweep(given.sweep), ways.read_sweep(given.recipe_sweep)
mnist = ways.read_sweep(given.mnist or ways.NOTHING)


# %% [markdown]
# ## A flatter curve
# "Flat" is read as straight: for a model that can do everything R + λD + γC is constant on a plane and the curve is a
# line. The distance from the chord over its length needs no unit, unlike the slope.


# %%
def bend(way: ways.Way) -> float:
    """Median over the runs of the distance of (R, D) from its chord, over the chord's length."""
    return float(np.median([ways.straightness(ds) for ds in ways.trajectories(way, points=3).values()]))


def flatter(way: ways.Way) -> str:
    """Whether the curves are straighter than those of figure 2."""
    if not (ways.trajectories(way, points=3) and ways.trajectories(mnist, points=3)):
        return claims.NOT_KNOWN
    here, there = bend(way), bend(mnist)
    return claims.verdict(here < there, f"{claims.number(here)} against {claims.number(there)}")


# %% [markdown]
# ## The claims

# %%
pair = (ours, recipe)
loss = "classification_loss"
rows = [
    claims.row("runs to the end of their span", "4 of 4", claims.completed, *pair),
    claims.row("validation C within (nat)", "0.5 to 0.8", claims.over(ways.held_out(loss), 0.5, 0.8), *pair),
    claims.row("C on training data within (nat)", "0.02 to 0.09", claims.over(ways.variable(loss), 0.02, 0.09), *pair),
    *claims.constant_rows(*pair, "along each run"),
    claims.row("validation accuracy", "", claims.over(ways.held_out("accuracy")), *pair),
    claims.row("(R, D) nearer to its chord than in figure 2", "yes", flatter, *pair),
    *claims.curve_rows(*pair),
    *claims.course_rows(*pair),
    *claims.run_rows(*pair),
    *claims.origin_rows(*pair, "50000"),
]
claims.write(rows, "Figure 3: iso-classification on CIFAR-10", given.table)

# %%
title = panels.headline("iso-classification, rings are starts", *pair)
panels.save(panels.iso_classification(*pair), panels.keys(*pair), title, given.figure)
