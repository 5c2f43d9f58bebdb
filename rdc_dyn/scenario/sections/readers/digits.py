"""The digits of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import NumberedReaderSection

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source


class DigitsSection(NumberedReaderSection):
    """The 1,797 8 x 8 digits that scikit-learn ships."""

    name: Literal["digits"]

    def read(self, source: Source) -> Labelled:
        """All of them."""
        from rdc_dyn.data.readers.digits import read_digits

        return read_digits()
