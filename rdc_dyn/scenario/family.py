"""Families of sections: tagged unions to which a file, or a package from outside, adds a member."""

from __future__ import annotations

import operator
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from rdc_dyn.scenario.section import Section, marks
from rdc_dyn.scenario.written import KeyPath
from rdc_dyn.status import UserError

_SECTIONS = "rdc_dyn.scenario.sections"
#: Group of entry points by which a package adds members.
GROUP = "rdc_dyn.sections"
S = TypeVar("S", bound=Section)


@dataclass(frozen=True, eq=False)
class Family(Generic[S]):
    """The sections that may stand in one place of a scenario, told apart by the value of one key.

    Attributes:
        name: What `rdc-dyn list` calls it.
        base: What its members derive from.
        key: Name of the key that tells them apart.
        default: The member that a section without that key is; None where the key must be given.
        module: The module in whose files its members are, if not the one of its name.
        inner: A family of which one member is the base: it is told apart further, by a key of its own.
        refused: Words that are no members, and why.
        origins: Where each member comes from, by tag.
    """

    name: str
    base: type[S]
    key: str = "kind"
    default: str | None = None
    module: str = ""
    inner: Family[Any] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    @cached_property
    def members(self) -> dict[str, type[S]]:
        """Section by tag; our own first, in the order of their files, then those of other packages."""
        found: dict[str, type[S]] = {}
        family = import_module(f"{_SECTIONS}.{self.module or self.name}")
        files = pkgutil.iter_modules(getattr(family, "__path__", ()), f"{family.__name__}.")
        for module in (family, *(import_module(file.name) for file in files)):
            for section in _sections(module, self.base):
                self._add(found, section, "rdc_dyn")
        for entry in entry_points(group=GROUP):
            outside = _loaded(entry)
            if issubclass(outside, self.base):
                self._add(found, outside, _package(entry))
        return found

    def _add(self, found: dict[str, type[S]], section: type[S], origin: str) -> None:
        if self.inner is not None and issubclass(section, self.inner.base) and section is not self.inner.base:
            return
        for tag in tags(section, self.key):
            if tag in found:
                raise UserError(
                    f"{origin}: its section {section.__name__} has {self.key} {tag!r}, and so has "
                    f"{found[tag].__name__} of {self.origins[tag]}; rename one of them"
                )
            found[tag], self.origins[tag] = section, origin

    def of(self, section: Any) -> type[S] | None:
        """The member that a raw section is of, as far as its key tells."""
        tag = section.get(self.key, self.default) if isinstance(section, dict) else None
        member = self.members.get(tag) if isinstance(tag, str) else None
        return self.inner.of(section) if self.inner is not None and member is self.inner.base else member

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As `Annotated[Base, family]`, the type of a field that takes any member."""
        members: list[Any] = list(dict.fromkeys(self.members.values()))
        if self.inner is not None:
            members = [Annotated[each, self.inner] if each is self.inner.base else each for each in members]
        union = reduce(operator.or_, members)
        union = Annotated[union, Field(discriminator=self.key)] if members[1:] else union
        if self.default is not None:
            union = Annotated[union, BeforeValidator(self._named)]
        return handler.generate_schema(union)

    def _named(self, value: Any) -> Any:
        return {self.key: self.default, **value} if isinstance(value, dict) else value


def walk(section: type[Section], own: Any, path: KeyPath = ()) -> Iterator[tuple[type[Section], Any, KeyPath]]:
    """The sections of a raw tree from one on, each with what is written there, and where; of unknown kinds none."""
    yield section, own, path
    for name, info in section.model_fields.items():
        key = info.alias or name
        value = own.get(key) if isinstance(own, dict) else None
        below = _member(marks(info), {} if value is None and not info.is_required() else value)
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


def tags(section: type[Section], key: str) -> tuple[str, ...]:
    """The values of its key that a section answers to; none for a base of several."""
    annotation = section.model_fields[key].annotation if key in section.model_fields else None
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _sections(module: Any, base: type[S]) -> Iterator[type[S]]:
    """The sections of a family that a module defines."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__:
            yield value


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _loaded(entry: EntryPoint) -> type[Section]:
    """The section of an entry point; its package is named where there is none."""
    where = f"{_package(entry)}: its entry point {GROUP}:{entry.name}"
    try:
        section = entry.load()
    except Exception as error:  # whatever a package from outside does when it is imported
        reason = " ".join(str(error).split()) or "no reason given"
        raise UserError(f"{where} fails to import ({type(error).__name__}: {reason}); mend or remove it") from None
    if not (isinstance(section, type) and issubclass(section, Section)):
        raise UserError(f"{where} is {section!r:.60}; expected a section, a subclass of one of rdc_dyn.sections")
    return section
