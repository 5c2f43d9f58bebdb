"""The workers of a dask.distributed cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from rdc_dyn.status import DataError, UserError

_PATIENCE = "10 s"


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Connect to a scheduler, at an address such as tcp://host:8786, and yield its cluster as an executor.

    The workers must see the sweep directory under the same path. Raises UserError if dask.distributed is missing or the
    address is malformed, and DataError if no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--dask needs dask.distributed: pip install 'rdc-dyn[dask]'") from None
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        # A default client, closed or never connected, would remain for whatever uses dask next, such as xarray.
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except ValueError as error:
        raise UserError(f"--dask {address}: not the address of a scheduler ({error})") from None
    except OSError as error:  # timeouts included
        reason = str(error).splitlines()[0] if str(error) else "no answer"
        raise DataError(f"--dask {address}: no scheduler answers ({reason})") from None
    with client:
        yield client.get_executor(pure=False)
