"""Scalars of YAML 1.2's core schema: `1e-3` is a float, `no` and `1_000` are strings, `0o17` is an integer."""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"
CORE_SCALAR_TAGS = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "null"))
SEQUENCE_TAG = _TAG + "seq"
MAPPING_TAG = _TAG + "map"

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NOT_A_NUMBER = re.compile(r"\.(nan|NaN|NAN)")
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MOST_DIGITS = 400  # beyond every float; Python itself refuses integers of more than 4,300 digits


def plain_scalar(text: str) -> Scalar:
    """Resolve a scalar without quotes; a ValueError reports an integer with too many digits."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if _NOT_A_NUMBER.fullmatch(text):
        return float("nan")
    return text


def tagged_scalar(tag: str, text: str) -> Scalar:
    """Resolve a scalar with a tag in CORE_SCALAR_TAGS, such as `!!float 1`; a ValueError reports a mismatch."""
    kind = tag.removeprefix(_TAG)
    if kind == "str":
        return text
    value = plain_scalar(text)
    if kind == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ValueError("the number is too large") from None
    if type(value).__name__.replace("NoneType", "null") != kind:
        raise ValueError(f"the text is not of the kind !!{kind}")
    return value


def check_text(value: str) -> None:
    """Raise a ValueError for control characters and lone surrogates, which no name or file path can have."""
    found = _NOT_TEXT.search(value)
    if found:
        raise ValueError(f"contains the control character U+{ord(found[0]):04X}")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    if text.startswith(("0o", "0x")):
        return int(text, 0)
    return int(text)
