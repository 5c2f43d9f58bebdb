"""Checkpoints come back bit for bit, or not at all."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdc_dyn.status import DataError
from rdc_dyn.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rdc_dyn.store.log import Mark


def _checkpoint(size: int = 40, dtype: torch.dtype = torch.float64) -> Checkpoint:
    theta = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    tensors = {"theta": theta, "controls": torch.tensor([0.5, 4.0, 0.0], dtype=dtype), "kernel": theta[None][:0]}
    values = {"time": 0.1 + 0.2, "first": None, "rent": math.inf, "list": [1, 2.5, "word"]}
    return Checkpoint(tensors, values, "finite_latent abc", Mark(1000, "ab" * 32))


def _same(a: Checkpoint, b: Checkpoint) -> bool:
    plain = [(c.values, c.objective, c.log) for c in (a, b)]
    tensors = a.tensors.keys() == b.tensors.keys() and all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)
    return repr(plain[0]) == repr(plain[1]) and tensors and a.theta.dtype == b.theta.dtype


def _with(checkpoint: Checkpoint, **tensors: torch.Tensor) -> Checkpoint:
    return replace(checkpoint, tensors={**checkpoint.tensors, **tensors})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    checkpoint = _checkpoint(dtype=dtype)
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    assert _same(load_checkpoint(tmp_path / "c.safetensors"), checkpoint)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_view_of_a_larger_tensor(tmp_path: Path) -> None:
    checkpoint = _with(_checkpoint(), theta=torch.arange(20.0, dtype=torch.float64)[::2].requires_grad_())
    save_checkpoint(tmp_path / "c", checkpoint)
    assert _same(load_checkpoint(tmp_path / "c"), checkpoint)


def test_no_bit_flip_is_silent(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "c", _checkpoint()
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 500):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert _same(load_checkpoint(path), checkpoint)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, _checkpoint())
    whole = path.read_bytes()
    for length in {*random.Random(0).sample(range(len(whole)), 50), 0, 7, 8, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_checkpoint(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DataError):
        load_checkpoint(path)


def test_not_a_checkpoint(tmp_path: Path) -> None:
    save_file({"theta": torch.zeros(3)}, tmp_path / "weights")
    (tmp_path / "text").write_text("theta = 0")
    for name in ("weights", "text", "missing", "."):
        with pytest.raises(DataError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / name)


def test_wrong_shapes_and_types(tmp_path: Path) -> None:
    good = _checkpoint()
    for bad in (
        _with(good, theta=good.theta.reshape(2, -1)),
        _with(good, controls=good.controls[:2]),
        _with(good, controls=good.controls.float()),
        _with(good, theta=good.theta.long(), controls=good.controls.long()),
    ):
        save_checkpoint(tmp_path / "c", bad)
        with pytest.raises(DataError, match="not a checkpoint of this program"):
            load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(tmp_path: Path, value: float) -> None:
    checkpoint = _checkpoint()
    checkpoint.theta[3] = value
    save_checkpoint(tmp_path / "c", checkpoint)
    with pytest.raises(DataError, match="not finite"):
        load_checkpoint(tmp_path / "c")


def test_failed_write_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        save_checkpoint(tmp_path / "missing" / "c", _checkpoint())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        save_checkpoint(tmp_path / "folder", _checkpoint())
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
