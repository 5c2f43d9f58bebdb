"""Checkpoints come back bit for bit, or not at all."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdc_dyn.output.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rdc_dyn.status import DataError


def _checkpoint(size: int = 40, dtype: torch.dtype = torch.float64) -> Checkpoint:
    theta = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    return Checkpoint(theta, torch.tensor([0.5, 4.0, 0.0], dtype=dtype), 0.1 + 0.2, "finite_latent abc")


def _same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        (a.time, a.objective, a.theta.dtype) == (b.time, b.objective, b.theta.dtype)
        and torch.equal(a.theta, b.theta)
        and torch.equal(a.controls, b.controls)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    checkpoint = _checkpoint(dtype=dtype)
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    assert _same(load_checkpoint(tmp_path / "c.safetensors"), checkpoint)
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_view_of_a_larger_tensor(tmp_path: Path) -> None:
    checkpoint = replace(_checkpoint(), theta=torch.arange(20.0, dtype=torch.float64)[::2].requires_grad_())
    save_checkpoint(tmp_path / "c", checkpoint)
    assert _same(load_checkpoint(tmp_path / "c"), checkpoint)


def test_no_bit_flip_is_silent(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "c", _checkpoint()
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    refused, places = 0, random.Random(0).sample(range(8 * len(whole)), 300)
    for bit in places:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert _same(load_checkpoint(path), checkpoint), f"bit {bit} changed the content unnoticed"
        except DataError:
            refused += 1
    assert refused > 0.8 * len(places)  # what is left is padding and spelling


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(tmp_path: Path, share: float) -> None:
    save_checkpoint(tmp_path / "c", _checkpoint())
    whole = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "c")


def test_not_a_checkpoint(tmp_path: Path) -> None:
    save_file({"theta": torch.zeros(3)}, tmp_path / "weights")
    (tmp_path / "text").write_text("theta = 0")
    for name in ("weights", "text", "missing", "."):
        with pytest.raises(DataError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / name)


def test_wrong_shapes_and_types(tmp_path: Path) -> None:
    good = _checkpoint()
    for bad in (
        replace(good, theta=good.theta.reshape(2, -1)),
        replace(good, controls=good.controls[:2]),
        replace(good, controls=good.controls.float()),
        replace(good, theta=good.theta.long(), controls=good.controls.long()),
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
    with pytest.raises(DataError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "missing" / "c", _checkpoint())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "folder", _checkpoint())
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
