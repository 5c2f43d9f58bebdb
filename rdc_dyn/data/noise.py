"""Frozen noise ε = Φ⁻¹(u) that J can average over, with a scrambled Sobol point set u of its own for every datum."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from rdc_dyn.linalg.base import require_memory
from rdc_dyn.status import UserError

_BITS = 30


def sobol_normal(
    data: int, samples: int, dim: int, seed: int, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "N S d"]:
    """Standard normal points on the CPU, `samples` in `dim` dimensions for each datum, from one scrambled Sobol set.

    Each datum gets the Sobol set with a random digital shift of its own (Owen 1995; L'Ecuyer & Lemieux 2002): every
    point is uniform, and the points of one datum stay as evenly spread as Sobol's. Networks would memorise independent
    samples much sooner.
    """
    if dim > SobolEngine.MAXDIM:
        raise UserError(
            f"objective.encoder.latent_dim: {dim}; Sobol points have at most {SobolEngine.MAXDIM} dimensions"
        )
    # Integers, floating-point numbers, and what the inverse of the normal distribution makes of these.
    require_memory(3 * 8.0 * data * samples * dim, f"objective.samples: {samples} for each of {data} data")
    points = SobolEngine(dim, scramble=True, seed=seed).draw(samples, dtype=torch.float64)
    base = (points * 2**_BITS).to(torch.int64)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(2**_BITS, (data, 1, dim), generator=generator)
    # Adding 0.5 keeps u inside (0, 1).
    uniform = ((base[None] ^ shift).to(torch.float64) + 0.5) / 2**_BITS
    return torch.special.ndtri(uniform).to(dtype)
