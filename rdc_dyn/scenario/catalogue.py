"""What a scenario can choose from, and commented scenarios to start from."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import GIVEN
from rdc_dyn.scenario.sections.correctors import CORRECTORS
from rdc_dyn.scenario.sections.integrators import INTEGRATORS
from rdc_dyn.scenario.sections.networks import CLASSIFIERS, DECODERS, ENCODERS
from rdc_dyn.scenario.sections.objectives import OBJECTIVES
from rdc_dyn.scenario.sections.objectives.gibbs import TableDecoder
from rdc_dyn.scenario.sections.processes import PROCESSES
from rdc_dyn.scenario.sections.processes.holding import CLOCKS
from rdc_dyn.scenario.sections.readers import READERS
from rdc_dyn.scenario.sections.responses import RESPONSES
from rdc_dyn.scenario.sections.solvers import PRECONDITIONERS, SOLVERS
from rdc_dyn.scenario.written import did_you_mean
from rdc_dyn.status import UserError

_TEMPLATES = files("rdc_dyn.scenario") / "templates"
#: The folder `scenarios` of the repository, which a wheel carries here.
_EXAMPLES = Path(str(files("rdc_dyn.scenario") / "examples"))
_LIKELIHOODS = {
    "gaussian": "D is half the squared error over the variance, plus a constant",
    "bernoulli": "D is the cross-entropy of x in [0, 1]",
}


def catalogue() -> dict[str, list[tuple[str, str]]]:
    """For each kind of choice the words and a line on each; of other packages' members, their package.

    Kinds come in the order in which a scenario chooses, and what it may start from comes last.
    """
    return {
        **_families(READERS, OBJECTIVES, ENCODERS),
        DECODERS.name: [*_members(DECODERS), ("table", TableDecoder.line("table"))],
        "likelihoods": list(_LIKELIHOODS.items()),
        **_families(CLASSIFIERS, PROCESSES),
        "clocks": list(CLOCKS.items()),
        **_families(RESPONSES, SOLVERS, PRECONDITIONERS, INTEGRATORS, CORRECTORS),
        "templates": list(templates().items()),
        "examples": list(examples().items()),
    }


def templates() -> dict[str, str]:
    """The name of each template with its first line."""
    found = {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in _TEMPLATES.iterdir()}
    return {name: found[name].partition("\n")[0].removeprefix("# ") for name in sorted(found)}


def template(name: str = "digits") -> str:
    """The YAML text of a template; a UserError reports an unknown name."""
    if name not in templates():
        raise UserError(f"no template '{name}'; choose one of: {', '.join(templates())}")
    return (_TEMPLATES / f"{name}.yaml").read_text("utf-8")


def examples() -> dict[str, str]:
    """The name of each shipped scenario, by which commands take it, with its first sentence."""
    found = _example_files()
    return {name: _first_sentence(found[name].read_text("utf-8")) for name in sorted(found)}


def example(name: str) -> Path | None:
    """The file of a shipped scenario, or None."""
    return _example_files().get(name)


def located(scenario: str | os.PathLike[str]) -> Path:
    """The file of a scenario, or of the shipped one of this name; UserError where what looks like a name is neither."""
    path, name = Path(scenario), os.fspath(scenario)
    if path.exists() or path.suffix:
        return path
    found = example(name)
    if found is None:
        near = did_you_mean(name, examples())
        hint = f"{near} All are in rdc-dyn list examples" if near else "rdc-dyn list examples names them"
        raise UserError(f"{name}: there is no such file and no such example; {hint}")
    return found


def _example_files() -> dict[str, Path]:
    return {file.relative_to(_EXAMPLES).with_suffix("").as_posix(): file for file in _EXAMPLES.rglob("*.yaml")}


def _first_sentence(text: str) -> str:
    comment = " ".join(line.removeprefix("#").strip() for line in text.split("\nname:")[0].splitlines())
    return comment.partition(". ")[0].rstrip(".")


def _families(*families: Family[Any]) -> dict[str, list[tuple[str, str]]]:
    return {family.name: _members(family) for family in families}


def _members(family: Family[Any]) -> list[tuple[str, str]]:
    members = {tag: member for tag, member in family.members.items() if tag != GIVEN}
    outside = {tag: f" (of {origin})" for tag, origin in family.origins.items() if origin != "rdc_dyn"}
    return [(tag, member.line(tag) + outside.get(tag, "")) for tag, member in members.items()]
