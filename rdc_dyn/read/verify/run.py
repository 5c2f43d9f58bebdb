"""Verify a run directory, from its bytes to the identities of the theory."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from rdc_dyn.read.verify.files import files
from rdc_dyn.read.verify.finding import Finding
from rdc_dyn.read.verify.identities import laws, points
from rdc_dyn.status import DataError
from rdc_dyn.store.run_directory import NotBegunError, open_run


def verify(run: str | os.PathLike[str]) -> list[Finding]:
    """Check a run directory, finished or not, or a `trajectory.nc` alone; raises DataError if it does not exist."""
    path = Path(run)
    if not path.exists():
        raise DataError(f"{path}: no such run directory")
    found = list[Finding]()
    trajectory = None
    try:
        trajectory = open_run(path)
    except NotBegunError:
        found.append(Finding("trajectory", "open", "nothing was computed yet"))
    except DataError as error:
        found.append(Finding.of("trajectory", str(error), ""))
    if path.is_dir():
        found += files(path, trajectory)
    if trajectory is not None and trajectory.sizes["time"]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers that overflow satisfy no identity
            found += [*points(trajectory), *laws(trajectory)]
    return found
