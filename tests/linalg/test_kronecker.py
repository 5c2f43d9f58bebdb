"""The approximation against the dense inverse of the matrix that it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rdc_dyn.linalg.kronecker import Block, Core, Kronecker
from rdc_dyn.status import NumericalFailure
from tests.problems import generator

_RHO = 0.1
_SIZE = 30


def _semidefinite(n: int, rank: int, seed: int) -> Tensor:
    factor = torch.randn(n, rank, generator=generator(seed), dtype=torch.float64)
    return factor @ factor.T


def _blocks() -> tuple[list[Block], Tensor]:
    """A 3 x 4 and a 2 x 5 block on scattered places, eight places on the diagonal; and their matrix without shift."""
    order = torch.randperm(_SIZE, generator=generator(7))
    diagonal = torch.zeros(_SIZE, dtype=torch.float64)
    diagonal[order[22:]] = torch.linspace(0, 3, 8, dtype=torch.float64)
    matrix, blocks = torch.diag(diagonal), []
    for seed, (places, m, n) in enumerate(((order[:12], 3, 4), (order[12:22], 2, 5))):
        g, a = _semidefinite(m, 2, seed), _semidefinite(n, 3, seed + 10)
        matrix[places[:, None], places] = torch.kron(g, a)
        blocks.append(Block.of(places.view(m, n), g, a))
    return blocks, matrix


def _apply(m: Kronecker) -> Tensor:
    return m.apply(torch.eye(_SIZE, dtype=torch.float64))


def test_blocks_and_diagonal_against_the_dense_inverse() -> None:
    blocks, matrix = _blocks()
    expected = torch.linalg.inv(matrix + _RHO * torch.eye(_SIZE, dtype=torch.float64))
    torch.testing.assert_close(_apply(Kronecker(blocks, matrix.diagonal(), _RHO)), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 6, 22])
def test_core_against_the_dense_inverse(rank: int) -> None:
    """In the eigenbasis the matrix is the core where that reaches, with couplings between blocks, and diagonal else."""
    blocks, matrix = _blocks()
    plain = Kronecker(blocks, matrix.diagonal(), _RHO)
    basis, start = torch.zeros(22, _SIZE, dtype=torch.float64), 0
    for block in blocks:
        m, n = block.places.shape
        basis[start : start + m * n, block.places.flatten()] = torch.kron(
            block.left.T.contiguous(), block.right.T.contiguous()
        )
        start += m * n
    chosen = plain.spectrum.topk(rank).indices
    middle = torch.diag(plain.spectrum)
    middle[chosen[:, None], chosen] = _semidefinite(rank, rank, 3)
    covered = basis.T @ basis
    eye = torch.eye(_SIZE, dtype=torch.float64)
    dense = basis.T @ middle @ basis + (eye - covered) * matrix.diagonal() + _RHO * eye
    ours = Kronecker(blocks, matrix.diagonal(), _RHO, Core.of(chosen, middle[chosen[:, None], chosen], _RHO))
    torch.testing.assert_close(_apply(ours), torch.linalg.inv(dense), rtol=1e-9, atol=1e-11)


def test_positive_definite_without_a_shift() -> None:
    blocks, matrix = _blocks()
    chosen = torch.arange(5)
    for core in (None, Core.of(chosen, _semidefinite(5, 2, 4), 0.0)):
        image = _apply(Kronecker(blocks, matrix.diagonal(), 0.0, core))
        assert bool(torch.isfinite(image).all())
        assert float(torch.linalg.eigvalsh(image)[0]) > 0


def test_factors_that_are_not_finite_are_refused() -> None:
    places, bad = torch.arange(4).view(2, 2), torch.full((2, 2), torch.nan, dtype=torch.float64)
    with pytest.raises(NumericalFailure, match="Kronecker factors"):
        Block.of(places, bad, torch.eye(2, dtype=torch.float64))
    with pytest.raises(NumericalFailure, match="core"):
        Core.of(torch.arange(2), bad, _RHO)
