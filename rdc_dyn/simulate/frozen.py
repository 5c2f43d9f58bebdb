"""Turns a point of a path, with all that the rest of the path depends on, into tensors and plain values, and back.

θ and the controls determine ∇J and A, so these are evaluated again; a preconditioner is rebuilt where it was built (P
products for a factor). What is kept thus stays small. On one machine with the same number of threads, the result is the
same to the last bit. To check that, a point's echo is kept: J, ∇J, and what its preconditioners make of ∇J.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import (
    Approach,
    CurvePoint,
    Estimate,
    GeodesicTransfer,
    Memory,
    NoResponse,
    Response,
    Stability,
    StepSize,
)
from rdc_dyn.linalg import Learned, Preconditioner, materialise
from rdc_dyn.simulate.aim_geodesic import aimed
from rdc_dyn.simulate.follow import curve_of
from rdc_dyn.simulate.problem import Point, Problem, Walk
from rdc_dyn.status import DataError, Status

_Part = TypeVar("_Part", Estimate, Memory)
#: Fields of a response that are numbers, and those that are tensors.
_NUMBERS = ("data_curvature", "iterations", "residual")
_TENSORS = ("directions", "matrix", "forces", "functionals")
#: Shapes of the tensors, by the last part of their names.
_SHAPES: dict[str, tuple[int | str, ...]] = {
    **dict.fromkeys(("theta", "gradient", "vector", "preconditioner"), ("P",)),
    **dict.fromkeys(("controls", "forces", "functionals", "travel"), (3,)),
    **dict.fromkeys(("directions", "before"), (3, "P")),
    **dict.fromkeys(("s", "y", "kernel"), ("any", "P")),
    **dict.fromkeys(("held_values", "frame"), ("any",)),
    **dict.fromkeys(("matrix", "implicit", "explicit", "error"), (3, 3)),
    "covariance": (6, 6),
    "sizes": (6,),
    **dict.fromkeys(("errors", "bias"), (3,)),
    "losses": ("any", 3),
    "squares": ("P",),
    "gain": ("any", "any"),
    "tangent": ("P+3",),
    "value": (1,),
}
#: Relative difference in J beyond which a point is taken for another one.
_OTHER = 1e-3


@dataclass(frozen=True)
class Frozen:
    """A point of a path in a form that can be stored.

    Attributes:
        tensors: By name; references to tensors that no later step changes.
        values: Numbers, strings, lists and mappings of them, by name.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def freeze(problem: Problem, point: Point) -> Frozen:
    """Freeze a point that a simulation has just yielded, without any evaluation.

    For a path that aims, `problem` is the one whose slope is known.
    """
    response, process = point.response, problem.process
    tensors = {"theta": point.at.theta, "controls": point.at.controls, "held_values": point.held_values}
    tensors |= {f"response.{name}": getattr(response, name) for name in _TENSORS}
    optional = {"response.before": response.before, "response.error": response.error}
    tensors |= _given(optional | {"stability.vector": point.stability.vector})
    tensors |= _tensors("estimate", response.estimate) | _tensors("memory", point.memory)
    values: dict[str, Any] = {
        "time": point.time,
        "index": point.index,
        "step_size": point.step_size,
        "first_step": point.first_step,
        "jump": dict(point.jump),
        "morse_index": point.morse_index,
        "trace": list(point.trace),
        "size": None if point.size is None else asdict(point.size),
        "response": {name: getattr(response, name) for name in _NUMBERS},
        "stability": _approach(point.stability.approach),
        "singularities": [_approach(each) for each in point.singularities],
        # Evaluated on demand and counted then, so a point that had it must have it again.
        "mixed": "_mixed" in vars(point.at),
        "notes": dict(point.notes),
        "growth": point.growth,
        "dissipation": [point.dissipation, point.dissipation_error],
        "memory": _plain(point.memory),
        "estimate": _plain(response.estimate),
        "work": asdict(problem.free_energy.work),
        "elapsed": clock.perf_counter() - problem.began,
        "start": problem.start.controls.tolist(),
        "slope": process.slope if isinstance(process, GeodesicTransfer) else None,
    }
    if point.walk is not None:
        tensors |= {"walk.tangent": point.walk.here.tangent, "walk.travel": point.walk.travel}
        tensors["walk.frame"] = point.walk.curve.frame
        values["walk"] = {"index": point.walk.index, "length": point.walk.length}
    for number, preconditioner in enumerate(problem.preconditioners):
        learned, name = preconditioner.learned(point.at), f"preconditioner{number}"
        tensors |= _given({f"{name}.{key}": getattr(learned, key) for key in ("kernel", "s", "y")})
        if learned.place is not None:
            tensors |= {f"{name}.theta": learned.place[0], f"{name}.controls": learned.place[1]}
        numbers = ("here", "scale", "price", "first", "rent", "builds", "products")
        values[name] = {key: getattr(learned, key) for key in numbers}
    tensors |= {f"echo.{name}": tensor for name, tensor in _echo(problem, point.at).items()}
    return Frozen(tensors, values)


def thaw(problem: Problem, frozen: Frozen) -> tuple[Problem, Point, float]:
    """Give a freshly built problem and its parts the knowledge that they had at a frozen point.

    Returns the problem, the point for `simulate` to go on from, and the relative difference between the point's echoes
    now and then, zero where they agree to the last bit. Raises DataError if the point does not belong to this problem,
    and NumericalFailure if a preconditioner cannot be built.
    """
    values, like = frozen.values, problem.start.theta
    _require_shapes(problem, frozen.tensors)
    # Copied into memory from torch: the address of a tensor decides the order in which a vectorised sum is taken.
    tensors = {name: tensor.to(like).clone() for name, tensor in frozen.tensors.items()}
    _require_same(problem, values)
    if problem.aims:
        problem = aimed(problem, values["slope"])
    at = problem.free_energy.linearise(tensors["theta"], tensors["controls"])
    if values["mixed"]:
        _ = at.mixed
    for number, preconditioner in enumerate(problem.preconditioners):
        _restore(problem, preconditioner, f"preconditioner{number}", tensors, values, at)
    parts: dict[str, Any] = {**values["response"], **{name: tensors[f"response.{name}"] for name in _TENSORS}}
    point = Point(
        time=values["time"],
        at=at,
        response=Response(
            **parts,
            before=tensors.get("response.before"),
            error=tensors.get("response.error"),
            estimate=_found("estimate", Estimate, tensors, values),
        ),
        step_size=values["step_size"],
        first_step=values["first_step"],
        held_values=tensors["held_values"],
        index=values["index"],
        stability=Stability(_approached(values["stability"]), tensors.get("stability.vector")),
        singularities=tuple(_approached(each) for each in values["singularities"]),
        jump=values["jump"],
        morse_index=values["morse_index"],
        trace=tuple(values["trace"]),
        size=None if values["size"] is None else StepSize(**values["size"]),
        memory=_found("memory", Memory, tensors, values),
        notes=values["notes"],
        growth=values["growth"],
        dissipation=values["dissipation"][0],
        dissipation_error=values["dissipation"][1],
    )
    if "walk" in values:
        here = CurvePoint(at, materialise(at), tensors["walk.tangent"], 0)
        curve = replace(curve_of(problem, point), frame=tensors["walk.frame"])
        point = replace(point, walk=Walk(curve, here, tensors["walk.travel"], **values["walk"]))
    difference = _difference(_echo(problem, at), tensors)
    for field in fields(problem.free_energy.work):
        setattr(problem.free_energy.work, field.name, values["work"][field.name])
    return replace(problem, began=clock.perf_counter() - values["elapsed"]), point, difference


def _given(tensors: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _tensors(name: str, part: Estimate | Memory | None) -> dict[str, Tensor]:
    """The tensors of a part that is kept field by field."""
    if part is None:
        return {}
    found = {f"{name}.{f.name}": getattr(part, f.name) for f in fields(part)}
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _plain(part: Estimate | Memory | None) -> dict[str, float] | None:
    """The numbers of such a part, by field."""
    if part is None:
        return None
    return {f.name: getattr(part, f.name) for f in fields(part) if not isinstance(getattr(part, f.name), Tensor)}


def _found(name: str, kind: type[_Part], tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> _Part | None:
    """The part, put together again."""
    if values[name] is None:
        return None
    mine: dict[str, Any] = {k.partition(".")[2]: t for k, t in tensors.items() if k.startswith(f"{name}.")}
    return kind(**mine, **values[name])


def _approach(approach: Approach) -> dict[str, Any]:
    return asdict(approach) | {"status": None if approach.status is None else approach.status.name}


def _approached(values: Mapping[str, Any]) -> Approach:
    return Approach(**{**values, "status": None if values["status"] is None else Status[values["status"]]})


def _require_shapes(problem: Problem, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a tensor that is not finite or lacks the shape its name implies: a file may hold anything."""
    size = problem.start.theta.numel()
    if (theta := tensors.get("theta")) is not None and theta.shape != (size,):
        raise DataError(f"the checkpoint has {theta.numel()} parameters, this objective has {size}")
    for name, tensor in tensors.items():
        expected = _SHAPES.get(name.rpartition(".")[2].rstrip("0123456789"))
        lengths: dict[int | str, int] = {"P": size, "P+3": size + 3}
        fits = expected is not None and len(expected) == tensor.ndim
        if not fits or any(w != "any" and lengths.get(w, w) != n for w, n in zip(expected or (), tensor.shape)):
            raise DataError(f"the checkpoint's {name} has the shape {tuple(tensor.shape)}")
        unknown = isinstance(problem.response, NoResponse) and name.rpartition(".")[2] == "matrix"
        if not unknown and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"the checkpoint's {name} is not finite")


def _require_same(problem: Problem, values: Mapping[str, Any]) -> None:
    if values["start"] != problem.start.controls.tolist():
        raise DataError(f"start: the run began at (lam, gamma, t) = {values['start']}; now start.from gives others")
    if problem.aims and values["slope"] is None:
        raise DataError("process.toward: the checkpoint knows no slope of the geodesic")


def _restore(
    problem: Problem,
    preconditioner: Preconditioner,
    name: str,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any],
    at: Linearisation,
) -> None:
    theta, numbers = tensors.get(f"{name}.theta"), values[name]
    place = None if theta is None else (theta, tensors[f"{name}.controls"])
    operator = None
    if place is not None:
        operator = at if numbers["here"] else problem.free_energy.linearise(*place)
    parts: dict[str, Any] = {**numbers, **{key: tensors.get(f"{name}.{key}") for key in ("kernel", "s", "y")}}
    preconditioner.restore(Learned(place=place, **parts), operator)


def _echo(problem: Problem, at: Linearisation) -> dict[str, Tensor]:
    """What identifies a point: J, ∇J, and M ∇J of each preconditioner that has been used."""
    said = {"value": at.theta.new_tensor([at.value]), "gradient": at.gradient}
    for number, preconditioner in enumerate(problem.preconditioners):
        if preconditioner.ready:
            said[f"preconditioner{number}"] = preconditioner.apply(at.gradient)
    return said


def _difference(now: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> float:
    """Largest relative difference between two echoes; refused where J differs by more than rounding explains."""
    worst = 0.0
    for name, tensor in now.items():
        then = tensors.get(f"echo.{name}")
        if then is None or then.shape != tensor.shape:
            raise DataError("the checkpoint is of another problem")
        if not torch.equal(then, tensor):
            scale = max(float(then.norm()), torch.finfo(then.dtype).tiny)
            worst = max(worst, float((tensor - then).norm()) / scale)
    value = abs(float(now["value"]) - float(tensors["echo.value"]))
    if value > _OTHER * max(abs(float(tensors["echo.value"])), 1e-12):
        raise DataError(
            f"J at the checkpoint is now {float(now['value']):.8g}, it was {float(tensors['echo.value']):.8g}"
        )
    return worst
