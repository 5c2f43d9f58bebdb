"""Workers of dask.distributed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from rdc_dyn.status import DataError, UserError

_PATIENCE = "10 s"


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Connect to a scheduler.

    Args:
        address: Such as tcp://host:8786. Its workers see the sweep directory under the same path.

    Yields:
        The cluster as an executor.

    Raises:
        UserError: If dask.distributed is missing, or the address is none.
        DataError: If nothing answers there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--dask needs dask.distributed: pip install 'rdc-dyn[dask]'") from None
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        # As the default it would stay behind, closed or never connected, for whatever asks dask next (xarray does).
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except ValueError as error:
        raise UserError(f"--dask {address}: not the address of a scheduler ({error})") from None
    except OSError as error:  # a timeout is one too
        reason = str(error).splitlines()[0] if str(error) else "no answer"
        raise DataError(f"--dask {address}: no scheduler answers ({reason})") from None
    with client:
        yield client.get_executor(pure=False)
