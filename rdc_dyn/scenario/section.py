"""The base of all sections, and the kinds of numbers they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from rdc_dyn.scenario.written import Finding, KeyPath, Tree

if TYPE_CHECKING:
    from rdc_dyn.scenario.scenario import Scenario


def list_to_tuple(value: Any) -> Any:
    """YAML has lists, a frozen model tuples."""
    return tuple(value) if isinstance(value, list) else value


#: Beyond this no count makes sense, and torch overflows.
TOO_MANY = 2**31


def _countable(value: int) -> int:
    """The number itself, unless it is too large."""
    if value >= TOO_MANY:
        raise PydanticCustomError("too_many", "too large")
    return value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1), AfterValidator(_countable)]
Natural = Annotated[int, Field(ge=0)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(list_to_tuple)]
Row = Annotated[tuple[Finite, ...], BeforeValidator(list_to_tuple)]
Matrix = Annotated[tuple[Row, ...], BeforeValidator(list_to_tuple)]
Labels = Annotated[tuple[Natural, ...], Field(min_length=1), BeforeValidator(list_to_tuple)]
ClassName = Natural | Annotated[str, Field(min_length=1)]
ClassNames = Annotated[tuple[ClassName, ...], Field(min_length=1), BeforeValidator(list_to_tuple)]
Interval = Annotated[tuple[Finite, Finite], BeforeValidator(list_to_tuple)]
Activation = Literal["tanh", "softplus", "silu", "gelu", "sigmoid"]


@dataclass(frozen=True)
class PathMark:
    """Marks a text as a path, relative to the scenario's folder, or to `data.root` where that is set.

    Attributes:
        named: Whether a colon follows, and the name of something in the file.
    """

    rooted: bool = False
    named: bool = False

    def split(self, value: str) -> tuple[str, str]:
        """The path, and the colon and name behind it."""
        path, colon, name = value.rpartition(":")
        return (path, colon + name) if self.named and colon else (value, "")


PathStr = Annotated[str, PathMark()]
RootedPathStr = Annotated[str, PathMark(rooted=True)]
NamedPathStr = Annotated[str, PathMark(named=True)]


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversions, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    @classmethod
    def line(cls, tag: str) -> str:
        """What `rdc-dyn list` says of it where its key has this value: the first line of its docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """What does not fit together, inside the section and with others.

        It reads the raw tree, so that it also runs on a scenario whose sections have errors of their own, and is silent
        about values that are missing or of the wrong type, which the schema reports.

        Args:
            tree: The whole scenario, as written.
            path: Where this section stands in it.
        """
        yield from ()

    def resolve(self, scenario: Scenario) -> Self:
        """The section with the defaults that depend on others written out; those others are not resolved yet."""
        parts = {name: part for name in type(self).model_fields if isinstance(part := getattr(self, name), Section)}
        return self.set(**{name: part.resolve(scenario) for name, part in parts.items()})

    def set(self, **values: Any) -> Self:
        """A copy with other values."""
        return self.model_copy(update=values)

    def default(self, **values: Any) -> Self:
        """A copy in which what is null has these values."""
        return self.set(**{key: value for key, value in values.items() if getattr(self, key) is None})


def marks(field: FieldInfo) -> Iterator[Any]:
    """What `Annotated` says of a field, at any depth of its type, and the types themselves."""
    yield from field.metadata
    yield from _parts(field.annotation)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        yield from _parts(part)
