"""What pages show: C_λ with its subscript, d^λ with its superscript, and pictures that open at full size."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

#: One letter and what stands below or above it; names such as rdc_dyn have more letters before theirs.
_SCRIPT = re.compile(
    r"(?<![A-Za-z0-9_^])([A-Za-zΑ-Ωα-ω∂])"
    r"(?:_([A-Za-z0-9α-ω]{1,2}|source|target)(?![A-Za-z0-9_]|\.\w)|\^(?:\{([^}]+)\}|([A-Za-zα-ω])))"
)
_AS_IT_IS = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.raw)


class Scripts(SphinxTransform):
    """Set subscripts and superscripts in text, not in code."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replace each text that has some."""
        for text in list(self.document.findall(nodes.Text)):
            if _SCRIPT.search(text) and not isinstance(text.parent, _AS_IT_IS):
                text.parent.replace(text, _parts(str(text)))


def _parts(text: str) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    end = 0
    for match in _SCRIPT.finditer(text):
        letter, below, braced, above = match.groups()
        found.append(nodes.Text(text[end : match.start()] + letter))
        kind, script = (nodes.subscript, below) if below else (nodes.superscript, braced or above)
        found.append(kind("", script))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


class Pictures(SphinxTransform):
    """Give each picture the width of the page, which makes Sphinx link it to its file."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Set the widths."""
        for image in self.document.findall(nodes.image):
            image.setdefault("width", "100%")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_transform(Scripts)
    app.add_transform(Pictures)
    return {"parallel_read_safe": True}
