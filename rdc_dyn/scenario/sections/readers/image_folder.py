"""A folder of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import NamedReaderSection
from rdc_dyn.scenario.section import Count, RootedPathStr

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source


class ImageFolderSection(NamedReaderSection):
    """Anyone's own images: a folder that holds a folder of image files for each class, numbered in their order."""

    name: Literal["image_folder"]
    folder: RootedPathStr = Field(
        description="path of the folder, relative to data.root where that is set, else to the scenario"
    )
    size: Count = Field(description="height and width; images of another size are resized, antialiased")
    channels: Literal["rgb", "grey"] = Field(default="rgb", description="colours that the images are converted to")
    in_root: ClassVar[bool] = True
    apart: ClassVar[str] = "folder"

    def read(self, source: Source) -> Labelled:
        """The images, which are decoded when their inputs are asked for."""
        from rdc_dyn.data.readers.image_folder import read_image_folder

        return read_image_folder((source.root or source.folder) / self.folder, self.size, self.channels)
