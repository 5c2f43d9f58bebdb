"""The tutorials as notebooks beside their pages; `_templates/notebook.html` links them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def _is_script(app: Sphinx, page: str) -> bool:
    return page in app.env.found_docs and Path(app.env.doc2path(page)).suffix == ".py"


def write(app: Sphinx, error: Exception | None) -> None:
    """Write them without outputs."""
    if error is not None or app.builder.format != "html":
        return
    for page in filter(lambda page: _is_script(app, page), app.env.found_docs):
        notebook = jupytext.read(Path(app.env.doc2path(page)), fmt="py:percent")
        notebook.metadata["kernelspec"] = _KERNEL
        jupytext.write(notebook, Path(app.outdir) / f"{page}.ipynb", fmt="ipynb")


def link(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Tell the template of a page where its notebook is."""
    if _is_script(app, page):
        context["notebook"] = f"{page.rpartition('/')[2]}.ipynb"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", link, priority=400)  # the theme leaves out what is empty by then
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
