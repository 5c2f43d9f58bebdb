"""What is chosen of a data set, how it is renumbered, split and checked; and the mixture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rdc_dyn.data import samples as data_module
from rdc_dyn.data.datasets import Selection, check_sample, load_data, select
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.scenario.sections.data import DataSection
from rdc_dyn.status import DataError
from tests.named_data import named, sets
from tests.problems import FLOAT, blobs, finite_latent, generator


def load(
    source: Selection,
    target: Selection | None,
    fraction: float,
    like: torch.Tensor = FLOAT,
    held_out: tuple[Selection, ...] = (),
) -> Data:
    return load_data(sets(source, target, *held_out), fraction, 0, unit_interval=False, like=like)


def arrays(path: Path, count: int = 12, shape: tuple[int, ...] = (2, 2), **more: Any) -> Selection:
    """A file of random x of some shape, with labels 0, 1, 2, 0, ..."""
    x = more.pop("x", np.random.default_rng(count).random((count, *shape)))
    np.savez(path, x=x, y=more.pop("y", np.arange(count) % 3))
    return named("npz", path=path, **more)


# --- what is chosen -------------------------------------------------------------------------------------------------


def test_all_digits() -> None:
    chosen = select(named("digits"), 0)
    x = chosen.x(torch.float64)
    assert x.shape == (1797, 64) and chosen.labelled.shape == (1, 8, 8)
    assert chosen.classes == 10
    assert float(x.min()) == 0.0 and float(x.max()) == 1.0
    assert torch.bincount(chosen.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_classes_are_renumbered_in_the_order_given() -> None:
    everything = select(named("digits"), 0)
    chosen = select(named("digits", classes=(7, 2)), 0)
    assert chosen.classes == 2
    assert torch.equal(chosen.y == 0, everything.y[chosen.rows] == 7)
    assert torch.equal(chosen.y == 1, everything.y[chosen.rows] == 2)
    assert len(chosen.rows) == int(torch.isin(everything.y, torch.tensor([2, 7])).sum())


def test_limit_is_a_seeded_draw() -> None:
    one, again, other = (select(named("digits", limit=50), seed) for seed in (0, 0, 1))
    assert len(one.rows) == len(one.rows.unique()) == 50
    assert torch.equal(one.rows, again.rows)
    assert not torch.equal(one.rows, other.rows)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((0, 12), "digits: has no datum of class 12"),
        ((0, 1, 0), "digits: class 0 is given twice"),
        ((0, "one"), "digits: has no class 'one'; its classes are whole numbers"),
    ],
)
def test_classes_that_are_not_there(classes: tuple[int | str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        select(named("digits", classes=classes), 0)


# --- shape, dtype, digest -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((3, 4, 5), (3, 4, 5)), ((4, 5), (1, 4, 5)), ((6,), ()), ((2, 2, 2, 2), ()), ((1, 1, 7), (1, 1, 7))],
)
def test_the_shape_of_one_x(tmp_path: Path, shape: tuple[int, ...], kept: tuple[int, ...]) -> None:
    data = load(arrays(tmp_path / "a.npz", shape=shape), None, 0.0)
    assert data.shape == kept
    assert data.source.x.shape == (12, int(np.prod(shape)))


def test_a_target_of_another_shape(tmp_path: Path) -> None:
    source = arrays(tmp_path / "a.npz", shape=(2, 3, 4))
    for shape, words in (
        ((2, 4, 3), "data.target: x has the shape 2 x 4 x 3, but that of data.source is 2 x 3 x 4"),
        ((24,), "data.target: x has the shape 24, but that of data.source is 2 x 3 x 4"),
        ((5, 5), "data.target: 25 components per datum, but data.source has 24"),
    ):
        with pytest.raises(DataError, match=words):
            load(source, arrays(tmp_path / "b.npz", shape=shape), 0.0)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", ">f8", "uint16"])
def test_arrays_of_any_numbers(tmp_path: Path, dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 200, (12, 2, 2)).astype(dtype)
    for like in (FLOAT, FLOAT.float()):
        data = load(arrays(tmp_path / "a.npz", x=x), None, 0.0, like=like)
        assert data.source.x.dtype == like.dtype
        np.testing.assert_array_equal(data.source.x.numpy(), x.reshape(12, 4).astype("float64"))


def test_digest_depends_on_values_and_labels() -> None:
    digests = set()
    for selection in (named("digits"), named("digits", limit=100), named("digits", classes=(0, 1))):
        digests.add(load(selection, None, 0.0).digest())
    assert len(digests) == 3
    float32 = load(named("digits"), None, 0.0, like=FLOAT.float())
    assert float32.source.x.dtype == torch.float32
    assert float32.digest() in digests  # sixteenths are the same numbers


@pytest.mark.parametrize("hashed", [1, 7, 64, 10_000])
def test_the_digest_in_pieces_is_that_of_the_whole(hashed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = blobs(23, dim=5).source
    whole = hashlib.sha256(sample.x.numpy().tobytes() + sample.y.numpy().tobytes()).hexdigest()
    monkeypatch.setattr(data_module, "_HASHED", hashed)
    assert sample.digest() == whole
    assert Sample(sample.x.float().double().t().contiguous().t(), sample.y).digest() != whole


def test_the_digest_of_digits_stays() -> None:
    """Checkpoints and sweeps name data by it."""
    data = load(named("digits", (3, 4), 100), None, 0.2)
    assert data.digest() == "03e51c394186a456e9276caa5f359ebaf2d0b99ad515aae2c4fdfa92f3119838"


# --- what is held out -----------------------------------------------------------------------------------------------


def test_split_is_disjoint_and_complete() -> None:
    data = load(named("digits"), None, 0.2)
    assert data.validation is not None and data.target_validation is None
    assert (len(data.source), len(data.validation)) == (1438, 359)
    both = torch.cat([data.source.x, data.validation.x])
    assert torch.equal(both.sum(0), load(named("digits"), None, 0.0).source.x.sum(0))


def test_the_same_share_of_the_target_is_held_out(tmp_path: Path) -> None:
    source, target = arrays(tmp_path / "a.npz", 40), arrays(tmp_path / "b.npz", 40)
    one, again = (load(source, target, 0.25) for _ in range(2))
    assert one.target is not None and one.validation is not None and one.target_validation is not None
    assert [len(s) for s in (one.source, one.validation, one.target, one.target_validation)] == [30, 10, 30, 10]
    assert one.digest() == again.digest()
    assert one.digest() != load(source, target, 0.0).digest()
    # Each is split by a draw of its own: the files are equal, and what is held out of them is not.
    assert not torch.equal(one.validation.x, one.target_validation.x)
    whole = load(source, target, 0.0)
    for held, rest, everything in (
        (one.validation, one.source, whole.source),
        (one.target_validation, one.target, whole.target),
    ):
        assert everything is not None
        found = torch.cat([held.x, rest.x])
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, everything.x.tolist()))


def test_named_sets_are_held_out(tmp_path: Path) -> None:
    files = [arrays(tmp_path / f"{name}.npz", count) for name, count in zip("abcd", (12, 15, 18, 21))]
    data = load(files[0], files[1], 0.0, held_out=(files[2], files[3]))
    held_out = data.held_out
    assert held_out is not None and held_out.target is not None and held_out.coupling is None
    assert [len(s) for s in (held_out.source, held_out.target)] == [18, 21]
    digests = {data.digest(), load(files[0], files[1], 0.0).digest()}
    assert len(digests) == 2
    assert load(files[0], files[1], 0.0).held_out is None


@pytest.mark.parametrize(
    ("held_out", "words"),
    [
        ({"shape": (4,)}, "data.validation.source: x has the shape 4, but that of data.source is 1 x 2 x 2"),
        ({"shape": (3, 3)}, "data.validation.source: 9 components per datum, but data.source has 4"),
        ({"y": np.arange(12) % 4}, "data.validation.source: datum 3 has label 3; expected 0 to 2"),
        ({"x": np.full((12, 2, 2), np.nan)}, "data.validation.source: datum 0, component 0 is nan"),
        ({"count": 0, "shape": (2, 2)}, "data.validation.source: no data left"),
    ],
)
def test_held_out_data_that_do_not_fit(tmp_path: Path, held_out: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(arrays(tmp_path / "a.npz"), None, 0.0, held_out=(arrays(tmp_path / "b.npz", **held_out),))


def test_a_share_that_leaves_nothing(tmp_path: Path) -> None:
    for fraction in (0.01, 0.99):
        with pytest.raises(
            DataError, match=r"data\.validation_fraction: the 12 data of data\.source cannot be split so"
        ):
            load(arrays(tmp_path / "a.npz"), None, fraction)
    source, target = arrays(tmp_path / "a.npz", 40), arrays(tmp_path / "b.npz", 3)
    with pytest.raises(DataError, match=r"the 3 data of data\.target cannot be split so"):
        load(source, target, 0.1)


def test_a_wrong_number_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    """Whatever was chosen and however it was shuffled."""
    x = np.random.default_rng(0).random((12, 2, 2))
    x[7, 1, 0] = np.inf
    selection = arrays(tmp_path / "a.npz", x=x, classes=(1, 2))
    with pytest.raises(DataError, match=r"data\.source: datum 7, component 2 is inf"):
        load(selection, None, 0.25)


# --- averages -------------------------------------------------------------------------------------------------------


def test_mixture_is_the_average_of_source_and_target() -> None:
    source, target = named("digits", (0, 1, 2)), named("digits", (3, 4, 5))
    objective = finite_latent(load(source, target, 0.0), 3, 0.0)
    theta, lam, gamma = objective.initial(generator()), FLOAT + 0.3, FLOAT + 1.0
    ends = [objective.free_energy(theta, lam, gamma, FLOAT + t) for t in (0.0, 1.0)]
    middle = objective.free_energy(theta, lam, gamma, FLOAT + 0.3)
    torch.testing.assert_close(middle, 0.7 * ends[0] + 0.3 * ends[1])
    assert not torch.allclose(ends[0], ends[1])


@pytest.mark.parametrize(
    ("low", "high", "hint"), [(0.0, 255.0, True), (0.0, 256.0, False), (-1.0, 255.0, False), (0.0, 1.5, False)]
)
def test_grey_levels_are_to_be_divided_where_a_likelihood_needs_the_unit_interval(
    low: float, high: float, hint: bool
) -> None:
    x, y = torch.ones(4, 3), torch.zeros(4, dtype=torch.int64)
    x[1, 2], x[2, 0] = high, low
    check_sample("data.source", x, y, 1, unit_interval=False)
    words = f"datum 1, component 2 is {high}; a bernoulli likelihood needs values in \\[0, 1\\]"
    with pytest.raises(DataError, match=f"^data.source: {words}{': divide by 255' if hint else ''}$"):
        check_sample("data.source", x, y, 1, unit_interval=True)
    check_sample("data.source", x.clamp(0, 1), y, 1, unit_interval=True)


def test_inputs_are_binarised_at_a_threshold_and_what_is_no_number_is_still_found(tmp_path: Path) -> None:
    x = np.array([[0.2, 0.5, 0.7], [0.0, 1.0, 0.51]])
    np.savez(tmp_path / "own.npz", x=x, y=[0, 1])
    section = DataSection.model_validate(
        {"source": {"name": "npz", "file": str(tmp_path / "own.npz"), "binarise": 0.5}}
    )

    def loaded() -> Data:
        return load(section.selections(tmp_path)["data.source"], None, 0.0)

    assert loaded().source.x.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    x[1, 2] = np.nan
    np.savez(tmp_path / "own.npz", x=x, y=[0, 1])
    with pytest.raises(DataError, match="finite"):
        loaded()
