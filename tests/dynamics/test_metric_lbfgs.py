"""Descents by L-BFGS in the metric of a factor, and by the trust region where that metric misleads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.dynamics import Minimiser, Minimum, State, minimise
from rdc_dyn.linalg import Factorised, Preconditioner, SymmetricOperator, materialise
from rdc_dyn.linalg.factorised import ShiftedCholesky
from tests.linalg.matrices import spectrum
from tests.problems import amortised, blobs, controls, generator

_NETWORK = amortised(blobs())
_CONTROLS = controls(2.0, 4.0)


def _no_descent(free_energy: FreeEnergy, at: Linearisation, *others: object) -> tuple[Linearisation, int, float]:
    """L-BFGS that leaves everything to the trust region."""
    return at, 0, 0.0


def _random() -> State:
    return State(_NETWORK.initial(generator(1)), _CONTROLS)


def _saddle() -> State:
    """The best point at which a hidden unit of each network does nothing: no descent switches it on."""
    theta = _NETWORK.initial(generator(1))
    named = _NETWORK.layout.unflatten(theta)
    for part in ("encoder", "decoder"):
        for unit in (named[f"{part}.0.weight"], named[f"{part}.0.bias"], named[f"{part}.2.weight"].T):
            unit[0] = 0.0
    minimiser = Minimiser(Preconditioner(Factorised()), 1e-8)
    found = minimiser.minimise(FreeEnergy(_NETWORK, Work()), State(theta, _CONTROLS), accept="stationary").at
    assert found.residual <= 1e-8
    assert ShiftedCholesky.of(materialise(found)).shift > 0
    return State(found.theta, _CONTROLS)


def _descend(state: State, recipe: Factorised, max_steps: int = 500) -> tuple[Minimum, Work]:
    free_energy = FreeEnergy(_NETWORK, Work())
    return Minimiser(Preconditioner(recipe), 1e-8, max_steps).minimise(free_energy, state), free_energy.work


def _require_minimum(found: Minimum) -> None:
    assert found.failure is None
    assert found.at.residual <= 1e-8
    assert ShiftedCholesky.of(materialise(found.at)).shift == 0.0


@pytest.mark.parametrize("start", [_random, _saddle])
def test_it_ends_where_the_trust_region_does_for_less(
    start: Callable[[], State], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted with P products for every factor."""
    state = start()
    found, work = _descend(state, Factorised())
    _require_minimum(found)
    monkeypatch.setattr(minimise, "descend", _no_descent)
    alone, most = _descend(state, Factorised())
    _require_minimum(alone)
    assert found.at.value == pytest.approx(alone.at.value, abs=1e-10)
    spent, limit = (w.gradient_evaluations + 1.25 * w.hessian_vector_products for w in (work, most))
    assert spent < 0.8 * limit


@dataclass(frozen=True)
class _Misled(Factorised):
    """The first factor is of a matrix that has nothing to do with A."""

    built: list[SymmetricOperator] = field(default_factory=list)

    def products(self, size: int) -> int:
        return 400

    def build(self, operator: SymmetricOperator) -> ShiftedCholesky:
        self.built.append(operator)
        wrong = spectrum(torch.logspace(-3, 3, operator.size))
        return ShiftedCholesky.of(wrong) if len(self.built) == 1 else super().build(operator)


def test_the_trust_region_finishes_where_the_metric_misleads() -> None:
    found, work = _descend(_random(), _Misled(), 120)
    _require_minimum(found)
    assert found.steps > 120
    assert work.hessian_vector_products > 400
