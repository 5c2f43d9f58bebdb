"""Measure what derivatives cost, in gradients: medians of a few timings on the machine at hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from rdc_dyn.dynamics import State
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.objective import Amortised, FreeEnergy, GaussNewton, Objective, Work
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.objective.data import Block
from rdc_dyn.objective.memory import available_memory, evaluation
from rdc_dyn.objective.total import Local
from rdc_dyn.scenario import Scenario

#: Rounds of which the median is taken, and the seconds after which no further one begins.
_REPETITIONS, _SECONDS = 9, 10.0
#: Vectors in a batched product.
_WIDTH = 8

Measures = tuple[tuple[str, str], ...]


def measure(scenario: Scenario, free_energy: FreeEnergy, start: State) -> Measures:
    """Size, memory and times of J as a run evaluates it, as names and values in words."""
    objective, section = free_energy.objective, scenario.linearisation
    memory = available_memory(start.theta.device) if section.memory is None else 1e9 * section.memory
    size: Measures = (("parameters", f"{objective.size}"), ("device", f"{start.theta.device}, {scenario.dtype}"))
    if not isinstance(objective, OverData):
        return (*size, ("graph", "kept: J is no sum over data"), *_times(objective, start, ()))
    blocks = objective.data.blocks()
    chosen = evaluation(objective, start.theta, start.controls, section.graph, memory)
    count, each = sum(block.count for block in blocks), chosen.bytes_per_datum
    parts = ", ".join(f"{n} {part}" for part, n in objective.data.parts.items())
    fit = 2 * each * count <= memory
    reason = (
        f"twice {_bytes(each * count)} ({_bytes(each)} for a datum) {'fit into' if fit else 'exceed'} {_bytes(memory)}"
    )
    if section.graph != "auto":
        reason = f"as the scenario says; {reason}"
    fits = tuple(block.split(max(int(memory / (2 * each) / len(blocks)), 1))[0] for block in blocks)
    return (
        *size,
        ("data", parts),
        ("graph", f"{chosen.mode}: {reason}"),
        *_times(objective, start, fits),
    )


def _times(objective: Objective, start: State, blocks: tuple[Block, ...]) -> Measures:
    """Times for the data whose graph can be kept, which are all data if they fit."""
    seconds = _medians(_calls(objective, start, blocks), start.theta.device)
    gradient, forming = seconds.pop("gradient"), seconds[f"product, {_WIDTH} at once"] * objective.size / _WIDTH
    ratios = {name: value / gradient / (_WIDTH if "at once" in name else 1) for name, value in seconds.items()}
    dense = f"{objective.size} products to form A, {forming / gradient:.0f} gradients, {_seconds(forming)}"
    return (
        ("gradient", f"{_seconds(gradient)}{_over(objective, blocks)}"),
        *((name, f"{ratio:.2f} gradients" + " each" * ("at once" in name)) for name, ratio in ratios.items()),
        ("dense factorisation", dense if objective.size <= MAX_SIZE else f"too large (limit {MAX_SIZE} parameters)"),
    )


def _calls(objective: Objective, start: State, blocks: tuple[Block, ...]) -> dict[str, Callable[[], object]]:
    """The calls to time, by name."""
    theta, controls = start.theta, start.controls
    terms = terms_of(objective, blocks)
    kept = Local(terms)
    at = kept.linearise(theta, controls)
    v = torch.randn(_WIDTH, objective.size, generator=torch.Generator().manual_seed(0)).to(theta)
    calls: dict[str, Callable[[], object]] = {
        "gradient": lambda: kept.gradient(theta, controls),
        "product": lambda: at.mm(v[:1]),
        f"product, {_WIDTH} at once": lambda: at.mm(v),
    }
    if blocks:
        anew = Local(terms, kept=False).linearise(theta, controls)
        calls["product, graph recomputed"] = lambda: anew.mm(v[:1])
        calls[f"product, graph recomputed, {_WIDTH} at once"] = lambda: anew.mm(v)
    if isinstance(objective, Amortised) and objective.likelihood.convex:
        bent = GaussNewton(objective, Work(), theta, controls, blocks)
        calls["Gauss-Newton product"] = lambda: bent.mm(v[:1])
    return calls


def _over(objective: Objective, blocks: tuple[Block, ...]) -> str:
    """The share of the data that the times are for, empty if it is all of them."""
    if not isinstance(objective, OverData):
        return ""
    share = sum(block.count for block in blocks) / sum(objective.data.parts.values())
    return "" if share == 1 else f" for {100 * share:.2g} % of the data, whose graph can be kept"


def _medians(calls: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Median seconds of each call; the calls take turns, so that other load on the machine affects all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    for turn in range(1 + _REPETITIONS):  # the first is a warm-up
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times[name].append(time.perf_counter() - before)
        if turn and time.perf_counter() - began > _SECONDS:
            break
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def _bytes(number: float) -> str:
    """Format a number of bytes in a suitable unit."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def _seconds(number: float) -> str:
    """Format seconds in a suitable unit."""
    return f"{number:.3g} s" if number >= 1 else f"{1e3 * number:.3g} ms"
