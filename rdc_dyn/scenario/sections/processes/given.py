"""A process of anyone's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from rdc_dyn.scenario.families import ProcessSection
from rdc_dyn.scenario.given import Given


class GivenProcessSection(Given, ProcessSection):
    """A process of your own, passed in Python by rdc_dyn.run(process=...)."""

    kind: Literal["given"]
    responds: ClassVar[bool] = False  # it may not need M, which nothing tells from here
