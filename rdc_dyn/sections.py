"""What a package derives its own sections from, to add members to a family by the entry-point group `rdc_dyn.sections`.

A section is a frozen pydantic model. Its key `kind` (`method`, `name`) is a `typing.Literal`, the first line of its
docstring is its line in `rdc-dyn list`, and its `build` (of a reader: `read`) returns the object that does the work.
"""

from rdc_dyn.scenario.section import PathStr, RootedPathStr, Section
from rdc_dyn.scenario.sections.correctors import CorrectorSection
from rdc_dyn.scenario.sections.integrators import IntegratorSection
from rdc_dyn.scenario.sections.networks import ClassifierSection, DecoderSection, EncoderSection
from rdc_dyn.scenario.sections.objectives import ObjectiveSection
from rdc_dyn.scenario.sections.processes import ProcessSection
from rdc_dyn.scenario.sections.readers import NamedReaderSection, NumberedReaderSection, ReaderSection
from rdc_dyn.scenario.sections.responses import ResponseSection
from rdc_dyn.scenario.sections.solvers import KrylovSection, SolverSection
from rdc_dyn.scenario.written import Finding

__all__ = [
    "ClassifierSection",
    "CorrectorSection",
    "DecoderSection",
    "EncoderSection",
    "Finding",
    "IntegratorSection",
    "KrylovSection",
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
