"""J as it is evaluated: on this process or as a sum over several, with its choices for the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.graph import First, Product
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import Evaluation, available_memory, evaluation
from rdc_dyn.curvature.sum_over_data import Second, Total
from rdc_dyn.data.samples import Block
from rdc_dyn.distributed.group import Group
from rdc_dyn.linalg.base import Controls, Rows, Vector
from rdc_dyn.objective.base import Objective, OverData
from rdc_dyn.status import UserError


@dataclass(frozen=True)
class Distributed:
    """J over all processes of a group; satisfies `Total`.

    Attributes:
        share: J over this process's share of the data.
    """

    group: Group
    share: Total

    def value(self, theta: Vector, controls: Controls) -> Float[Tensor, ""]:
        """J."""
        return self.group.sum(lambda: [self.share.value(theta, controls)], theta, controls)[0]

    def gradient(self, theta: Vector, controls: Controls) -> First:
        """J and its first derivatives."""
        return First(*self.group.sum(lambda: _parts(self.share.gradient(theta, controls)), theta, controls))

    def linearise(self, theta: Vector, controls: Controls) -> DistributedSecond:
        """Second derivatives at one state."""
        return DistributedSecond(self, theta, controls)


class DistributedSecond:
    """Second derivatives of a `Distributed` J at one state; satisfies `Second`."""

    def __init__(self, total: Distributed, theta: Vector, controls: Controls) -> None:
        self._group = total.group
        self._make: Callable[[], Second] = lambda: total.share.linearise(theta, controls)
        self.first = First(*total.group.sum(lambda: _parts(self._share.first), theta, controls))

    @cached_property
    def _share(self) -> Second:
        """The share of this process, made when it is first needed."""
        return self._make()

    def mm(self, rows: Rows) -> Rows:
        """∂²J/∂θ² v for each row v."""
        return self._group.sum(lambda: [self._share.mm(rows)], rows)[0]

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J and ∂²J/∂c∂c'."""
        rows, second = self._group.sum(self._share.mixed)
        return rows, second

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """∂²J/∂θ² where it has a closed form, else None."""

        def share() -> list[Tensor]:
            matrix = self._share.dense(dtype)
            return [self.first.gradient.new_zeros(0) if matrix is None else matrix]

        (matrix,) = self._group.sum(share)
        return matrix if matrix.numel() else None

    def drift(self, velocity: Vector, rates: Controls) -> Product:
        """Products with d/ds ∂²J/∂θ²; each process makes its share when it is first needed."""

        @cache
        def share() -> Product:
            return self._share.drift(velocity, rates)

        return lambda rows: self._group.sum(lambda: [share()(rows)], rows)[0]


def _parts(first: First) -> tuple[Tensor, Tensor, Tensor]:
    return first.value, first.gradient, first.forces


#: Bytes that graphs may take where nothing needs products with A: no graph of ∇J is kept then, and large blocks would
#: only take memory.
_WITHOUT_PRODUCTS = 5e8


@dataclass(frozen=True)
class Evaluated:
    """J set up for evaluation, with the choices made for it.

    Attributes:
        free_energy: J + ½ρ|θ|².
        choices: What was chosen, by name, for the record.
    """

    free_energy: FreeEnergy
    choices: dict[str, str | int | float]


@dataclass(frozen=True)
class Evaluator:
    """How J and its derivatives are evaluated.

    Attributes:
        graph: Whether the graph of ∇J is kept, recomputed, or what the memory allows.
        memory: Bytes for graphs; None takes what is available.
        curvature_data: Data (of each part) that A is taken from; None takes all.
        seed: Of their draw.
        multiplies: Whether the run takes products with A.
        group: The processes of the run, or None for a single one.
        kind: What a scenario calls the objective.
    """

    graph: Literal["auto", "kept", "recomputed"]
    memory: float | None
    curvature_data: int | None
    seed: int
    multiplies: bool
    group: Group | None
    kind: str

    def evaluated(self, objective: Objective, theta: Vector, controls: Float[Tensor, "3"]) -> Evaluated:
        """J; the memory that graphs take is measured at (θ, λ, γ, t).

        A UserError reports a J that is not a sum over data if A is to be taken from some of the data, or if the
        processes of the group are to share them.
        """
        if not isinstance(objective, OverData):
            return self._whole(objective, theta, controls)
        blocks, count = objective.data.blocks(), sum(objective.data.parts.values())
        chosen = self._share(objective, theta, controls, blocks)
        choices: dict[str, str | int | float] = {
            "linearisation_graph": chosen.mode,
            "linearisation_block": chosen.block_size,
            "graph_bytes_per_datum": chosen.bytes_per_datum,
            "linearisation_products": "batched" if chosen.local.batched else "one by one",
            "curvature_data": count,
        }
        if self.curvature_data is None:
            return Evaluated(FreeEnergy(objective, Work(), self._total(chosen)), choices)
        drawn = objective.data.minibatch(self.curvature_data, torch.Generator().manual_seed(self.seed))
        part, used = self._share(objective, theta, controls, drawn), sum(block.count for block in drawn)
        free_energy = FreeEnergy(
            objective, Work(), self._total(chosen), self._total(part), curvature_share=used / count
        )
        return Evaluated(free_energy, choices | {"curvature_graph": part.mode, "curvature_data": used})

    def _whole(self, objective: Objective, theta: Vector, controls: Float[Tensor, "3"]) -> Evaluated:
        """J that is no sum over data."""
        if self.curvature_data is not None:
            raise UserError("linearisation.curvature_data: this objective has no data to choose from; leave it out")
        if self.group is not None:
            raise UserError(f"objective: {self.kind} has no data that processes could share; start it without torchrun")
        return Evaluated(FreeEnergy(objective, Work(), self._share(objective, theta, controls, None).local), {})

    def _share(
        self, objective: Objective, theta: Vector, controls: Float[Tensor, "3"], blocks: tuple[Block, ...] | None
    ) -> Evaluation:
        """This process's share of J over some blocks; a UserError reports a share without data."""
        device, group = theta.device, self.group
        memory = self.memory or available_memory(device) / (1 if group is None else group.sharers(device))
        if group is not None and blocks is not None:
            blocks = tuple(piece for block in blocks if (piece := block.piece(group.rank, group.world)).count)
            if not blocks:
                raise UserError(f"fewer data than processes: nothing is left for process {group.rank} of {group.world}")
        graph = self.graph
        if graph == "auto" and not self.multiplies:
            graph, memory = "recomputed", min(memory, _WITHOUT_PRODUCTS)
        return evaluation(objective, theta, controls, graph, memory, blocks)

    def _total(self, chosen: Evaluation) -> Total:
        """J, summed over the processes where there are several."""
        return chosen.local if self.group is None else Distributed(self.group, chosen.local)
