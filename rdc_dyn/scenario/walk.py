"""Through the sections of a scenario: of the raw tree, with the section that each place should hold, and of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.section import PathMark, Section, marks
from rdc_dyn.scenario.written import Path


def walk(section: type[Section], own: Any, path: Path = ()) -> Iterator[tuple[type[Section], Any, Path]]:
    """The sections of a raw tree from one on, each with what is written there, and where; of unknown kinds none."""
    yield section, own, path
    for name, field in section.model_fields.items():
        key = field.alias or name
        value = own.get(key) if isinstance(own, dict) else None
        below = _member(marks(field), {} if value is None and not field.is_required() else value)
        if below is not None:
            yield from walk(below, value, (*path, key))


def _member(said: Iterator[Any], value: Any) -> type[Section] | None:
    """The section that a value should be of, by what a field's type says."""
    for mark in said:
        if isinstance(mark, Family):
            return mark.of(value)
        if isinstance(mark, type) and issubclass(mark, Section):
            return mark
    return None


def path_mark(section: type[Section], name: str) -> PathMark | None:
    """How a field holds a path; None where it does not."""
    return next((mark for mark in marks(section.model_fields[name]) if isinstance(mark, PathMark)), None)


def paths(section: type[Section], own: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The paths of a raw tree, and where they stand."""
    for each, value, place in walk(section, own, path):
        for name, field in each.model_fields.items():
            key = field.alias or name
            if path_mark(each, name) and isinstance(value, dict) and isinstance(value.get(key), str):
                yield (*place, key), value[key]


def with_paths(section: Section, change: Callable[[Path, PathMark, str], str | None], path: Path = ()) -> Any:
    """A copy of a section in which every path, at any depth, is what `change` makes of it."""
    update = {}
    for name, field in type(section).model_fields.items():
        value, place = getattr(section, name), (*path, field.alias or name)
        if isinstance(value, Section):
            update[name] = with_paths(value, change, place)
        elif isinstance(value, str) and (mark := path_mark(type(section), name)) is not None:
            update[name] = change(place, mark, value)
    return section.set(**update)
