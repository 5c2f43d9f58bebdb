"""Checkpoints, from which runs resume: safetensors files with a digest of all their bytes, never pickle."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from rdc_dyn.output.commit import commit
from rdc_dyn.output.log import read_record, record_line
from rdc_dyn.output.record import Record
from rdc_dyn.output.segments import Segment
from rdc_dyn.status import DataError

_FORMAT = "rdc_dyn checkpoint 2"
#: The file's header holds its digest, which is computed with zeros in the digest's own place.
_ZEROS = "0" * 64
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
#: Limits on what is read from a file: size of the header in bytes, and number of vectors of the length of θ.
_HEADER, _ROWS = 32 << 20, 4096


@dataclass(frozen=True)
class Checkpoint:
    """State from which a run can resume, or another run can start.

    Attributes:
        tensors: By name, on the CPU; among them `theta`, shape (P,), and `controls`, (λ, γ, t).
        values: JSON values by name; among them the process clock, `time`.
        objective: Kind of the objective and digest of its data; θ means nothing to another objective.
        attributes: Attributes of the trajectory: scenario, versions, digests.
        segments: Segments committed before this checkpoint.
        records: Points since the last segment.
        events: Events since the last segment, as logged.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    objective: str
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    segments: Sequence[Segment] = ()
    records: Sequence[Record] = ()
    events: Sequence[Mapping[str, Any]] = ()

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


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> str:
    """Commit a checkpoint to a file in an existing folder and return the SHA-256 of the file."""
    header = {
        "format": _FORMAT,
        "objective": checkpoint.objective,
        "values": checkpoint.values,
        "attributes": checkpoint.attributes,
        "segments": [segment.plain() for segment in checkpoint.segments],
        "records": [record_line(record) for record in checkpoint.records],
        "events": list(checkpoint.events),
    }
    # Cloned, since two names may share memory, which safetensors rejects.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    content = to_bytes(tensors, {"rdc_dyn": json.dumps(header), "sha256": _ZEROS})
    whole = content.replace(_field(_ZEROS), _field(hashlib.sha256(content).hexdigest()), 1)
    return commit(path, lambda file: file.write_bytes(whole), lambda file: _require(file, whole))


def _field(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _require(file: Path, content: bytes) -> None:
    if file.read_bytes() != content:
        raise OSError("what was written does not read back")


def load_checkpoint(path: Path, parameters: int | None = None) -> Checkpoint:
    """Read a checkpoint onto the CPU once its digest is verified; DataError if it is missing, foreign or damaged.

    If P is given as `parameters`, a file larger than such a state can be is refused unread.
    """
    content = _read(path, parameters)
    try:
        header = json.loads(_metadata(content)["rdc_dyn"])
        if header["format"] != _FORMAT:
            raise DataError(f"{path}: not a checkpoint of this program, its format is {str(header['format'])[:60]!r}")
        tensors = from_bytes(content)
        checkpoint = Checkpoint(
            tensors=tensors,
            values=dict(header["values"]),
            objective=str(header["objective"]),
            attributes=dict(header["attributes"]),
            segments=tuple(Segment.of(each) for each in header["segments"]),
            records=tuple(read_record(each) for each in header["records"]),
            events=tuple(dict(each) for each in header["events"]),
        )
        theta, controls, _ = checkpoint.theta, checkpoint.controls, checkpoint.time
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}: not a readable checkpoint ({_short(error)})") from None
    shapes_fit = theta.ndim == 1 and controls.shape == (3,) and theta.dtype == controls.dtype
    if not shapes_fit or not theta.dtype.is_floating_point:
        raise DataError(f"{path}: not a checkpoint of this program")
    if not bool(torch.isfinite(theta).all() and torch.isfinite(controls).all()):
        raise DataError(f"{path}: theta is not finite")
    return checkpoint


def _read(path: Path, parameters: int | None) -> bytes:
    """The bytes of a file whose digest is verified."""
    if path.exists() and not path.is_file():  # reading a pipe might never end, or never begin
        raise DataError(f"{path}: not a readable checkpoint (no regular file)")
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if parameters is not None and size > 2 * _HEADER + 8 * _ROWS * (parameters + 8):
                raise DataError(f"{path}: {size / 1e6:.0f} MB are too large for {parameters} parameters")
            file.seek(0)
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _HEADER + 1
            if length > min(_HEADER, size):
                raise DataError(f"{path}: not a readable checkpoint (no header of a sensible length)")
            header = file.read(length)
            found = _DIGEST.findall(header)
            if len(found) != 1:
                raise DataError(f"{path}: not a readable checkpoint (it carries no digest)")
            digest = hashlib.sha256(start + header.replace(_field(found[0].decode()), _field(_ZEROS), 1))
            rest = bytearray()
            while block := file.read(1 << 20):
                digest.update(block)
                rest += block
    except OSError as error:
        raise DataError(f"{path}: not a readable checkpoint ({error.strerror or error})") from None
    if digest.hexdigest().encode() != found[0]:
        raise DataError(f"{path}: the content does not match its digest, the file is damaged")
    return start + header + bytes(rest)


def _metadata(content: bytes) -> Mapping[str, Any]:
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    if not isinstance(metadata, dict):
        raise TypeError("no metadata")
    return metadata


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."
