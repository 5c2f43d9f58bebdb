"""Objects that are passed to a run in place of sections of its scenario."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rdc_dyn.dynamics import Corrector, Process
from rdc_dyn.scenario import Document
from rdc_dyn.scenario.given import GIVEN, recorded
from rdc_dyn.status import UserError

#: What an object must have to stand for a section.
_NEEDED: Mapping[str, Sequence[str]] = {
    "process": ("span", "rates"),
    "objective": (
        "size",
        "exact",
        "weight_prior_precision",
        "moves",
        "free_energy",
        "initial",
        "kernel",
        "diagnostics",
    ),
    "corrector": ("correct",),
    "response": ("at_point", "at_stage"),
    "integrator": ("step",),
}
#: What it must derive from, for the methods that have defaults.
_BASES: Mapping[str, type] = {"process": Process, "corrector": Corrector}


def passed(**things: Any) -> dict[str, Any]:
    """The objects that are there, by section; a `UserError` where one does not fit what its section is for."""
    found = {name: thing for name, thing in things.items() if thing is not None}
    for name, thing in found.items():
        missing = [each for each in _NEEDED[name] if not hasattr(thing, each)]
        if isinstance(thing, type):
            raise UserError(f"{name}: is the class {thing.__qualname__}; expected an object, {thing.__qualname__}(...)")
        if missing or not isinstance(thing, _BASES.get(name, object)):
            lacks = f" without {', '.join(missing)}" * bool(missing)
            base = f"rdc_dyn.{name.capitalize()}" if name in _BASES else f"object with {', '.join(_NEEDED[name])}"
            raise UserError(f"{name}: got an object of class {type(thing).__qualname__}{lacks}; expected an {base}")
    return found


def overrides(given: Mapping[str, Any], document: Document) -> list[str]:
    """The sections that record the objects, as overrides of a scenario."""
    return [f"{name}={{{', '.join(_keys(name, thing, document))}}}" for name, thing in given.items()]


def _keys(name: str, thing: Any, document: Document) -> list[str]:
    key = "method" if name in ("corrector", "integrator") else "kind"
    found: dict[str, Any] = {key: GIVEN, **recorded(thing)}
    if name == "process":
        found["span"] = [float(end) for end in thing.span]
    if name == "integrator" and isinstance(document.tree, dict):
        section = document.tree.get("integrator")
        found["step_size"] = section.get("step_size") if isinstance(section, dict) else None
    return [f"{each}: {json.dumps(value)}" for each, value in found.items() if value is not None]
