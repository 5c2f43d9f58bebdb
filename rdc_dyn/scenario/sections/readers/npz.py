"""Arrays of a NumPy file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import NumberedReaderSection
from rdc_dyn.scenario.section import PathStr

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source


class NpzSection(NumberedReaderSection):
    """A NumPy file with arrays `x` (data, ...) and `y` (integer labels)."""

    name: Literal["npz"]
    file: PathStr = Field(description="path of the file, relative to the scenario")
    apart: ClassVar[str] = "file"

    def read(self, source: Source) -> Labelled:
        """All of its data."""
        from rdc_dyn.data.readers.npz import read_npz

        return read_npz(source.folder / self.file)
