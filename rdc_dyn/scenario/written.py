"""A scenario as written, before anything is known about its types, and what is wrong with it."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rdc_dyn.status import UserError, escaped, plain

#: Keys and values, and where a value lies among them: keys of sections and indices of lists.
Tree = dict[str, Any]
KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[^\W\d][\w-]{0,59}|[0-9]+")
_LONGEST = 60
_LONGEST_WORD = 40  # longer words resemble no option and cost time


@dataclass(frozen=True)
class Mistake:
    """One mistake in a scenario.

    Attributes:
        where: File, line and column (`scen.yaml:6:3`), or the override (`--set seed=x`), or the dotted key.
        key: Dotted key, such as `integrator.step_size`; empty for the scenario as a whole.
        message: What is wrong and what was expected, in one line.
    """

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(
            part for part in (self.where, self.key if self.key != self.where else "", self.message) if part
        )


class ScenarioError(UserError):
    """A scenario that cannot be run; the command line exits with code 2.

    Args:
        problems: Every mistake found, in the order of the file; kept as a tuple in the attribute `problems`.
    """

    def __init__(self, problems: Iterable[Mistake]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __repr__(self) -> str:
        """How many mistakes there are, and one in each line."""
        return plain("\n  ".join([self._count, *map(str, self.problems)]))

    @property
    def _count(self) -> str:
        return f"ScenarioError: {len(self.problems)} mistake" + "s" * (len(self.problems) != 1)

    def _repr_html_(self) -> str:
        items = (
            f"<li><code>{escaped(each.where)}</code> "
            + (f"<b>{escaped(each.key)}</b>: " if each.key not in ("", each.where) else "")
            + f"{escaped(each.message)}</li>"
            for each in self.problems
        )
        return f"<p>{self._count}</p><ul>{''.join(items)}</ul>"

    def _render_traceback_(self) -> list[str]:
        return repr(self).splitlines()

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[tuple[Mistake, ...]]]:
        # By default, an error that a worker process sends back would be rebuilt from the joined text.
        return type(self), (self.problems,)


@dataclass(frozen=True)
class Finding:
    """A mistake at a place in the tree, before its position in the file is looked up.

    Attributes:
        at_key: Whether to point at the key rather than at its value.
    """

    path: KeyPath
    message: str
    at_key: bool = False


def section(tree: Any, *keys: str | int) -> Tree:
    """The section under the given keys; empty if there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def by_key(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; lists are values."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= by_key(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def number(value: Any) -> float | None:
    """The value as a finite float; None if it is not a number or does not fit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """The question `did you mean 'x'?` for the closest option, or an empty string if none is close."""
    if len(word) > _LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(word.lower(), list(options), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def unknown(what: str, word: str, options: Iterable[str]) -> str:
    """A word that is none of the options, and the closest of them."""
    options = tuple(options)
    near = did_you_mean(word, options)
    quoted = show(word).removeprefix("the string ")
    return f"unknown {what} {quoted}; choose one of: {', '.join(options)}{'; ' + near if near else ''}"


def dotted(path: Sequence[str | int]) -> str:
    """Join a path with dots; keys that are not plain words are quoted, so that the result is always one line."""
    return ".".join(part if _PLAIN_KEY.fullmatch(part) else _quoted(part) for part in map(str, path))


def show(value: Any) -> str:
    """Describe a value in a message, in one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {_quoted(value)}"
    if isinstance(value, dict):
        return f"a section with the keys {shorten(', '.join(dotted((key,)) for key in value))}" if value else "{}"
    if isinstance(value, list):
        if any(isinstance(item, list | dict) for item in value):
            return f"a list of {len(value)} items"
        return shorten("[" + ", ".join(item if isinstance(item, str) else show(item) for item in value[:20]) + "]")
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge whole number"  # Python refuses to write out integers of thousands of digits
    return repr(value)


def shorten(text: str) -> str:
    """Reduce text to one short line: replace characters that are not printable and cut what is too long."""
    line = "".join(char if char.isprintable() else "?" for char in text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _quoted(text: str) -> str:
    """A short, printable form of the text, in single quotes where these are unambiguous."""
    if text.isprintable() and "'" not in text and "\\" not in text:
        return f"'{shorten(text)}'"
    return shorten(json.dumps(text[: 2 * _LONGEST]))
