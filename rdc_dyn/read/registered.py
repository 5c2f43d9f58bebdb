"""`ds.rdc`, whose module is imported when it is first used: modules that it needs may themselves import xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

if TYPE_CHECKING:
    from rdc_dyn.read.accessor import RdcAccessor


def rdc(dataset: xr.Dataset) -> RdcAccessor:
    """The accessor of a dataset."""
    from rdc_dyn.read.accessor import RdcAccessor

    return RdcAccessor(dataset)


xr.register_dataset_accessor("rdc")(rdc)
