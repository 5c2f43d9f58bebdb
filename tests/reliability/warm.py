"""A run and its end, so that whoever is forked from the process that imports this has every module already."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch

import rdc_dyn
from tests.tiny import linear_gaussian

torch.set_num_threads(1)  # a pool of threads does not survive a fork
with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
    warnings.simplefilter("ignore")
    rdc_dyn.run(linear_gaussian(), Path(folder) / "run", max_time=1e-9)
    rdc_dyn.resume(Path(folder) / "run")
