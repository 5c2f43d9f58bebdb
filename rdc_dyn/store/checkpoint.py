"""Checkpoints, from which runs resume: safetensors files with a digest of all their bytes, never pickle."""

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from rdc_dyn.status import DataError
from rdc_dyn.store import disk
from rdc_dyn.store.commit import commit, one_line
from rdc_dyn.store.disk import reported
from rdc_dyn.store.log import Mark

_FORMAT = "rdc_dyn checkpoint 6"
#: The file's header holds its digest, which is computed with zeros in the digest's own place.
_ZEROS = "0" * 64
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
#: Limits on what is read from a file: size of the header in bytes, and number of vectors of the length of θ.
_HEADER, _ROWS = 32 << 20, 4096
#: Size in bytes of the largest file that is read where P is not known.
_LARGEST = 1 << 40


@dataclass(frozen=True)
class Checkpoint:
    """State from which a run can resume, or another run can start.

    Among its tensors, which are on the CPU, are `theta`, shape (P,), and `controls`, (λ, γ, t); among its values, which
    are JSON, the process clock `time`. The objective is named by its kind and the digest of its data, since θ means
    nothing to another one. `log` is the end of the log when the state was reached.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    objective: str
    log: Mark = field(default_factory=Mark)

    @property
    def theta(self) -> Tensor:
        """θ, shape (P,)."""
        return self.tensors["theta"]

    @property
    def controls(self) -> Tensor:
        """Controls (λ, γ, t)."""
        return self.tensors["controls"]

    @property
    def time(self) -> float:
        """Process clock."""
        return float(self.values["time"])

    @property
    def begun(self) -> bool:
        """Whether it is of a point; else the start was still being trained."""
        return "training" not in self.values


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> str:
    """Commit a checkpoint to a file in an existing folder and return the SHA-256 of the file."""
    header = {
        "format": _FORMAT,
        "objective": checkpoint.objective,
        "values": checkpoint.values,
        "log": asdict(checkpoint.log),
    }
    # Cloned, since two names may share memory, which safetensors rejects.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    content = to_bytes(tensors, {"rdc_dyn": json.dumps(header), "sha256": _ZEROS})
    return commit(path, content.replace(_field(_ZEROS), _field(hashlib.sha256(content).hexdigest()), 1))


def _field(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def load_checkpoint(path: Path, parameters: int | None = None) -> Checkpoint:
    """Read a checkpoint onto the CPU once its digest is verified; a file too large for P `parameters` is not read."""
    content, outer = _read(path, parameters)
    try:
        metadata = json.loads(outer)["__metadata__"]
        if not isinstance(metadata, dict):
            raise TypeError("no metadata")
        header = json.loads(metadata["rdc_dyn"])
        if header["format"] != _FORMAT:
            raise DataError(f"{path}: not a checkpoint of this program, its format is {str(header['format'])[:60]!r}")
        checkpoint = Checkpoint(
            tensors=from_bytes(content),
            values=dict(header["values"]),
            objective=str(header["objective"]),
            log=Mark(int(header["log"]["length"]), str(header["log"]["digest"])),
        )
        theta, controls, _ = checkpoint.theta, checkpoint.controls, checkpoint.time
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}: not a readable checkpoint ({one_line(error)})") from None
    shapes_fit = theta.ndim == 1 and controls.shape == (3,) and theta.dtype == controls.dtype
    if not shapes_fit or not theta.dtype.is_floating_point:
        raise DataError(f"{path}: not a checkpoint of this program")
    if not bool(torch.isfinite(theta).all() and torch.isfinite(controls).all()):
        raise DataError(f"{path}: theta is not finite")
    return checkpoint


def load_point(path: Path) -> Checkpoint:
    """Read a checkpoint whose θ is that of a point of a path."""
    checkpoint = load_checkpoint(path)
    if not checkpoint.begun:
        raise DataError(f"{path}: the run has no point yet, its start was being trained; go on with rdc-dyn resume")
    return checkpoint


def _read(path: Path, parameters: int | None) -> tuple[bytes, bytes]:
    """The bytes of a file whose digest is verified, and its header; nothing is read whose size makes no sense."""
    most = _LARGEST if parameters is None else 2 * _HEADER + 8 * _ROWS * (parameters + 8)
    with reported(path, "not a readable checkpoint"):
        content = disk.read(path, most)
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else _HEADER + 1
    if length > min(_HEADER, len(content)):
        raise DataError(f"{path}: not a readable checkpoint (no header of a sensible length)")
    header = content[8 : 8 + length]
    found = _DIGEST.findall(header)
    if len(found) != 1:
        raise DataError(f"{path}: not a readable checkpoint (it carries no digest)")
    digest = found[0].decode()
    if hashlib.sha256(content.replace(_field(digest), _field(_ZEROS), 1)).hexdigest() != digest:
        raise DataError(f"{path}: the content does not match its digest, the file is damaged")
    return content, header
