"""Checks of the section `data` against the objective, and of its data sets against each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from rdc_dyn.scenario.absolute import ROOT_VARIABLE
from rdc_dyn.scenario.explain import did_you_mean
from rdc_dyn.scenario.problems import Finding, Path, show
from rdc_dyn.scenario.schema import CLASS_NAMES
from rdc_dyn.scenario.tree import Tree, number, section

_WITH_DATA = ("amortised", "importance_weighted", "finite_latent")
_KEYS = ("source", "target", "coupling", "label_cost", "root", "download", "validation_fraction", "validation")

#: The key that tells two data sets of one kind apart; sets not listed have a split, and digits has only one set.
_PLACES = {"digits": "name", "image_folder": "folder", "npz": "file"}


def _needed(tree: Tree) -> Iterator[Finding]:
    kind = section(tree, "objective").get("kind")
    if kind not in _WITH_DATA:
        return
    wanted = f"missing; the objective '{kind}' needs data.source, such as {{name: digits}}"
    if tree.get("data") is None:
        yield Finding(("data",), wanted)
    elif isinstance(tree["data"], dict) and tree["data"].get("source") is None:
        yield Finding(("data", "source"), wanted)


def _unused(tree: Tree) -> Iterator[Finding]:
    if section(tree, "objective").get("kind") != "linear_gaussian":
        return
    for key in _KEYS:
        # A resolved scenario writes out its defaults, which are no mistake.
        if section(tree, "data").get(key) not in (None, False, 0):
            message = "not used: the objective 'linear_gaussian' takes its second moments in place of data"
            yield Finding(("data", key), message, at_key=True)


def _download_needs_root(tree: Tree) -> Iterator[Finding]:
    data = section(tree, "data")
    if data.get("download") is True and data.get("root") is None and not os.environ.get(ROOT_VARIABLE):
        message = f"missing; download: true needs a folder to download to, here or in the variable {ROOT_VARIABLE}"
        yield Finding(("data", "root"), message)


def _coupling(tree: Tree) -> Iterator[Finding]:
    data, kind = section(tree, "data"), section(tree, "objective").get("kind")
    if kind not in _WITH_DATA:
        return
    if number(data.get("label_cost")) and (data.get("path", "mixture") == "mixture" or data.get("coupling")):
        yield Finding(("data", "label_cost"), "only for the optimal plan of path: optimal_transport", at_key=True)
    if data.get("coupling") is None:
        return
    if data.get("path", "mixture") == "mixture":
        yield Finding(("data", "coupling"), "only with path: optimal_transport; a mixture couples nothing", at_key=True)
    if data.get("target") is None:
        yield Finding(("data", "target"), "missing; data.coupling says which datum of it a source datum becomes")


def _classes(tree: Tree) -> Iterator[Finding]:
    """Find class names that a data set does not have, and classes that are given twice."""
    for path, part in _sets(tree):
        names = CLASS_NAMES.get(part["name"], ())
        given: list[Any] = part["classes"] if isinstance(part.get("classes"), list) else []
        # A name and its label denote the same class.
        labels = [names.index(one) if one in names else one for one in given]
        for place, one in enumerate(given):
            if names and isinstance(one, str) and one not in names:
                near = did_you_mean(one, names)
                words = f"unknown class {_quoted(one)}; choose one of: {', '.join(names)}"
                yield Finding((*path, "classes", place), words + (f"; {near}" if near else ""))
            elif labels[place] in labels[:place]:
                yield Finding((*path, "classes", place), f"the class {_quoted(one)} is given twice")


def _quoted(one: Any) -> str:
    return show(one).removeprefix("the string ")


def _validation(tree: Tree) -> Iterator[Finding]:
    """Check that held-out data are given in one way, for both ends, and differ from the training data."""
    data = section(tree, "data")
    validation = data.get("validation")
    if not isinstance(validation, dict):
        return
    if number(data.get("validation_fraction")):
        message = "not with data.validation, which names the held-out data; leave one of them out"
        yield Finding(("data", "validation_fraction"), message, at_key=True)
    has_target, holds_target = (of.get("target") is not None for of in (data, validation))
    if has_target and not holds_target:
        yield Finding(("data", "validation", "target"), "missing; data.target moves the data to a set of its own")
    if holds_target and not has_target:
        yield Finding(("data", "validation", "target"), "not used: there is no data.target", at_key=True)
    for end in ("source", "target"):
        yield from _beside(end, section(data, end), section(validation, end))


def _beside(end: str, training: Tree, held_out: Tree) -> Iterator[Finding]:
    """Check that held-out data of the same kind of set are another part of it, with the same classes."""
    name = held_out.get("name")
    if not isinstance(name, str) or name != training.get("name"):
        return
    key = _PLACES.get(name, "split")
    default, path = ("train" if key == "split" else None), ("data", "validation", end)
    if key == "name" or training.get(key, default) == held_out.get(key, default):
        hint = "give split: test" if key == "split" else "leave data.validation out, set data.validation_fraction"
        yield Finding((*path, key), f"these are the data of data.{end} again, not held-out ones; {hint}")
    one, other = (part.get("classes", "all") for part in (training, held_out))
    if one != other:
        yield Finding((*path, "classes"), f"must be those of data.{end}, {show(one)}, so that labels mean the same")


def _sets(tree: Tree) -> Iterator[tuple[Path, Tree]]:
    """Yield the path and the section of each data set that is named."""
    for above in (("data",), ("data", "validation")):
        for end in ("source", "target"):
            part = section(tree, *above, end)
            if isinstance(part.get("name"), str):
                yield (*above, end), part


DATA_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    _needed,
    _unused,
    _download_needs_root,
    _coupling,
    _classes,
    _validation,
)
