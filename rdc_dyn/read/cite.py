"""BibTeX of the paper and of the program that made a trajectory."""

from importlib.metadata import version

import xarray as xr

_PAPER = """@inproceedings{gao2020free,
  title     = {A Free-Energy Principle for Representation Learning},
  author    = {Gao, Yansong and Chaudhari, Pratik},
  booktitle = {International Conference on Machine Learning},
  year      = {2020},
  note      = {arXiv:2002.12406},
}"""


def cite(trajectory: xr.Dataset | None = None) -> str:
    """BibTeX entries to cite with a figure.

    Args:
        trajectory: A run; None cites the program that is installed.

    Returns:
        The paper's entry, and the program's with the version and commit that made the trajectory.
    """
    attributes = {} if trajectory is None else trajectory.attrs
    source = str(attributes.get("source", f"rdc_dyn {version('rdc-dyn')}"))
    commit = f", commit {attributes['commit']}" if attributes.get("commit") else ""
    program = f"""@software{{rdc_dyn,
  title   = {{rdc\\_dyn: dynamics on the rate-distortion-classification surface}},
  author  = {{{{rdc\\_dyn developers}}}},
  version = {{{source.removeprefix("rdc_dyn ")}{commit}}},
}}"""
    return f"{_PAPER}\n\n{program}\n"
