"""The 1,797 8 x 8 digits of scikit-learn (Alpaydin & Kaynak 1998), grey values divided by 16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.objective.readers.labelled import Labelled, Rows, Selection


def read_digits(selection: Selection) -> Labelled:
    """Read all digits; only the name of the selection matters."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    grey = torch.from_numpy(x / 16.0)

    def inputs(rows: Rows, dtype: torch.dtype) -> Tensor:
        return grey[rows].to(dtype)

    return Labelled(selection.name, torch.from_numpy(y.astype(np.int64)), (1, 8, 8), inputs)
