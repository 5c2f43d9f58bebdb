"""Adam at fixed controls, with the paper's learning rate η_k ∝ (k/K)² (1 − k/K)⁵ (§5) or a constant one."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.optim.adam import adam

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Controls, Vector, all_finite
from rdc_dyn.status import NumericalFailure, Status


@dataclass
class Adam:
    """Adam's state: θ, which it changes in place, the running means of ∇J and of its square, and the steps so far."""

    theta: Vector
    mean: Vector = field(init=False)
    square: Vector = field(init=False)
    count: torch.Tensor = field(default_factory=lambda: torch.tensor(0.0))

    def __post_init__(self) -> None:
        self.mean, self.square = torch.zeros_like(self.theta), torch.zeros_like(self.theta)

    def step(self, gradient: Vector, learning_rate: float) -> None:
        """One step along a gradient, with torch's defaults (β₁ = 0.9, β₂ = 0.999, ε = 1e-8)."""
        theta, means, squares, counts = [self.theta], [self.mean], [self.square], [self.count]
        adam(theta, [gradient], means, squares, [], counts, foreach=self.theta.is_cuda, lr=learning_rate, beta1=0.9,
             beta2=0.999, eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False)  # fmt: skip


#: Largest rise of J in a correction, relative to |J|. Annealed on all data, only divergence raises J by a thousandth;
#: minibatch noise, and Adam's first steps at a constant rate near an equilibrium, may raise it further.
_RISE, _NOISY_RISE = 1e-3, 1e-1


def schedule(k: int, steps: int, peak: float) -> float:
    """η_k = peak · u² (1−u)⁵ / max with u = k/K; its largest value is `peak`, at u = 2/7."""
    u = k / steps
    return peak * u**2 * (1 - u) ** 5 / ((2 / 7) ** 2 * (5 / 7) ** 5)


def stream(seed: int, theta: Vector) -> torch.Generator:
    """A CPU random number generator that is a function of the seed and of θ alone, so that a rerun needs no counter.

    It does not depend on the multipliers: equilibrations from one θ at different multipliers draw the same minibatches,
    whose noise cancels in their difference.
    """
    content = hashlib.sha256(seed.to_bytes(8, "little"))
    content.update(theta.detach().cpu().double().contiguous().numpy().tobytes())
    return torch.Generator().manual_seed(int.from_bytes(content.digest()[:7], "little"))


@dataclass(frozen=True)
class Gradient(Corrector):
    """K Adam steps at fixed controls, on all data or on minibatches; holds no constraint and promises no residual.

    Attributes:
        steps: K.
        peak_learning_rate: Largest η; the paper's is 1.5e-3.
        batch: Data of each part in a minibatch, drawn anew for each step; None takes all data.
        schedule: hump is the paper's, constant that of plain training.
        trace: Number of values of J and ‖∇J‖ over all data to report besides the first; 0 for none.
    """

    steps: int
    peak_learning_rate: float = 1.5e-3
    batch: int | None = None
    seed: int = 0
    schedule: Literal["hump", "constant"] = "hump"
    trace: int = 0

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Equilibrate at fixed controls; fails with NON_FINITE, or with CORRECTOR_DIVERGED if J rose."""
        theta, draws, controls = state.theta.clone(), stream(self.seed, state.theta), state.controls
        optimiser, rate = Adam(theta), self.peak_learning_rate
        trace = [_values(free_energy, theta, controls)] if self.trace else []
        before = trace[0][0] if trace else free_energy.value(theta, controls)
        for k in range(1, self.steps + 1):
            part = free_energy if self.batch is None else free_energy.minibatch(self.batch, draws, controls[2])
            value, gradient = part.gradient(theta, controls)
            if not (math.isfinite(value) and all_finite(gradient)):
                return Correction(state, None, k, Status.NON_FINITE, f"J = {value:.6g}")
            if self.schedule == "hump":
                rate = schedule(k, self.steps, self.peak_learning_rate)
            optimiser.step(gradient, rate)
            if k * self.trace // self.steps > (k - 1) * self.trace // self.steps:
                trace.append(_values(free_energy, theta, controls))
        corrected = State(theta, controls)
        try:
            at = free_energy.linearise(corrected.theta, corrected.controls)
        except NumericalFailure as failure:
            return Correction(state, None, self.steps, failure.status, failure.detail)
        anneals = self.batch is None and self.schedule == "hump"
        if at.value > before + (_RISE if anneals else _NOISY_RISE) * abs(before):
            return Correction(
                state, None, self.steps, Status.CORRECTOR_DIVERGED, f"J rose from {before:.6g} to {at.value:.6g}"
            )
        return Correction(corrected, at, self.steps, None, trace=tuple(trace))


def _values(free_energy: FreeEnergy, theta: Vector, controls: Controls) -> tuple[float, float]:
    """J and ‖∇J‖ over all data."""
    value, gradient = free_energy.gradient(theta, controls)
    return value, float(gradient.norm())
