"""Checks between sections, which no single section can make.

They read the raw tree, so that they also run on a scenario whose sections have errors of their own; each ignores
values that are missing or of the wrong type, which the schema reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rdc_dyn.scenario.data_checks import DATA_CHECKS
from rdc_dyn.scenario.network_checks import NETWORK_CHECKS
from rdc_dyn.scenario.numerical_checks import NUMERICAL_CHECKS
from rdc_dyn.scenario.problems import Finding, Path, show
from rdc_dyn.scenario.sweep_checks import sweep_form
from rdc_dyn.scenario.tree import Tree, number, section

_TRANSFERS = ("iso_classification_transfer", "geodesic_transfer")
_SYMMETRY = 1e-12  # relative: a product such as X'X / n is not symmetric to the last bit
_SEMIDEFINITE = 1e-10  # relative to the largest eigenvalue: rounding of a singular second moment


def cross_check(tree: Tree) -> list[Finding]:
    """Run all checks on a scenario as written."""
    return [finding for check in _CHECKS for finding in check(tree)]


def _alias_only(tree: Tree) -> Iterator[Finding]:
    if "from_" in section(tree, "start"):  # the Python name of the field, which pydantic would let pass
        yield Finding(("start", "from_"), "unknown key; did you mean 'from'?", at_key=True)


def _start_given(tree: Tree) -> Iterator[Finding]:
    start, process = tree.get("start"), section(tree, "process")
    if not isinstance(start, dict) or start.get("from") is not None:
        return
    for key in ("lam", "gamma"):
        prescribed = process.get("kind") == "prescribed"
        if start.get(key) is None and not (prescribed and isinstance(_path_end(tree, key), list)):
            pair = f", or a pair in process.path.{key}" if prescribed else ""
            yield Finding(("start", key), f"missing; give a number >= 0, or start.from{pair}")


def _path_begins_at_start(tree: Tree) -> Iterator[Finding]:
    for key in ("lam", "gamma"):
        given, pair = number(section(tree, "start").get(key)), _path_end(tree, key)
        first = number(pair[0]) if isinstance(pair, list) and len(pair) == 2 else None
        if given is not None and first is not None and first != given:
            message = f"the path must begin at start.{key}, which is {given!r}, got {show(pair[0])}"
            yield Finding(("process", "path", key, 0), message)


def _exponential_path_positive(tree: Tree) -> Iterator[Finding]:
    process = section(tree, "process")
    if process.get("kind") != "prescribed" or process.get("shape") != "exponential":
        return
    for key in ("lam", "gamma"):
        end: Any = _path_end(tree, key)
        places: list[tuple[Path, Any]] = [(("process", "path", key), end)]
        if isinstance(end, list):
            places = [((*places[0][0], index), item) for index, item in enumerate(end)]
        for path, value in [*places, (("start", key), section(tree, "start").get(key))]:
            if number(value) == 0:
                yield Finding(path, "must be > 0 for an exponential path, got 0")


def _span_has_length(tree: Tree) -> Iterator[Finding]:
    span = section(tree, "process").get("span")
    if isinstance(span, list) and len(span) == 2 and number(span[0]) is not None and span[0] == span[1]:
        yield Finding(("process", "span"), f"the ends must differ, got {show(span)}")


def _iso_needs_gamma(tree: Tree) -> Iterator[Finding]:
    kind = section(tree, "process").get("kind")
    if kind not in ("iso_classification", *_TRANSFERS):
        return
    if number(section(tree, "start").get("gamma")) == 0:
        message = f"must be > 0 for {kind}: at gamma = 0 nothing holds the classification loss"
        yield Finding(("start", "gamma"), message)


def _something_held(tree: Tree) -> Iterator[Finding]:
    hold = section(tree, "process", "hold")
    if section(tree, "process").get("kind") == "iso_functional" and hold and not any(map(number, hold.values())):
        yield Finding(("process", "hold"), "nothing is held; give rate, distortion or classification_loss a weight")


def _transfer(tree: Tree) -> Iterator[Finding]:
    """Check that a process that moves the data has a target, and that the clock of a transfer stays in [0, 1]."""
    process = section(tree, "process")
    kind, span = process.get("kind"), process.get("span", [0.0, 1.0])
    moves = _path_end(tree, "data_position") not in (None, [0, 0]) if kind == "prescribed" else kind in _TRANSFERS
    if not moves:
        return
    gaussian = section(tree, "objective").get("kind") == "linear_gaussian"
    target = ("objective", "target_second_moment") if gaussian else ("data", "target")
    if section(tree, target[0]).get(target[1]) is None:
        yield Finding(target, f"missing; the process '{kind}' moves the data from a source to a target")
    if kind in _TRANSFERS and isinstance(span, list) and any(not 0 <= (number(t) or 0.0) <= 1 for t in span):
        yield Finding(("process", "span"), f"the clock is the data position, from 0 to 1, got {show(span)}")


def _geodesic(tree: Tree) -> Iterator[Finding]:
    """Check that a geodesic has either a slope or a goal and does not run along the iso-classification curve."""
    process = section(tree, "process")
    if process.get("kind") != "geodesic_transfer":
        return
    slope, lam = number(process.get("slope")), number(section(tree, "start").get("lam"))
    if slope is not None and lam is not None and abs(1 + slope * lam) < 1e-9:
        message = "is -1/lam, the slope of the iso-classification curve itself, where no geodesic starts"
        yield Finding(("process", "slope"), message)
    if process.get("slope") is None and process.get("toward") is None:
        yield Finding(("process", "slope"), "missing; give dD/dR of the line, or process.toward, multipliers to aim at")
    if process.get("slope") is not None and process.get("toward") is not None:
        yield Finding(("process", "toward"), "the line has a slope already; give either slope or toward", at_key=True)


def _groups_of_samples(tree: Tree) -> Iterator[Finding]:
    objective = section(tree, "objective")
    samples, group = objective.get("samples", 8), objective.get("importance_samples")
    if objective.get("kind") != "importance_weighted" or type(samples) is not int or type(group) is not int:
        return
    if samples > 0 and group > 0 and samples % group:
        message = f"must divide objective.samples, which is {samples}, got {show(group)}"
        yield Finding(("objective", "importance_samples"), message)


def _second_moments(tree: Tree) -> Iterator[Finding]:
    objective = section(tree, "objective")
    dims = [dim for dim in (objective.get("x_dim"), objective.get("y_dim")) if type(dim) is int and dim > 0]
    if objective.get("kind") != "linear_gaussian" or len(dims) < 2:
        return
    for key in ("source_second_moment", "target_second_moment"):
        message = _moment_mistake(objective.get(key), sum(dims))
        if message:
            yield Finding(("objective", key), message)


def _moment_mistake(matrix: Any, size: int) -> str:
    """Describe what is wrong with a second moment; empty if nothing is."""
    if not isinstance(matrix, list) or not all(isinstance(row, list) for row in matrix):
        return ""
    lengths = {len(row) for row in matrix}
    if len(matrix) != size or lengths != {size}:
        got = f"{len(matrix)} rows of {' or '.join(map(str, sorted(lengths))) or 'no'} numbers"
        return f"must be {size} x {size}, x_dim + y_dim each way, got {got}"
    if any(number(item) is None for row in matrix for item in row):
        return ""
    largest = max(abs(item) for row in matrix for item in row)
    for i in range(size):
        for j in range(i):
            if abs(matrix[i][j] - matrix[j][i]) > _SYMMETRY * largest:
                return f"must be symmetric, but the numbers at ({i}, {j}) and ({j}, {i}) differ"
    import numpy as np  # imported here to keep the validation of other scenarios fast

    eigenvalues = np.linalg.eigvalsh(np.array(matrix, dtype=float) / (float(largest) or 1.0)) * float(largest)
    if eigenvalues[0] < -_SEMIDEFINITE * max(abs(eigenvalues[-1]), abs(eigenvalues[0])):
        return f"must be positive semidefinite, but has the eigenvalue {float(eigenvalues[0]):.3g}"
    return ""


def _path_end(tree: Tree, key: str) -> Any:
    return section(tree, "process", "path").get(key)


_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    *DATA_CHECKS,
    _alias_only,
    _start_given,
    _path_begins_at_start,
    _exponential_path_positive,
    _span_has_length,
    _iso_needs_gamma,
    _something_held,
    _transfer,
    _geodesic,
    _groups_of_samples,
    *NETWORK_CHECKS,
    *NUMERICAL_CHECKS,
    _second_moments,
    sweep_form,
)
