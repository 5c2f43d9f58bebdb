"""Measure what derivatives cost, in gradients, and describe the machine at hand."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch
from rich.filesize import decimal

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import GaussNewton
from rdc_dyn.curvature.hessian import price
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import available_memory, evaluation
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.samples import Block
from rdc_dyn.dynamics import State
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.objective import Amortised, Objective
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.running.allocator import keep_large_blocks
from rdc_dyn.running.build import choose_device
from rdc_dyn.scenario import Scenario
from rdc_dyn.store.provenance import commit, program_version

#: Rounds of which the median is taken, and the seconds after which no further one begins.
_REPETITIONS, _SECONDS = 9, 10.0
#: Vectors in a batched product.
_WIDTH = 8


def measure(scenario: Scenario, free_energy: FreeEnergy, start: State) -> dict[str, str]:
    """Size, memory and times of J as a run evaluates it, as names and values in words."""
    objective, section = free_energy.objective, scenario.linearisation
    facts = {"parameters": f"{objective.size}", "device": f"{start.theta.device}, {scenario.dtype}"}
    if not isinstance(objective, OverData):
        return facts | {"graph": "kept: J is no sum over data"} | _times(objective, start, ())
    memory = available_memory(start.theta.device) if section.memory is None else 1e9 * section.memory
    chosen = evaluation(objective, start.theta, start.controls, section.graph, memory)
    each, parts, blocks = chosen.bytes_per_datum, objective.data.parts, objective.data.blocks()
    count = sum(parts.values())
    fit = "fit into" if 2 * each * count <= memory else "exceed"
    as_asked = "" if section.graph == "auto" else "as the scenario says; "
    reason = f"twice {decimal(int(each * count))} ({decimal(int(each))} for a datum) {fit} {decimal(int(memory))}"
    facts["data"] = ", ".join(f"{number} {part}" for part, number in parts.items())
    facts["graph"] = f"{chosen.mode}: {as_asked}{reason}"
    some = tuple(block.split(max(int(memory / (2 * each) / len(blocks)), 1))[0] for block in blocks)
    return facts | _times(objective, start, some, sum(block.count for block in some) / count)


def _times(objective: Objective, start: State, blocks: tuple[Block, ...], share: float = 1.0) -> dict[str, str]:
    """Times for the data whose graph can be kept, `share` of all data, which is 1 if they fit."""
    medians = _medians(_calls(objective, start, blocks), start.theta.device)
    each = {name: median / (_WIDTH if "at once" in name else 1) for name, median in medians.items()}
    gradient, worth = each.pop("gradient"), price(objective)
    forming = each[f"product, {_WIDTH} at once"] * objective.size if worth is None else each["product"] * worth
    how = f"{objective.size} products to form A" if worth is None else f"A in closed form, worth {worth} products"
    some = "" if share == 1 else f" for {100 * share:.2g} % of the data, whose graph can be kept"
    dense = f"{how}, {forming / gradient:.0f} gradients, {_seconds(forming)}"
    return {
        "gradient": f"{_seconds(gradient)}{some}",
        **{name: f"{one / gradient:.2f} gradients" + " each" * ("at once" in name) for name, one in each.items()},
        "dense factorisation": dense if objective.size <= MAX_SIZE else f"too large (limit {MAX_SIZE} parameters)",
    }


def _calls(objective: Objective, start: State, blocks: tuple[Block, ...]) -> dict[str, Callable[[], object]]:
    """The calls to time, by name."""
    theta, controls = start.theta, start.controls
    terms = terms_of(objective, blocks)
    kept = Local(terms)
    matrices = {"product": kept.linearise(theta, controls)}
    if blocks:
        matrices["product, graph recomputed"] = Local(terms, kept=False).linearise(theta, controls)
    v = torch.randn(_WIDTH, objective.size, generator=torch.Generator().manual_seed(0)).to(theta)
    calls: dict[str, Callable[[], object]] = {"gradient": partial(kept.gradient, theta, controls)}
    for name, matrix in matrices.items():
        calls |= {name: partial(matrix.mm, v[:1]), f"{name}, {_WIDTH} at once": partial(matrix.mm, v)}
    if isinstance(objective, Amortised) and objective.likelihood.convex:
        calls["Gauss-Newton product"] = partial(GaussNewton(objective, Work(), theta, controls, blocks).mm, v[:1])
    return calls


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


def _seconds(number: float) -> str:
    """Format seconds in a suitable unit."""
    return f"{number:.3g} s" if number >= 1 else f"{1e3 * number:.3g} ms"


_NUMERICAL = ("torch", "torchdiffeq", "torchvision", "POT", "numpy", "scipy", "scikit-learn")
_FILES = ("xarray", "netCDF4", "safetensors", "pydantic", "ruamel.yaml")
#: Variables by which libraries choose threads, GPUs and deterministic sums.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CUDA = ("CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES")


def machine(device: str | None = None) -> dict[str, str]:
    """Python, processor, memory, libraries, threads and GPUs by name; raises UserError if `device` does not exist."""
    chosen = choose_device(device or "auto")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    exact = torch.are_deterministic_algorithms_enabled()
    sums = "torch uses deterministic algorithms only" if exact else "no; sums of several threads or a GPU may vary"
    threads, between = torch.get_num_threads(), torch.get_num_interop_threads()
    return {
        "rdc_dyn": f"{program_version()}, commit {commit()}",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": f"{os.cpu_count()}, of which {usable} can be used",
        "memory": _memory(),
        "allocator": keep_large_blocks(),
        **{name: _version(name) for name in (*_NUMERICAL, *_FILES)},
        "threads": f"{threads} in an operation, {between} between operations",
        **{name: os.environ.get(name, "not set") for name in (*_THREADS, *_CUDA)},
        "deterministic": sums,
        "float32 products": torch.get_float32_matmul_precision(),
        **_gpus(),
        "device": f"{device or 'auto'} is {chosen}",
    }


def _memory() -> str:
    page = os.sysconf("SC_PAGE_SIZE")
    known = "SC_AVPHYS_PAGES" in os.sysconf_names
    free = f", {decimal(page * os.sysconf('SC_AVPHYS_PAGES'))} free" if known else ""
    return decimal(page * os.sysconf("SC_PHYS_PAGES")) + free


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _gpus() -> dict[str, str]:
    """Each GPU with its memory, or why there is none."""
    if not torch.cuda.is_available():
        built = torch.version.cuda
        return {"GPU": "none" if built is None else f"none that torch can use (built for CUDA {built})"}
    found = {}
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        found[f"GPU {number}"] = f"{torch.cuda.get_device_name(number)}, {decimal(total)}, {decimal(free)} free"
    return found
