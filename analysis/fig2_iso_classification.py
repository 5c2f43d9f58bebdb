# %% [markdown]
# # Figure 2: iso-classification on MNIST
#
# Five models start at λ = 0.25 and γ = 4, 6, 8, 10, 15 and move over the equilibrium surface at constant C. Each path
# is followed twice, by this project's way (solid) and by the paper's recipe (dashed): finite differences (31) and a
# gradient corrector that holds nothing. Reads two sweeps over `start.gamma`; "-" in place of the second leaves it out.
# A run that stopped early is drawn as far as it came.
#
#     rdc-dyn sweep scenarios/paper/fig2_mnist.yaml -o sweeps/fig2
#     rdc-dyn sweep scenarios/paper/fig2_mnist_recipe.yaml -o sweeps/fig2_recipe
#     python analysis/fig2_iso_classification.py sweeps/fig2 sweeps/fig2_recipe fig2.png fig2.md

# %%
import claims
import panels
import ways

given = ways.arguments("Figure 2: iso-classification on MNIST", "SWEEP", "RECIPE_SWEEP", "FIGURE", "TABLE")
ours, recipe = ways.read_sweep(given.sweep), ways.read_sweep(given.recipe_sweep)

# %% [markdown]
# ## The claims
# The paper gives accuracies of 92 to 98 % and training losses of 0.06 to 0.2 nat, and calls both constant; what is
# called so here is said in each row. At constant C (29) makes R rise and D fall; with a weight prior Ω it is R + Ω that
# rises, dR + dΩ = -λ dD. F is a potential, so it must change by the work along the path.

# %%
pair = (ours, recipe)
accuracy, loss = ways.held_out("accuracy"), ways.variable("classification_loss")
rows = [
    claims.row("runs to the end of their span", "5 of 5", claims.completed, *pair),
    claims.row("validation accuracy within", "0.92 to 0.98", claims.over(accuracy, 0.92, 0.98), *pair),
    claims.row("C on training data within (nat)", "0.06 to 0.2", claims.over(loss, 0.06, 0.2), *pair),
    *claims.constant_rows(*pair, "along each run"),
    *claims.curve_rows(*pair),
    *claims.course_rows(*pair),
    *claims.run_rows(*pair),
    *claims.origin_rows(*pair, "60000"),
]
claims.write(rows, "Figure 2: iso-classification on MNIST", given.table)

# %% [markdown]
# ## The figure
# The clock has the same meaning in both ways, so that they can be compared along the path.

# %%
title = panels.headline("iso-classification, rings are starts", *pair)
panels.save(panels.iso_classification(*pair), panels.keys(*pair), title, given.figure)
