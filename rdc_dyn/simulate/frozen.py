"""Turns a point of a path, with all that the rest of the path depends on, into tensors and plain values, and back.

θ and the controls determine ∇J and A, so these are evaluated again; a preconditioner is rebuilt where it was built, at
the price of a build. What is kept thus stays small. On one machine with the same number of threads, the result is the
same to the last bit. To check that, a point's echo is kept: J, ∇J, and what its preconditioners make of ∇J.
"""

import time as clock
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import CurvePoint
from rdc_dyn.linalg import Learned, materialise
from rdc_dyn.linalg.base import Vector
from rdc_dyn.simulate.follow import curve_of
from rdc_dyn.simulate.problem import Point, Problem, Training, Walk
from rdc_dyn.simulate.start import aimed
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
    tensors: dict[str, Tensor] = {"theta": point.at.theta, "controls": point.at.controls}
    values: dict[str, Any] = {
        "time": point.time,
        "point": take_apart(replace(point, at=None, walk=None), "point", tensors),  # type: ignore[arg-type]
        # Evaluated on demand and counted then, so a point that had it must have it again.
        "mixed": "_mixed" in vars(point.at),
        "walk": None,
        **_of_problem(problem),
    }
    if point.walk is not None:
        tensors |= {"walk.tangent": point.walk.here.tangent, "walk.travel": point.walk.travel}
        tensors["walk.frame"] = point.walk.curve.frame
        values["walk"] = {"index": point.walk.index, "length": point.walk.length}
    for number, preconditioner in enumerate(problem.preconditioners):
        name = f"preconditioner{number}"
        values[name] = take_apart(preconditioner.learned(point.at), name, tensors)
    return Frozen(tensors | _echo(problem, point.at), values)


def freeze_training(problem: Problem, training: Training) -> Frozen:
    """Freeze the start while it is trained."""
    tensors = {f"training.{name}": getattr(training, name) for name in ("mean", "square", "draws")}
    return Frozen(
        {"theta": training.theta, "controls": problem.start.controls, **tensors},
        {
            "time": problem.process.span[0],
            "training": training.step,
            **_of_problem(problem),
        },
    )


def _of_problem(problem: Problem) -> dict[str, Any]:
    """Where the run began, its slope, its counters and the time that it took."""
    return {
        "work": asdict(problem.free_energy.work),
        "elapsed": clock.perf_counter() - problem.began,
        "start": problem.start.controls.tolist(),
        "slope": problem.slope,
    }


def thaw_training(problem: Problem, frozen: Frozen) -> tuple[Problem, Training]:
    """Give a freshly built problem the counters that it had then, and return what its start had come to.

    Raises DataError if it does not belong to this problem.
    """
    values, like, draws = frozen.values, problem.start.theta, frozen.tensors["training.draws"]
    others = {name: tensor.to(like).clone() for name, tensor in frozen.tensors.items() if tensor is not draws}
    parts = Parts(others, like.numel())
    parts.require_finite(())
    _require_same(problem, values)
    _ = parts.tensor(Float[Tensor, "3"], "controls")  # every checkpoint has them; these are those of the start
    theta, mean, square = (parts.tensor(Vector, name) for name in ("theta", "training.mean", "training.square"))
    parts.require_used()
    training = Training(int(values["training"]), theta, mean, square, draws)
    try:
        torch.Generator().set_state(draws)
    except (RuntimeError, TypeError):
        raise DataError("the checkpoint's generator of minibatches is not one of this version of torch") from None
    return _counted(problem, values), training


def thaw(problem: Problem, frozen: Frozen) -> tuple[Problem, Point, float]:
    """Give a freshly built problem and its parts the knowledge that they had at a frozen point.

    Returns the problem, the point for `simulate` to go on from, and the relative difference between the point's echoes
    now and then, zero where they agree to the last bit. Raises DataError if the point does not belong to this problem,
    and NumericalFailure if a preconditioner cannot be built.
    """
    values, like = frozen.values, problem.start.theta
    # Copied into memory from torch: the address of a tensor decides the order in which a vectorised sum is taken.
    parts = Parts({name: tensor.to(like).clone() for name, tensor in frozen.tensors.items()}, like.numel())
    parts.require_finite({"point.response.matrix"} if getattr(problem.response, "blind", False) else ())
    _require_same(problem, values)
    if problem.aims:
        problem = aimed(problem, values["slope"])
    at = problem.free_energy.linearise(parts.tensor(Vector, "theta"), parts.tensor(Float[Tensor, "3"], "controls"))
    if values["mixed"]:
        _ = at.mixed
    for number, preconditioner in enumerate(problem.preconditioners):
        name = f"preconditioner{number}"
        learned = parts.put_together(Learned, values[name], name)
        place, operator = learned.place, None
        if place is not None:
            operator = at if learned.here else problem.free_energy.linearise(*place)
        preconditioner.restore(learned, operator)
    point = replace(parts.put_together(Point, values["point"], "point"), at=at)
    if values["walk"] is not None:
        tangent, frame = (parts.tensor(Tensor, f"walk.{name}") for name in ("tangent", "frame"))
        curve = replace(curve_of(problem, point), frame=frame)
        here = CurvePoint(at, materialise(at), tangent, 0)
        point = replace(
            point, walk=Walk(curve, here, parts.tensor(Float[Tensor, "3"], "walk.travel"), **values["walk"])
        )
    difference = _difference(_echo(problem, at), parts)
    parts.require_used()
    return _counted(problem, values), point, difference


def _counted(problem: Problem, values: Mapping[str, Any]) -> Problem:
    """The problem with the counters and the time that it had."""
    for counter in fields(problem.free_energy.work):
        setattr(problem.free_energy.work, counter.name, values["work"][counter.name])
    return replace(problem, began=clock.perf_counter() - values["elapsed"])


def _require_same(problem: Problem, values: Mapping[str, Any]) -> None:
    if values["start"] != problem.start.controls.tolist():
        raise DataError(f"start: the run began at (lam, gamma, t) = {values['start']}; now start.from gives others")
    if problem.aims and values["slope"] is None:
        raise DataError("process.toward: the checkpoint knows no slope of the geodesic")


def _echo(problem: Problem, at: Linearisation) -> dict[str, Tensor]:
    """What identifies a point: J, ∇J, and M ∇J of each preconditioner that has been used."""
    said = {"echo.value": at.theta.new_tensor([at.value]), "echo.gradient": at.gradient}
    for number, preconditioner in enumerate(problem.preconditioners):
        if preconditioner.ready:
            said[f"echo.preconditioner{number}"] = preconditioner.apply(at.gradient)
    return said


def _difference(now: Mapping[str, Tensor], parts: Parts) -> float:
    """Largest relative difference between two echoes; refused where J differs by more than rounding explains."""
    worst = 0.0
    for name, tensor in now.items():
        then = parts.tensor(Tensor, name)
        if then.shape != tensor.shape:
            raise DataError("the checkpoint is of another problem")
        if not torch.equal(then, tensor):
            scale = max(float(then.norm()), torch.finfo(then.dtype).tiny)
            worst = max(worst, float((tensor - then).norm()) / scale)
    before, after = (float(each["echo.value"]) for each in (parts.tensors, now))
    if abs(after - before) > _OTHER * max(abs(before), 1e-12):
        raise DataError(f"J at the checkpoint is now {after:.8g}, it was {before:.8g}")
    return worst
