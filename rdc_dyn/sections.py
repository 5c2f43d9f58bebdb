"""What a package derives its own sections from, to add members to a family by the entry-point group `rdc_dyn.sections`.

A section is a frozen pydantic model. Its key `kind` (`method`, `name`) is a `typing.Literal`, the first line of its
docstring is its line in `rdc-dyn list`, and its `build` (of a reader: `read`) returns the object that does the work.
"""

from rdc_dyn.scenario.families import (
    ClassifierSection,
    CorrectorSection,
    DecoderSection,
    EncoderSection,
    IntegratorSection,
    NamedReaderSection,
    NumberedReaderSection,
    ObjectiveSection,
    ProcessSection,
    ReaderSection,
    ResponseSection,
    SolverSection,
)
from rdc_dyn.scenario.mistakes import Finding
from rdc_dyn.scenario.section import PathStr, RootedPathStr, Section

__all__ = [
    "ClassifierSection",
    "CorrectorSection",
    "DecoderSection",
    "EncoderSection",
    "Finding",
    "IntegratorSection",
    "NamedReaderSection",
    "NumberedReaderSection",
    "ObjectiveSection",
    "PathStr",
    "ProcessSection",
    "ReaderSection",
    "ResponseSection",
    "RootedPathStr",
    "Section",
    "SolverSection",
]
