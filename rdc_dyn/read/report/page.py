"""An HTML page that needs no other file, network or script: `page.html`, filled in with all text escaped."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from rdc_dyn.read.plots.style import plain_ticks


@dataclass(frozen=True)
class Table:
    """A table whose columns hold either text or numbers; the page shows six digits, and NaN as an empty cell."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a page, with a heading of one word that no other has, and figures with their captions.

    Attributes:
        markup: HTML of our own making, which is not escaped.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[Figure, str]] = ()
    verbatim: str = ""
    markup: str = ""


def page(title: str, lead: str, sections: Sequence[Section], *, bad: bool) -> str:
    """Fill in a whole page; `bad` marks its lead as a failure."""
    environment = Environment(
        loader=PackageLoader("rdc_dyn.read", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_url"] = _data_url
    return environment.get_template("page.html").render(title=title, lead=lead, sections=sections, bad=bad)


def _data_url(figure: Figure) -> str:
    """Draw a figure as SVG into a URL, so that it is part of the page."""
    for axes in figure.axes:
        plain_ticks(axes)
    buffer = io.BytesIO()
    # A fixed salt and no date, so that the same run gives the same page.
    with matplotlib.rc_context({"svg.hashsalt": "rdc_dyn"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
