"""The pieces of an HTML page: sections, tables and figures, with all text escaped."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import matplotlib
from matplotlib.figure import Figure

from rdc_dyn.output.plots.style import plain_ticks
from rdc_dyn.status import DataError

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="rdc_dyn">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; border-bottom: 1px solid #ccc; margin-top: 2rem; }
nav a { margin-right: 1rem; } a { color: #0072B2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.87rem; } caption { text-align: left; color: #444; padding-bottom: 0.3rem; }
th, td { text-align: left; padding: 0.15rem 0.8rem 0.15rem 0; border-bottom: 1px solid #e5e5e5; vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; break-inside: avoid; } figure img { max-width: 100%; height: auto; } figcaption { color: #444; font-size: 0.87rem; }
pre { background: #f6f6f6; padding: 0.7rem; font-size: 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.bad { color: #D55E00; font-weight: 600; }
@media print { body { margin: 0; max-width: none; } nav { display: none; } tr { break-inside: avoid; } .scroll { overflow: visible; } }
</style>
</head>
<body>
<h1>$title</h1>
$lead
<nav>$links</nav>
$sections
</body>
</html>
""")  # noqa: E501


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading in plain text and a body in HTML."""

    title: str
    body: str

    @property
    def anchor(self) -> str:
        """The fragment identifier by which links reach the section."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """A whole page that needs no other file, network or script; `lead` is HTML, section titles are distinct."""
    links = "\n".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    bodies = "\n".join(f'<section id="{s.anchor}">\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>' for s in sections)
    return _PAGE.substitute(title=escape(title), lead=lead, links=links, sections=bodies)


def paragraph(text: str, *, bad: bool = False) -> str:
    """Plain text as a paragraph; `bad` marks a failure."""
    return f'<p class="bad">{escape(text)}</p>' if bad else f"<p>{escape(text)}</p>"


def table(headers: Sequence[str], rows: Sequence[Sequence[str | float | int]], caption: str = "") -> str:
    """A table of plain text; columns with numbers are flush right, with six digits and NaN left empty."""
    right = [any(not isinstance(row[k], str) for row in rows) for k in range(len(headers))]
    marks = [' class="n"' if r else "" for r in right]
    head = "".join(f'<th scope="col"{mark}>{escape(h)}</th>' for h, mark in zip(headers, marks))
    body = "\n".join(
        "<tr>" + "".join(f"<td{mark}>{escape(_cell(cell))}</td>" for cell, mark in zip(row, marks)) + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    return (
        f'<div class="scroll"><table>\n{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
    )


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.6g}"


def figure(drawn: Figure, caption: str) -> str:
    """A figure, embedded in the page as SVG; the plain-text caption is also its alternative text."""
    for axes in drawn.axes:
        plain_ticks(axes)
    buffer = io.BytesIO()
    # A fixed salt and no date, so that the same run gives the same page.
    with matplotlib.rc_context({"svg.hashsalt": "rdc_dyn"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    content = base64.b64encode(buffer.getvalue()).decode()
    text = escape(caption, quote=True)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{content}" alt="{text}">\n'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def verbatim(text: str) -> str:
    """Plain text with its line breaks."""
    return f"<pre>{escape(text)}</pre>"


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page under a temporary name and rename it when complete; DataError if it cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot write the report ({error.strerror or error})") from None
    finally:
        if temporary.is_file():
            temporary.unlink()
