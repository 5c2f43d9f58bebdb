"""Where a trajectory comes from: scenario, program, versions, machine, data."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("torch", "torchdiffeq", "torchvision", "POT", "numpy", "xarray", "netCDF4")

REFERENCE = "Y. Gao, P. Chaudhari, A Free-Energy Principle for Representation Learning, ICML 2020 (arXiv 2002.12406)"


def program_version() -> str:
    """Version of rdc_dyn, or `unknown` if it is not installed."""
    try:
        return version("rdc-dyn")
    except PackageNotFoundError:
        return "unknown"


def processor() -> str:
    """Model of the processor, whose instructions decide the last bits; `unknown` if the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    """Commit of the checkout that the program runs from, with -dirty if files differ; `unknown` outside a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def provenance(
    *,
    name: str,
    scenario: str,
    seed: int,
    device: str,
    dtype: str,
    threads: int,
    processes: int,
    backend: str | None,
    data_digest: str,
    coupling_digest: str | None,
    parameters: int,
    choices: Mapping[str, str | int | float],
) -> dict[str, str | int | float]:
    """Attributes that tell where a trajectory comes from and how to rerun it; netCDF takes strings and numbers only."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    versions = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    return {
        "title": name,
        "source": f"rdc_dyn {program_version()}",
        "references": REFERENCE,
        "history": f"{now} created by rdc_dyn {program_version()}",
        "scenario": scenario,
        "scenario_sha256": hashlib.sha256(scenario.encode()).hexdigest(),
        "versions": f"python {platform.python_version()}, {versions}",
        "commit": commit(),
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "threads": threads,
        "processes": processes,
        **({} if backend is None else {"backend": backend}),
        "platform": platform.platform(),
        "processor": processor(),
        "data_digest": data_digest,
        **({} if coupling_digest is None else {"coupling_digest": coupling_digest}),
        "parameters": parameters,
        **choices,
    }
