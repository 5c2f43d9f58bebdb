"""Sphinx: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "rdc_dyn"
author = "rdc_dyn developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
extensions += ["generated", "looks", "notebooks"]  # those of _ext
exclude_patterns = ["_build", "_ext", "conf.py"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "rdc_dyn"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc", "notebook"],
    "header_links_before_dropdown": 6,
}
html_sidebars = {"index": [], "gallery": []}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = True
#: Types in docstrings that no page documents.
nitpick_ignore_regex = [("py:.*", ".*")]
napoleon_use_ivar = True
