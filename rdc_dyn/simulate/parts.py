"""Dataclasses taken apart, field by field, into tensors by name and plain values, and put together again."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from rdc_dyn.status import DataError, Status

_Kind = TypeVar("_Kind")


def take_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Put the tensors of a value into `tensors`, by dotted name, and return the rest as JSON has it."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return None
    if is_dataclass(value):
        return {f.name: take_apart(getattr(value, f.name), f"{name}.{f.name}", tensors) for f in fields(value)}
    if isinstance(value, tuple):
        return [take_apart(each, f"{name}.{number}", tensors) for number, each in enumerate(value)]
    if isinstance(value, Status):
        return value.name
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class Parts:
    """Tensors by name, for θ of `size` entries, from a file that may hold anything.

    Attributes:
        used: Names of the tensors that have found their place.
    """

    tensors: Mapping[str, Tensor]
    size: int
    used: set[str] = field(default_factory=set)

    def put_together(self, kind: type[_Kind], plain: Mapping[str, Any], name: str) -> _Kind:
        """The dataclass that `take_apart` took apart; raises KeyError or TypeError if this is not it."""
        hints = _hints(kind)  # type: ignore[arg-type]
        return kind(**{key: self._value(hint, plain[key], f"{name}.{key}") for key, hint in hints.items()})

    def _value(self, hint: Any, plain: Any, name: str) -> Any:
        optional = NoneType in get_args(hint)
        kind = next(each for each in get_args(hint) if each is not NoneType) if optional else hint
        if name in self.tensors or (not optional and (kind is Tensor or hasattr(kind, "dim_str"))):
            return self.tensor(kind, name)
        if plain is None:
            return None
        if is_dataclass(kind):
            return self.put_together(kind, plain, name)  # type: ignore[arg-type]
        if get_origin(kind) is tuple:
            inner = get_args(kind)
            each = inner[:1] * len(plain) if Ellipsis in inner else inner
            return tuple(self._value(h, p, f"{name}.{k}") for k, (h, p) in enumerate(zip(each, plain, strict=True)))
        if kind in (int, float) and not isinstance(plain, (int, float)):
            raise TypeError(f"{name} is no number")
        return Status[plain] if kind is Status else plain

    def tensor(self, hint: Any, name: str) -> Tensor:
        """A tensor whose shape is the one that its type names, such as 3 P; DataError if there is none."""
        if name not in self.tensors:
            raise DataError(f"the checkpoint lacks {name}")
        tensor, shape = self.tensors[name], getattr(hint, "dim_str", None)
        self.used.add(name)
        if shape is not None:
            expected = [int(n) if n.isdigit() else self.size if n == "P" else None for n in shape.split()]
            if len(expected) != tensor.ndim or any(n not in (None, m) for n, m in zip(expected, tensor.shape)):
                raise DataError(f"the checkpoint's {name} has the shape {tuple(tensor.shape)}; expected ({shape})")
        return tensor

    def require_finite(self, unknown: Container[str]) -> None:
        """Refuse a tensor that is not finite, unless it is one of those that may be unknown."""
        for name, tensor in self.tensors.items():
            if name not in unknown and not bool(torch.isfinite(tensor).all()):
                raise DataError(f"the checkpoint's {name} is not finite")

    def require_used(self) -> None:
        """Refuse tensors that have no place."""
        if strangers := sorted(self.tensors.keys() - self.used):
            raise DataError(f"the checkpoint has a tensor {strangers[0]!r}, which is no part of a point")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}
