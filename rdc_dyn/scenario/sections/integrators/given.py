"""An integrator of anyone's own."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from rdc_dyn.scenario.families import IntegratorSection
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Positive


class GivenIntegratorSection(Given, IntegratorSection):
    """An integrator of your own, passed in Python by rdc_dyn.run(integrator=...)."""

    method: Literal["given"]
    step_size: Positive
    order: ClassVar[float] = math.nan
    stages: ClassVar[float] = math.nan
