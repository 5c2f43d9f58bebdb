"""A corrector of anyone's own."""

from __future__ import annotations

from typing import Literal

from rdc_dyn.scenario.families import PullingSection
from rdc_dyn.scenario.given import Given


class GivenCorrectorSection(Given, PullingSection):
    """A corrector of your own, passed in Python by rdc_dyn.run(corrector=...)."""

    method: Literal["given"]
