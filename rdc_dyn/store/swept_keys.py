"""A swept key as a coordinate: its name is a valid Python name, and its values are numbers or words."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rdc_dyn.status import UserError

if TYPE_CHECKING:
    import numpy as np

#: In place of a value: the scenario of this run lacks the key.
LACKING: Final = object()
#: Keys that name what a section is.
_TAGS = ("method", "kind", "name")


def coordinate_names(keys: Iterable[str], taken: Container[str] = ()) -> dict[str, str]:
    """The name of the coordinate of each key: `integrator_method` for the key `integrator.method`.

    A name that is taken or reserved has `scenario_` before it, such as `scenario_response`. Raises UserError if two
    keys have the same name.
    """
    keys_of: dict[str, str] = {}
    for key in keys:
        name = re.sub(r"\W", "_", key)
        if name in taken or not name.isidentifier() or keyword.iskeyword(name):
            name = f"scenario_{name}"
        if name in keys_of:
            raise UserError(f"the keys {keys_of[name]} and {key} would both be the dimension {name}; vary one of them")
        keys_of[name] = key
    return {key: name for name, key in keys_of.items()}


def coordinate(values: Sequence[Any]) -> np.ndarray:
    """One entry for each value: numbers if all values are, else words; `LACKING` becomes NaN or an empty word."""
    import numpy as np

    given = [value for value in values if value is not LACKING]
    if given and all(map(_is_number, given)):
        return np.array([math.nan if value is LACKING else value for value in values])
    named = labels(list({text_of(value): value for value in given}.values()))
    return np.array(["" if value is LACKING else named[text_of(value)] for value in values], dtype=str)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite float or a 64-bit integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def labels(values: Sequence[Any]) -> dict[str, str]:
    """Short labels for distinct values by their JSON, no two alike: of sections, what tells them apart."""
    texts = [text_of(value) for value in values]
    sections = [value for value in values if isinstance(value, dict)]
    choices = [[str(section[tag]) for section in sections if tag in section] for tag in _TAGS]
    choices.append([_label(value, sections) for value in values])
    distinct = (found for found in choices if len(set(found)) == len(values) and all(found))
    return dict(zip(texts, next(distinct, texts)))


def _label(value: Any, sections: list[dict[str, Any]]) -> str:
    if not isinstance(value, dict):
        return value if isinstance(value, str) else text_of(value)
    differing = {k: v for k, v in value.items() if any(text_of(v) != text_of(s.get(k, v)) for s in sections)}
    tags = [str(value[tag]) for tag in _TAGS if tag in value]
    rest = [f"{k}: {text_of(v)}" for k, v in differing.items() if k not in _TAGS]
    return ", ".join([*tags[:1], *rest]) or text_of(value)


def text_of(value: Any) -> str:
    """The JSON of a value, by which values are told apart."""
    return json.dumps(value, sort_keys=True)
