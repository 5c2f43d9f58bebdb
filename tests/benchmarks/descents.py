"""What others use: warm-started L-BFGS and Adam, counted in gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics import State


def lbfgs(free_energy: FreeEnergy, state: State, tolerance: float, most: int) -> tuple[Tensor, float, int]:
    """torch's L-BFGS with strong Wolfe line search and 50 pairs; θ, |∇J| and gradients spent."""
    theta = state.theta.clone().requires_grad_()
    norm, count = [float("inf")], [0]

    def closure() -> float:
        count[0] += 1
        value, theta.grad = free_energy.gradient(theta.detach(), state.controls)
        norm[0] = float(theta.grad.norm())
        return value

    while norm[0] > tolerance and count[0] < most:
        before = count[0]
        optimiser = torch.optim.LBFGS(
            [theta], max_iter=500, history_size=50, tolerance_grad=0.0, tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )  # fmt: skip
        for _ in range(500):
            optimiser.param_groups[0]["max_iter"] = 1
            optimiser.step(closure)
            if norm[0] <= tolerance or count[0] >= most:
                break
        if count[0] - before < 5:
            break  # the line search no longer finds a lower J
    return theta.detach(), norm[0], count[0]


def warm_adam(free_energy: FreeEnergy, state: State, tolerance: float, most: int) -> tuple[float, int]:
    """Adam at 1e-3, a tenth of it after each third of the budget; best |∇J| and gradients spent."""
    theta, best = state.theta.clone(), float("inf")
    optimiser = torch.optim.Adam([theta], lr=1e-3)
    for step in range(most):
        _, theta.grad = free_energy.gradient(theta, state.controls)
        best = min(best, float(theta.grad.norm()))
        if best <= tolerance:
            return best, step + 1
        optimiser.param_groups[0]["lr"] = 1e-3 * 0.1 ** (3 * step // most)
        optimiser.step()
    return best, most
