"""What has unit speed along a path that holds one functional."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

#: Values of the key `clock`, with a line on each.
CLOCKS = {
    "alpha": "alpha = 1: d lam = -C_gamma, d gamma = C_lam; speed follows the curvature of F",
    "multipliers": "unit speed in (lam, gamma)",
    "rate_distortion": "unit speed in (R, D)",
    "lam": "unit speed of lam; gamma follows, and alone restores what is held",
}
ClockField = Annotated[
    Literal["alpha", "multipliers", "rate_distortion", "lam"],
    Field(description="what has unit speed: alpha = 1, (lam, gamma), (R, D), or lam alone"),
]
