"""E f over the data at t, for what is recorded beside J: a block at a time, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rdc_dyn.objective.base import Scalar
from rdc_dyn.objective.data import Block, Data, Sample

#: Averages over a sample by name; also told which one that is.
Measure = Callable[[Block, Sample], Mapping[str, Tensor]]

#: What is recorded of held-out data, and of those of the target by themselves.
HELD_OUT = ("rate", "distortion", "classification_loss", "accuracy", "code_accuracy")
HELD_OUT_TARGET = ("accuracy", "code_accuracy", "classification_loss")
#: Bytes that the intermediate numbers of a block may take; a GPU wants larger blocks and has the memory.
_BYTES = {"cpu": 2**27, "cuda": 2**30}


def block_size(numbers: int, like: Tensor) -> int:
    """Data in a block.

    Args:
        numbers: Intermediate numbers of one datum.
        like: Tensor whose dtype and device they have.

    Returns:
        At least one.
    """
    return max(_BYTES.get(like.device.type, _BYTES["cpu"]) // (numbers * like.element_size()), 1)


def training_numbers(
    data: Data, measure: Measure, names: Sequence[str], data_position: Scalar, size: int
) -> dict[str, float]:
    """Some of the averages over the training data at t.

    Args:
        data: The data.
        measure: Averages over a sample.
        names: Which of them.
        data_position: t.
        size: Data in a block.

    Returns:
        A number for each name.
    """
    found = data.averages(_stacked(measure, names), data_position, size)
    return dict(zip(names, data.expectation(found, data_position).tolist()))


def held_out_numbers(data: Data, measure: Measure, data_position: Scalar, size: int) -> dict[str, float]:
    """(1 − t) E f(source) + t E f(target) over held-out data, and what is recorded of their target by itself.

    Held-out data have no coupling, so this is what is recorded of them for mixtures and for transports alike.

    Args:
        data: The data, with held-out ones or without.
        measure: Averages over a sample of the held-out data.
        data_position: t.
        size: Data in a block.

    Returns:
        A number for each name, `validation_` before it.
    """
    held_out = data.held_out
    if held_out is None:
        return {}
    found = held_out.averages(_stacked(measure, HELD_OUT), data_position, size)
    at_t = held_out.expectation(found, data_position).tolist()
    numbers = {f"validation_{name}": value for name, value in zip(HELD_OUT, at_t)}
    if "target" in found:
        target = dict(zip(HELD_OUT, found["target"].tolist()))
        numbers |= {f"validation_target_{name}": target[name] for name in HELD_OUT_TARGET}
    return numbers


def _stacked(measure: Measure, names: Sequence[str]) -> Callable[[Block, Sample], Tensor]:
    def chosen(block: Block, sample: Sample) -> Tensor:
        numbers = measure(block, sample)
        return torch.stack([numbers[name] for name in names])

    return chosen
