"""Where a trajectory comes from: scenario, program, versions, machine, data."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
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
    if not (_PACKAGE.parent / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(_PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.check_output(
            command, env=environment, text=True, timeout=10, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@cache
def source_digest() -> str:
    """SHA-256 of the sources of this program, as they were when it was first asked for."""
    digest = hashlib.sha256()
    for file in sorted(file for file in _PACKAGE.rglob("*") if file.suffix in (".py", ".yaml", ".html")):
        digest.update(f"{file.relative_to(_PACKAGE)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def program() -> str:
    """Version, commit and digest of the sources of this program, in one line."""
    return f"rdc_dyn {program_version()} {commit()} {source_digest()[:12]}"


def made_by() -> dict[str, str]:
    """Attributes that tell which program made a trajectory, when and on what machine."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    versions = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    return {
        "source": f"rdc_dyn {program_version()}",
        "references": REFERENCE,
        "history": f"{now} created by rdc_dyn {program_version()}",
        "versions": f"python {platform.python_version()}, {versions}",
        "commit": commit(),
        "source_digest": source_digest(),
        "platform": platform.platform(),
        "processor": processor(),
    }
