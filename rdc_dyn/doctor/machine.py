"""Describe the machine and the libraries that runs use."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from rdc_dyn.build import choose_device
from rdc_dyn.output.provenance import commit, program_version

_LIBRARIES = (
    "torch",
    "torchdiffeq",
    "torchvision",
    "POT",
    "numpy",
    "scipy",
    "xarray",
    "netCDF4",
    "scikit-learn",
    "safetensors",
    "pydantic",
    "ruamel.yaml",
)
#: Variables by which libraries choose threads, GPUs and deterministic sums.
_ENVIRONMENT = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
)


def machine(device: str | None = None) -> tuple[tuple[str, str], ...]:
    """Python, processor, memory, libraries, threads and GPUs by name; raises UserError if `device` does not exist."""
    chosen = choose_device(device or "auto")
    exact = torch.are_deterministic_algorithms_enabled()
    return (
        ("rdc_dyn", f"{program_version()}, commit {commit()}"),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("processors", _processors()),
        ("memory", _memory()),
        *((name, _version(name)) for name in _LIBRARIES),
        ("threads", f"{torch.get_num_threads()} in an operation, {torch.get_num_interop_threads()} between operations"),
        *((name, os.environ.get(name, "not set")) for name in _ENVIRONMENT),
        (
            "deterministic",
            "torch uses deterministic algorithms only" if exact else "no; sums of several threads or a GPU may vary",
        ),
        ("float32 products", torch.get_float32_matmul_precision()),
        *_gpus(),
        ("device", f"{device or 'auto'} is {chosen}"),
    )


def _processors() -> str:
    """Number of processors, and of those that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{os.cpu_count()}, of which {usable} can be used"


def _memory() -> str:
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    free = page * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else None
    return f"{total / 1e9:.3g} GB" + ("" if free is None else f", {free / 1e9:.3g} GB free")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _gpus() -> tuple[tuple[str, str], ...]:
    """Each GPU with its memory, or why there is none."""
    if not torch.cuda.is_available():
        built = torch.version.cuda
        return (("GPU", "none" if built is None else f"none that torch can use (built for CUDA {built})"),)
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append((f"GPU {number}", f"{name}, {total / 1e9:.3g} GB, {free / 1e9:.3g} GB free"))
    return tuple(found)
