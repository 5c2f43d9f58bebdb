"""Describe the machine and the libraries that runs use."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch
from rich.filesize import decimal

from rdc_dyn.running.allocator import keep_large_blocks
from rdc_dyn.running.build import choose_device
from rdc_dyn.store.provenance import commit, program_version

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
