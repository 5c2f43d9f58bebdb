"""Transposed convolutions as decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.families import DecoderSection
from rdc_dyn.scenario.section import Activation, Count

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends


class DeconvDecoderSection(DecoderSection):
    """Four transposed convolutions from a code to an image."""

    kind: Literal["deconv"]
    width: Count = Field(default=64, description="channels of the last layer but one; 4 and 2 times as many before it")
    activation: Activation = "silu"

    def build(self, ends: Ends) -> Architecture:
        """The network; a `DataError` where the data are no images."""
        from rdc_dyn.objective.architectures import Deconv

        ends.require_images("objective.decoder", self.kind)
        return Deconv(self.width, self.activation)
