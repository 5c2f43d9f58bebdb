"""An objective of anyone's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from rdc_dyn.scenario.families import ObjectiveSection
from rdc_dyn.scenario.given import Given


class GivenObjectiveSection(Given, ObjectiveSection):
    """An objective of your own, passed in Python by rdc_dyn.run(objective=...)."""

    kind: Literal["given"]
    samples_data: ClassVar[bool | None] = None
    target: ClassVar[tuple[str, str] | None] = None
