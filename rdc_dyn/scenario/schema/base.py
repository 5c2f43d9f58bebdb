"""Base class of all sections, and constrained types for their fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def list_to_tuple(value: Any) -> Any:
    """Convert a list, as YAML gives it, to a tuple, as frozen models hold it; leave other values alone."""
    return tuple(value) if isinstance(value, list) else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(list_to_tuple)]
Row = Annotated[tuple[Finite, ...], BeforeValidator(list_to_tuple)]
Matrix = Annotated[tuple[Row, ...], BeforeValidator(list_to_tuple)]
Labels = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(list_to_tuple)]
ClassName = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)]
ClassNames = Annotated[tuple[ClassName, ...], Field(min_length=1), BeforeValidator(list_to_tuple)]
Interval = Annotated[tuple[Finite, Finite], BeforeValidator(list_to_tuple)]
Activation = Literal["tanh", "softplus", "silu", "gelu", "sigmoid"]


class Section(BaseModel):
    """Base class of all sections: no unknown keys, no silent conversions, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)
