"""J + ½ρ|θ|², evaluated within the memory there is, by all processes that share the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import Evaluation, available_memory, evaluation
from rdc_dyn.curvature.sum_over_data import Total
from rdc_dyn.data.samples import Block
from rdc_dyn.distributed.group import Group
from rdc_dyn.distributed.sum_over_processes import Distributed
from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.base import Objective, OverData
from rdc_dyn.status import UserError

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
