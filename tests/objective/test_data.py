"""Data sets: what is taken, how it is renumbered and split, and the mixture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rdc_dyn.objective.datasets import Selection, load_data, select
from rdc_dyn.status import DataError
from tests.problems import FLOAT, finite_latent, generator

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_all_digits() -> None:
    x, y, classes = select(Selection("digits"), 0)
    assert x.shape == (1797, 64)
    assert classes == 10
    assert float(x.min()) == 0.0 and float(x.max()) == 1.0
    assert torch.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_classes_are_renumbered_in_the_order_given() -> None:
    _, everything, _ = select(Selection("digits"), 0)
    _, y, classes = select(Selection("digits", classes=(7, 2)), 0)
    assert classes == 2
    assert torch.bincount(y).tolist() == [int((everything == 7).sum()), int((everything == 2).sum())]


def test_limit_is_a_seeded_draw() -> None:
    one, again, other = (select(Selection("digits", limit=50), seed)[0] for seed in (0, 0, 1))
    assert len(one) == 50
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_split_is_disjoint_and_complete() -> None:
    data = load_data(Selection("digits"), None, 0.2, 0, unit_interval=True, like=FLOAT)
    assert data.validation is not None
    assert (len(data.source), len(data.validation)) == (1438, 359)
    both = torch.cat([data.source.x, data.validation.x])
    assert torch.equal(both.sum(0), select(Selection("digits"), 0)[0].sum(0))


def test_mixture_is_the_average_of_source_and_target() -> None:
    source, target = Selection("digits", (0, 1, 2)), Selection("digits", (3, 4, 5))
    data = load_data(source, target, 0.0, 0, unit_interval=True, like=FLOAT)
    objective = finite_latent(data, 3, 0.0)
    theta, lam, gamma = objective.initial(generator()), FLOAT + 0.3, FLOAT + 1.0
    ends = [objective.free_energy(theta, lam, gamma, FLOAT + t) for t in (0.0, 1.0)]
    middle = objective.free_energy(theta, lam, gamma, FLOAT + 0.3)
    torch.testing.assert_close(middle, 0.7 * ends[0] + 0.3 * ends[1])
    assert not torch.allclose(ends[0], ends[1])


def test_missing_class_and_different_features() -> None:
    with pytest.raises(DataError, match="no datum of class 12"):
        select(Selection("digits", classes=(0, 12)), 0)


def test_digest_depends_on_values_and_labels() -> None:
    digests = set()
    for selection in (Selection("digits"), Selection("digits", limit=100), Selection("digits", classes=(0, 1))):
        digests.add(load_data(selection, None, 0.0, 0, unit_interval=True, like=FLOAT).digest())
    assert len(digests) == 3
    float32 = load_data(Selection("digits"), None, 0.0, 0, unit_interval=True, like=FLOAT.float())
    assert float32.source.x.dtype == torch.float32


def test_mnist_from_a_folder() -> None:
    if not (MNIST / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("the MNIST files shared/data/MNIST/raw are not beside the checkout")
    x, y, classes = select(Selection("mnist", limit=1000, path=MNIST), 0)
    assert x.shape == (1000, 784)
    assert classes == 10
    assert 0.1 < float(x.mean()) < 0.16
    assert len(y) == 1000


def test_missing_mnist_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MNIST/raw"):
        select(Selection("mnist", path=tmp_path), 0)
