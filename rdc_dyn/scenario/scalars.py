"""Scalars and keys: those of YAML 1.2's core schema, in which `1e-3` is a float and `no` a string, and of programs."""

import re
from typing import Any

from ruamel.yaml import events

from rdc_dyn.scenario.written import shorten, show

Scalar = str | int | float | bool | None
Node = events.ScalarEvent | events.CollectionStartEvent | events.AliasEvent

_TAG = "tag:yaml.org,2002:"
_KINDS: dict[type[events.Event], list[str]] = {
    events.MappingStartEvent: ["map"],
    events.SequenceStartEvent: ["seq"],
    events.ScalarEvent: ["str", "int", "float", "bool", "null"],
}
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MOST_DIGITS = 400  # beyond every float; Python itself refuses integers of more than 4,300 digits
_MOST_BITS = 1300  # roughly as many digits, for integers made by a program


def scalar(event: Node) -> Scalar:
    """Resolve a scalar, None for a section or a list; a ValueError refuses aliases, tags and texts that do not fit."""
    if isinstance(event, events.AliasEvent):
        raise ValueError(f"aliases (*{shorten(event.anchor)}) are not allowed; write the value out")
    if event.tag not in [None, *(_TAG + kind for kind in _KINDS[type(event)])]:
        written = shorten(str(event.tag).replace(_TAG, "!!"))
        raise ValueError(f"the tag {written} is not allowed; only plain values are read")
    if not isinstance(event, events.ScalarEvent):
        return None
    kind = event.tag and event.tag.removeprefix(_TAG)
    value = event.value if kind == "str" or (kind is None and event.style) else _resolved(event.value)
    if kind == "float" and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise ValueError("the number is too large") from None
    if kind not in (None, type(value).__name__.replace("NoneType", "null")):
        raise ValueError(f"the text is not of the kind !!{kind}")
    if isinstance(value, str):
        _check_text(value)
    return value


def word(event: Node) -> str:
    """Read a key; a ValueError reports one that is not a plain word."""
    if not isinstance(event, events.ScalarEvent):
        raise ValueError("a key must be a word, not a section, a list or an alias")
    if event.value == "<<" and not event.style:
        raise ValueError("merge keys are not allowed; write the keys out")
    if event.anchor is not None:
        raise ValueError(f"anchors (&{shorten(event.anchor)}) are not allowed")
    key = scalar(event)
    if not isinstance(key, str):
        raise ValueError(f"a key must be a word, not {shorten(event.value) or 'nothing'}")
    return key


def plain_scalar(value: Any) -> Scalar:
    """Copy a scalar made by a program; a ValueError reports what cannot be written in a scenario."""
    if isinstance(value, str):
        _check_text(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        raise ValueError(f"a value of type {type(value).__name__} cannot be written in a scenario")
    return None


def plain_word(key: Any) -> str:
    """Copy a key made by a program; a ValueError reports one that is not a string without control characters."""
    if not isinstance(key, str):
        shown = show(key) if isinstance(key, int | float | None) else type(key).__name__
        raise ValueError(f"must be a string, not {shown}")
    _check_text(key)
    return str(key)


def _check_text(value: str) -> None:
    """Raise a ValueError for control characters and lone surrogates, which no name or file path can have."""
    found = _NOT_TEXT.search(value)
    if found:
        raise ValueError(f"contains the control character U+{ord(found[0]):04X}")


def _resolved(text: str) -> Scalar:
    """Resolve a scalar without quotes and tag."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
        return int(text, 0 if text.startswith(("0o", "0x")) else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text
