"""Checks that every figure must pass."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

#: Pixels by which ink may differ from its box.
_SLACK = 1.0


def clipped(figure: Figure) -> list[str]:
    """Texts that reach beyond the figure; looked at while they are drawn, since not every tick that exists is."""
    box, found, draw = figure.bbox, [], Text.draw

    def watched(text: Text, renderer: Any, *arguments: Any, **options: Any) -> None:
        draw(text, renderer, *arguments, **options)
        if not (text.get_visible() and text.get_text().strip()):
            return
        there = text.get_window_extent(renderer)
        beyond = (box.x0 - there.x0, there.x1 - box.x1, box.y0 - there.y0, there.y1 - box.y1)
        if max(beyond) > _SLACK and text.get_text() not in found:
            found.append(text.get_text())

    figure.canvas.draw()  # the layout settles
    with patch.object(Text, "draw", watched):
        figure.canvas.draw()
    return found


def offsets(figure: Figure) -> list[str]:
    """Offsets such as "+1.2e1" at the ends of axes."""
    figure.canvas.draw()
    every = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis, getattr(axes, "zaxis", None)) if axis]
    return [axis.get_offset_text().get_text() for axis in every if "+" in axis.get_offset_text().get_text()]


def unlabelled(figure: Figure) -> list[Axes]:
    """Axes with data and without a label on each axis; a colour bar has one."""
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>" or not axes.get_xlabel()]
    whole = [axes for axes in figure.axes if axes not in bars]
    return [a for a in whole if not a.get_ylabel()] + [a for a in bars if not (a.get_xlabel() or a.get_ylabel())]
