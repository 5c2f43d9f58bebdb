"""Measures how many bytes the graph of ∇J keeps per datum, and decides how J is evaluated within a given memory."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rdc_dyn.curvature.graph import GradientGraph
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.samples import Block
from rdc_dyn.linalg.base import Controls, Vector, allocating
from rdc_dyn.objective.base import Objective, OverData, Term, terms_of
from rdc_dyn.objective.variational import Variational
from rdc_dyn.status import UserError

#: Data in the two graphs that are measured; their difference cancels what does not grow with the data.
_PROBES = (8, 24)
#: Vectors in a batched product where graphs are rebuilt: enough to spread the cost of rebuilding.
_RECOMPUTED_WIDTH = 8
#: Most vectors in a batched product: on a CPU more would overflow the cache, while a GPU wants many.
_WIDTH = {"cpu": 8, "cuda": 64}
#: Bytes of a graph, without and with convolutions, beyond which vectors go through it one by one on a CPU.
_TOGETHER = {False: 2**21, True: 2**27}
#: Most vectors that go through a graph one by one before the next graph is built.
_IN_TURN = 32


@dataclass(frozen=True)
class Evaluation:
    """How J is evaluated, and the measurement behind that choice.

    Attributes:
        local: J on this process.
        mode: Whether the graph of ∇J is kept, or recomputed for each product.
        block_size: Most data in a block; 0 if J is not a sum over data.
        bytes_per_datum: Bytes that the graph keeps per datum; 0 if J is not a sum over data.
    """

    local: Local
    mode: Literal["kept", "recomputed"]
    block_size: int
    bytes_per_datum: float


def available_memory(device: torch.device) -> float:
    """Default memory for graphs in bytes: half of a GPU's free memory, or a quarter of the machine's."""
    if device.type == "cuda":
        return 0.5 * torch.cuda.mem_get_info(device)[0]
    import os

    return 0.25 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def graph_bytes(terms: tuple[Term, ...], theta: Vector, controls: Controls) -> int:
    """Bytes of the tensors that the graph of ∇J saves for products, each counted once."""
    saved: dict[tuple[int, int], int] = {}

    def pack(tensor: Tensor) -> Tensor:
        size = tensor.numel() * tensor.element_size()
        saved[(tensor.data_ptr(), size)] = size
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        GradientGraph(terms, theta, controls)
    return sum(saved.values())


def bytes_per_datum(objective: OverData, theta: Vector, controls: Controls) -> float:
    """Bytes by which the graph of ∇J grows per datum of the largest part."""
    part, count = max(objective.data.parts.items(), key=lambda item: item[1])
    few, many = (min(probe, count) for probe in _PROBES)

    def size(rows: int) -> int:
        return graph_bytes(terms_of(objective, (Block(part, slice(0, rows), rows, 1.0),)), theta, controls)

    return size(few) / few if few == many else max((size(many) - size(few)) / (many - few), 1.0)


def batches(objective: Objective, theta: Vector, controls: Controls, size: float) -> bool:
    """Whether several vectors should go through the graph of ∇J, of `size` bytes, at once rather than one by one.

    A batch saves the overhead of calling many small operations, which matters only while they are small. On one core
    with dense layers, a batch of 8 takes 0.3 to 0.4 times as long as 8 single vectors for a graph of 0.3 MB, 1.0 times
    at 0.5 to 2 MB, 1.5 to 1.7 times at 4 to 11 MB (a digits VAE of 2,110 parameters), and 1.4 to 2.4 times beyond
    (MNIST VAEs). With convolutions the ratio is 0.4 to 1.0 up to 100 MB, 1.1 at 200 MB, and 2.0 at 780 MB (ResNet-18
    and deconvolution of width 8, 256 images of 32 x 32).

    Raises a UserError if the networks have no second derivatives; all built-in ones have them.
    """
    if not isinstance(objective, Variational):
        return True
    part, count = next(iter(objective.data.parts.items()))
    terms = terms_of(objective, (Block(part, slice(0, min(count, 2)), min(count, 2), 1.0),))
    graph = GradientGraph(terms, theta, controls)
    _require_second_derivatives(graph, theta)
    if theta.device.type == "cpu" and size > _TOGETHER[objective.networks.convolves]:
        return False
    try:
        with allocating():
            graph.mm(torch.stack([theta, theta]))
    except RuntimeError:  # a user-defined function without a batching rule
        return False
    return True


def _require_second_derivatives(graph: GradientGraph, theta: Vector) -> None:
    """Raise a UserError unless vᵀA(Av) = |Av|², which fails where a backward pass has no graph of its own."""
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(theta)
    try:
        with allocating():
            image = graph.mm(v[None])[0]
            again = graph.mm(image[None])[0]
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"objective: J cannot be differentiated twice, so there is no A ({reason})") from None
    square = image @ image
    if bool((v @ again - square).abs() > torch.finfo(theta.dtype).eps ** 0.5 * square):
        raise UserError(
            "objective: A is not symmetric, so a module has a backward pass that cannot be differentiated, such as a "
            "torch.autograd.Function with once_differentiable; write its backward pass in torch operations"
        )


def evaluation(
    objective: Objective,
    theta: Vector,
    controls: Controls,
    mode: Literal["auto", "kept", "recomputed"],
    memory: float,
    blocks: tuple[Block, ...] | None = None,
) -> Evaluation:
    """Keep the graph of ∇J if it fits into `memory` bytes, else rebuild it for blocks of data that fit.

    A product through a kept graph costs one backward pass. Rebuilding the graph costs about twice that for a single
    vector, but little more than a backward pass per vector for several at once. `blocks` holds one block for each part
    of the data; None takes all data.
    """
    if not isinstance(objective, OverData):
        return Evaluation(Local(terms_of(objective, ())), "kept", 0, 0.0)
    whole = objective.data.blocks() if blocks is None else blocks
    each = bytes_per_datum(objective, theta, controls)
    total = each * sum(block.count for block in whole)
    batched = batches(objective, theta, controls, min(total, memory))
    if mode == "kept" or (mode == "auto" and 2 * total <= memory):
        width = int(min(max(memory / total - 1, 1), _WIDTH[theta.device.type])) if batched else _IN_TURN
        local = Local(terms_of(objective, whole), True, width, batched)
        return Evaluation(local, "kept", max(block.count for block in whole), each)
    size = max(int(memory / (each * (1 + (_RECOMPUTED_WIDTH if batched else 1)))), 1)
    split = tuple(piece for block in whole for piece in block.split(size))
    local = Local(terms_of(objective, split), False, _RECOMPUTED_WIDTH if batched else _IN_TURN, batched)
    return Evaluation(local, "recomputed", size, each)
