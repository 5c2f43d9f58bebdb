"""Bytes that the graph of ∇J keeps for a datum, measured; and how J is evaluated within a given memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.base import Objective, OverData, Term, terms_of
from rdc_dyn.objective.data import Block
from rdc_dyn.objective.graph import Controls, GradientGraph
from rdc_dyn.objective.total import Local

#: Data of the two graphs that are measured; the difference is free of what does not grow with the data.
_PROBES = (8, 24)
#: Vectors in a batched product where graphs are built anew: building them then costs each vector little.
_RECOMPUTED_WIDTH = 8
#: Most vectors in a batched product: on a CPU more of them leave the cache (2,110-parameter digits VAE: 1.4 gradients
#: for each vector at width 8, 2.1 to 2.6 at 32 and 64), a GPU wants many.
_WIDTH = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True)
class Evaluation:
    """How J is evaluated, and why.

    Attributes:
        local: J on this process.
        mode: kept or recomputed.
        block_size: Data in a block; 0 where J is no sum over data.
        bytes_per_datum: What the graph keeps for a datum; 0 where J is no sum over data.
    """

    local: Local
    mode: Literal["kept", "recomputed"]
    block_size: int
    bytes_per_datum: float


def available_memory(device: torch.device) -> float:
    """Half of the free memory of a GPU, or a quarter of the machine's, in bytes.

    Args:
        device: Where J is evaluated.

    Returns:
        What graphs may take if nothing else is said.
    """
    if device.type == "cuda":
        return 0.5 * torch.cuda.mem_get_info(device)[0]
    import os

    return 0.25 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def graph_bytes(terms: tuple[Term, ...], theta: Vector, controls: Controls) -> int:
    """Bytes of the tensors that the graph of ∇J saves for products, each counted once.

    Args:
        terms: Summands of J.
        theta: θ.
        controls: (λ, γ, t).

    Returns:
        The number of bytes.
    """
    saved: dict[tuple[int, int], int] = {}

    def pack(tensor: Tensor) -> Tensor:
        size = tensor.numel() * tensor.element_size()
        saved[(tensor.data_ptr(), size)] = size
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        GradientGraph(terms, theta, controls)
    return sum(saved.values())


def bytes_per_datum(objective: OverData, theta: Vector, controls: Controls) -> float:
    """How the graph of ∇J grows with a datum of its largest part.

    Args:
        objective: J.
        theta: θ.
        controls: (λ, γ, t).

    Returns:
        The number of bytes.
    """
    part, count = max(objective.data.parts.items(), key=lambda item: item[1])
    few, many = (min(probe, count) for probe in _PROBES)

    def size(rows: int) -> int:
        return graph_bytes(terms_of(objective, (Block(part, slice(0, rows), rows, 1.0),)), theta, controls)

    return size(few) / few if few == many else max((size(many) - size(few)) / (many - few), 1.0)


def evaluation(
    objective: Objective,
    theta: Vector,
    controls: Controls,
    mode: Literal["auto", "kept", "recomputed"],
    memory: float,
    blocks: tuple[Block, ...] | None = None,
) -> Evaluation:
    """Keep the graph where it fits into the memory, else build it anew for blocks that fit.

    A product through a kept graph costs a backward pass; one that builds the graph costs about twice that for a single
    vector, and little more than a backward pass for each of several vectors at once.

    Args:
        objective: J.
        theta: θ at which the graph is measured.
        controls: (λ, γ, t) there.
        mode: auto decides by memory.
        memory: What graphs may take, in bytes.
        blocks: One block of each part of the data that J is to be taken over; None takes all data.

    Returns:
        How J is evaluated.
    """
    if not isinstance(objective, OverData):
        return Evaluation(Local(terms_of(objective, ())), "kept", 0, 0.0)
    whole = objective.data.blocks() if blocks is None else blocks
    each = bytes_per_datum(objective, theta, controls)
    total = each * sum(block.count for block in whole)
    if mode == "kept" or (mode == "auto" and 2 * total <= memory):
        width = int(min(max(memory / total - 1, 1), _WIDTH[theta.device.type]))
        return Evaluation(
            Local(terms_of(objective, whole), True, width), "kept", max(block.count for block in whole), each
        )
    size = max(int(memory / (each * (1 + _RECOMPUTED_WIDTH))), 1)
    split = tuple(piece for block in whole for piece in block.split(size))
    return Evaluation(Local(terms_of(objective, split), False, _RECOMPUTED_WIDTH), "recomputed", size, each)
