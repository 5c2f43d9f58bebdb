"""The models that are measured: digits and MNIST variational autoencoders."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rdc_dyn.data.datasets import load_data
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.likelihood import Bernoulli
from tests.named_data import named, sets
from tests.problems import networks

_MNIST = Path(__file__).resolve().parents[3] / "shared" / "data"


def like(device: str, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros((), dtype=dtype, device=device)


def digits_vae(number: Tensor, limit: int = 600) -> Amortised:
    """2,110 parameters: 64-14-4 encoder, mirrored decoder, linear classifier; 8 Sobol points per datum."""
    data = load_data(sets(named("digits", None, limit)), 0.0, 0, unit_interval=True, like=number)
    return Amortised(data, networks(data, 4, (14,), (14,)), 4, Bernoulli(), 8, 1e-2, seed=0)


def mnist(number: Tensor, limit: int, root: Path | None = None) -> tuple[Data, str]:
    """The first images of MNIST, or as many random ones where its files are not at hand; and which of the two."""
    folder = root or _MNIST
    if (folder / "MNIST").is_dir():
        selection = named("mnist", None, limit, folder)
        return load_data(sets(selection), 0.0, 0, unit_interval=True, like=number), "MNIST"
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(limit, 784, generator=generator, dtype=torch.float64).to(number)
    return Data(Sample(x, torch.arange(limit, device=number.device) % 10), None, None, 10), "random images"


def mnist_vae(data: Data, width: int = 150, latent_dim: int = 8) -> Amortised:
    """784-width-latent_dim encoder, mirrored decoder, linear classifier; 239,990 parameters as it stands."""
    return Amortised(data, networks(data, latent_dim, (width,), (width,)), latent_dim, Bernoulli(), 1, 1e-2, seed=0)
