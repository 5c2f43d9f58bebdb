"""A run directory, looked at from its bytes to its identities."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from rdc_dyn.output.run_directory import open_run
from rdc_dyn.status import DataError
from rdc_dyn.verify.files import files
from rdc_dyn.verify.finding import Finding
from rdc_dyn.verify.identities import laws, points


def verify(run: str | os.PathLike[str]) -> list[Finding]:
    """Look at a run.

    Args:
        run: A run directory, finished or not, or a `trajectory.nc` alone.

    Returns:
        What was found.

    Raises:
        DataError: If there is nothing to look at.
    """
    path = Path(run)
    if not path.exists():
        raise DataError(f"{path}: no such run directory")
    found = list[Finding]()
    trajectory = None
    try:
        trajectory = open_run(path)
    except DataError as error:
        found.append(Finding.of("trajectory", str(error), ""))
    if path.is_dir():
        found += files(path, trajectory)
    if trajectory is not None and trajectory.sizes["time"]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers of any size: what overflows keeps no law
            found += [*points(trajectory), *laws(trajectory)]
    return found
