"""θ and controls in safetensors files with a digest: no pickle, no silent bit flips."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rdc_dyn.status import DataError

_FORMAT = "rdc_dyn checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """A state that a run can start from.

    Attributes:
        theta: θ, shape (P,), on the CPU.
        controls: (λ, γ, t).
        time: Process clock.
        objective: Digest of the data and the objective section; θ means nothing to another objective.
    """

    theta: Float[Tensor, "P"]
    controls: Float[Tensor, "3"]
    time: float
    objective: str


def _digest(theta: Tensor, controls: Tensor, time: float, objective: str) -> str:
    content = hashlib.sha256(f"{time!r} {objective} {theta.dtype}".encode())
    for tensor in (theta, controls):
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under a temporary name and rename it when it is whole.

    Args:
        path: File to write; its folder must exist.
        checkpoint: What to write.

    Raises:
        DataError: If it cannot be written.
    """
    theta, controls = checkpoint.theta.detach().cpu().contiguous(), checkpoint.controls.detach().cpu().contiguous()
    header = {
        "format": _FORMAT,
        "time": repr(checkpoint.time),
        "objective": checkpoint.objective,
        "sha256": _digest(theta, controls, checkpoint.time, checkpoint.objective),
    }
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file({"theta": theta, "controls": controls}, temporary, metadata={"rdc_dyn": json.dumps(header)})
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot write the checkpoint ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and compare its digest.

    Args:
        path: File that `save_checkpoint` wrote.

    Returns:
        The checkpoint, on the CPU.

    Raises:
        DataError: If the file is missing, not a checkpoint, or damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {})["rdc_dyn"])
            theta, controls = file.get_tensor("theta"), file.get_tensor("controls")
        time, objective, digest = float(header["time"]), str(header["objective"]), header["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a readable checkpoint ({error})") from None
    shapes_fit = theta.ndim == 1 and controls.shape == (3,) and theta.dtype == controls.dtype
    if header.get("format") != _FORMAT or not shapes_fit or not theta.dtype.is_floating_point:
        raise DataError(f"{path}: not a checkpoint of this program")
    if digest != _digest(theta, controls, time, objective):
        raise DataError(f"{path}: the content does not match its digest, the file is damaged")
    if not bool(torch.isfinite(theta).all() and torch.isfinite(controls).all()):
        raise DataError(f"{path}: theta is not finite")
    return Checkpoint(theta, controls, time, objective)
