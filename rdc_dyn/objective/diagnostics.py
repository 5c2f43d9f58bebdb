"""E f over the data at t for quantities recorded besides J, a block at a time so that memory stays bounded."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.linalg.base import Scalar

#: Averages over a sample, by name; the block says what the sample holds.
Measure = Callable[[Block, Sample], Mapping[str, Tensor]]

#: Averages recorded over held-out data, and over those of the target alone.
HELD_OUT = ("rate", "distortion", "classification_loss", "accuracy", "code_accuracy")
HELD_OUT_TARGET = ("accuracy", "code_accuracy", "classification_loss")
#: Bytes for the intermediate values of a block; a GPU wants larger blocks and has the memory for them.
_BYTES = {"cpu": 2**27, "cuda": 2**30}


def block_size(numbers: int, like: Tensor) -> int:
    """Number of data in a block, at least one, if a datum has `numbers` intermediate values of the dtype of `like`."""
    return max(_BYTES.get(like.device.type, _BYTES["cpu"]) // (numbers * like.element_size()), 1)


def training_numbers(
    data: Data, measure: Measure, names: Sequence[str], data_position: Scalar, size: int
) -> dict[str, float]:
    """The named averages over the training data at t, from blocks of at most `size` data."""
    found = data.averages(_stacked(measure, names), data_position, size)
    return dict(zip(names, data.expectation(found, data_position).tolist()))


def held_out_numbers(data: Data, measure: Measure, data_position: Scalar, size: int) -> dict[str, float]:
    """(1 − t) E f(source) + t E f(target) over held-out data, and some averages over their target alone.

    Held-out data have no coupling, so the same is recorded for mixtures and for transports. The names begin with
    `validation_`; there are none without held-out data.
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
