"""D = −E log d and C = −E log c are negative where a density, such as that of a gaussian likelihood, exceeds one."""

from __future__ import annotations

import xarray as xr

_SYMBOLS = {"distortion": "D", "classification_loss": "C"}
#: Every variable that is a D or a C, with its symbol.
_LOSSES = {f"{where}{loss}": symbol for loss, symbol in _SYMBOLS.items() for where in ("", "validation_", "fresh_")}


def is_negative(name: str, values: xr.DataArray) -> bool:
    """Whether a variable is a D or a C and is below zero somewhere."""
    return name in _LOSSES and bool((values < 0).any())


def note(dataset: xr.Dataset) -> str:
    """A sentence on D and C if one of them is below zero; empty otherwise."""
    found = (symbol for name, symbol in _LOSSES.items() if name in dataset and is_negative(name, dataset[name]))
    below = tuple(dict.fromkeys(found))
    if len(below) == 2:
        return "D and C are minus log densities and may be negative."
    return f"{below[0]} is minus a log density and may be negative." if below else ""
