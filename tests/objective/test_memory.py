"""J block by block is J; the graph is kept where it fits, and its memory is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import bytes_per_datum, evaluation, graph_bytes
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Data
from rdc_dyn.objective import Objective
from rdc_dyn.objective.base import OverData, terms_of
from tests.problems import amortised, blobs, controls, finite_latent, generator, importance_weighted, linear_gaussian


def moving(transport: bool) -> Data:
    """Clouds that become other clouds, of another number."""
    one, other = blobs(30, seed=0).source, blobs(40, seed=1).source
    coupling = optimal_coupling(one.x, other.x) if transport else None
    return Data(one, other, None, 3, coupling)


_OBJECTIVES: dict[str, Callable[[Data], OverData]] = {
    "amortised": lambda data: amortised(data),
    "importance_weighted": lambda data: importance_weighted(data),
    "finite_latent": lambda data: finite_latent(data, 3, 0.1),
}
_DATA: dict[str, Callable[[], Data]] = {
    "still": blobs,
    "mixture": lambda: moving(False),
    "transport": lambda: moving(True),
}


@pytest.mark.parametrize("kind", _OBJECTIVES)
@pytest.mark.parametrize("path", _DATA)
def test_blocks_sum_to_the_whole(kind: str, path: str) -> None:
    objective = _OBJECTIVES[kind](_DATA[path]())
    theta = objective.initial(generator())
    c = controls(0.7, 1.3, 0.4 if path != "still" else 0.0)
    v = torch.randn(3, objective.size, generator=generator(), dtype=torch.float64)
    results = []
    for blocks, kept in ((None, True), (7, True), (7, False)):
        local = Local(terms_of(objective, objective.data.blocks(blocks)), kept, width=2)
        at = FreeEnergy(objective, Work(), local).linearise(theta, c)
        drift = at.drift(v[0], controls(0.1, -0.2, 0.3))
        results.append(
            torch.cat([at.gradient, at.forces, at.mm(v).flatten(), at.mixed.flatten(), at.control_hessian.flatten(),
                       drift.mm(v).flatten(), theta.new_tensor([at.value])])
        )  # fmt: skip
    whole = FreeEnergy(objective, Work())
    assert whole.value(theta, c) == pytest.approx(float(objective.free_energy(theta, *c)) + float(
        whole.weight_penalty(theta)), rel=1e-13)  # fmt: skip
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-11, atol=1e-11)


def test_blocks_are_a_partition() -> None:
    data = moving(False)
    blocks = data.blocks(7)
    assert sum(b.count for b in blocks) == 70
    assert sum(b.share for b in blocks if b.part == "target") == pytest.approx(1.0)
    assert all(b.count <= 7 for b in blocks)


@pytest.mark.parametrize("path", _DATA)
def test_all_minibatches_average_to_the_whole(path: str) -> None:
    """The mean over every datum as a minibatch of one is exact: an estimate without bias."""
    objective = amortised(_DATA[path]())
    theta, c = objective.initial(generator()), controls(0.7, 1.3, 0.4 if path != "still" else 0.0)
    whole = Local(terms_of(objective, objective.data.blocks())).gradient(theta, c).gradient
    mean = torch.zeros_like(whole)
    for part, count in objective.data.parts.items():
        for block in objective.data.blocks(1):
            if block.part == part:
                term = terms_of(objective, (replace(block, share=1.0),))
                mean += Local(term).gradient(theta, c).gradient / count
    torch.testing.assert_close(mean, whole, rtol=1e-11, atol=1e-12)


def test_a_minibatch_is_reproducible_and_counts_as_its_share() -> None:
    objective = amortised(blobs(60))
    theta, c = objective.initial(generator()), controls(0.7, 1.3)
    work = Work()
    draws = [FreeEnergy(objective, work).minibatch(15, generator(3)).gradient(theta, c)[1] for _ in range(2)]
    assert torch.equal(*draws)
    assert work.gradient_evaluations == pytest.approx(0.5)


def test_memory_grows_with_the_data_and_decides() -> None:
    objective = amortised(blobs(60))
    theta, c = objective.initial(generator()), controls(0.7, 1.3)
    each = bytes_per_datum(objective, theta, c)
    whole = graph_bytes(terms_of(objective, objective.data.blocks()), theta, c)
    assert whole == pytest.approx(60 * each, rel=0.2)
    large, small = (evaluation(objective, theta, c, "auto", memory) for memory in (1e3 * whole, 0.5 * whole))
    assert (large.mode, small.mode) == ("kept", "recomputed")
    assert small.block_size < 60
    assert len(small.local.terms) == -(-60 // small.block_size)
    assert evaluation(objective, theta, c, "kept", 1.0).mode == "kept"


def test_what_is_no_sum_over_data_has_one_term() -> None:
    objective: Objective = linear_gaussian()
    assert not isinstance(objective, OverData)
    theta = objective.initial(generator())
    assert evaluation(objective, theta, controls(1.0, 1.0), "auto", 1.0).mode == "kept"


def test_curvature_of_some_of_the_data() -> None:
    """A is that of the chosen data; J, its gradient and b are those of all."""
    objective = amortised(blobs(60))
    theta, c = objective.initial(generator()), controls(0.7, 1.3)
    blocks = objective.data.minibatch(20, generator(1))
    part, work = Local(terms_of(objective, blocks)), Work()
    all_data = Local(terms_of(objective, objective.data.blocks()))
    mixed = FreeEnergy(objective, work, all_data, part, curvature_share=1 / 3).linearise(theta, c)
    full, some = FreeEnergy(objective, Work()).linearise(theta, c), part.linearise(theta, c)
    v = torch.randn(2, objective.size, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(mixed.mm(v), some.mm(v) + 1e-2 * v)
    assert work.hessian_vector_products == pytest.approx(2 / 3)
    torch.testing.assert_close(mixed.gradient, full.gradient)
    torch.testing.assert_close(mixed.mixed, full.mixed)
    assert not torch.allclose(mixed.mm(v), full.mm(v))
