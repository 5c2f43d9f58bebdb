"""The 1,797 8 x 8 digits of scikit-learn (Alpaydin & Kaynak 1998), grey values divided by 16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.data.readers.labelled import Labelled, Rows


def read_digits() -> Labelled:
    """Read all digits."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    grey = torch.from_numpy(x / 16.0)

    def inputs(rows: Rows, dtype: torch.dtype) -> Tensor:
        return grey[rows].to(dtype)

    return Labelled("digits", torch.from_numpy(y.astype(np.int64)), (1, 8, 8), inputs)
