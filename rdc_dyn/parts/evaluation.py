"""Build the evaluation of J and its derivatives from the section `linearisation`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rdc_dyn.dynamics import State
from rdc_dyn.objective import FreeEnergy, Objective, Work
from rdc_dyn.objective.base import OverData
from rdc_dyn.objective.data import Block
from rdc_dyn.objective.distributed import Distributed
from rdc_dyn.objective.group import Group
from rdc_dyn.objective.memory import Evaluation, available_memory, evaluation
from rdc_dyn.objective.share import Share
from rdc_dyn.objective.team import Team
from rdc_dyn.objective.total import Total
from rdc_dyn.parts.response import multiplies
from rdc_dyn.scenario import Scenario
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
        team: The processes that share the data, or None for a single one.
    """

    free_energy: FreeEnergy
    choices: dict[str, str | int | float]
    team: Team | None = None


def build_free_energy(scenario: Scenario, objective: Objective, start: State, group: Group | None = None) -> Evaluated:
    """Set up the evaluation of J within the memory that the scenario allows each process.

    The memory that graphs take is measured at `start`. A UserError reports a J that is not a sum over data if A is to
    be taken from some of the data or the processes of `group` are to share them.
    """
    section = scenario.linearisation
    if not isinstance(objective, OverData):
        if section.curvature_data is not None:
            raise UserError("linearisation.curvature_data: this objective has no data to choose from; leave it out")
        if group is not None:
            kind = scenario.objective.kind
            raise UserError(f"objective: {kind} has no data that processes could share; start it without torchrun")
        return Evaluated(FreeEnergy(objective, Work(), _evaluate(scenario, objective, start, None, None).local), {})
    whole, count = objective.data.blocks(), sum(objective.data.parts.values())
    chosen = _evaluate(scenario, objective, start, whole, group)
    choices: dict[str, str | int | float] = {
        "linearisation_graph": chosen.mode,
        "linearisation_block": chosen.block_size,
        "graph_bytes_per_datum": chosen.bytes_per_datum,
        "linearisation_products": "batched" if chosen.local.batched else "one by one",
        "curvature_data": count,
    }
    if section.curvature_data is None:
        (total,), team = _totals(group, start, chosen)
        return Evaluated(FreeEnergy(objective, Work(), total), choices, team)
    generator = torch.Generator().manual_seed(scenario.seed)
    blocks = objective.data.minibatch(section.curvature_data, generator)
    part = _evaluate(scenario, objective, start, blocks, group)
    used = sum(block.count for block in blocks)
    (total, curvature), team = _totals(group, start, chosen, part)
    free_energy = FreeEnergy(objective, Work(), total, curvature, curvature_share=used / count)
    return Evaluated(free_energy, choices | {"curvature_graph": part.mode, "curvature_data": used}, team)


def _evaluate(
    scenario: Scenario, objective: Objective, start: State, blocks: tuple[Block, ...] | None, group: Group | None
) -> Evaluation:
    """Set up the evaluation of this process's share of J over some blocks; a UserError reports a share without data."""
    section, device = scenario.linearisation, start.theta.device
    if section.memory is not None:
        memory = 1e9 * section.memory
    else:
        memory = available_memory(device) / (1 if group is None else group.sharers(device))
    if group is not None and blocks is not None:
        blocks = tuple(piece for block in blocks if (piece := block.piece(group.rank, group.world)).count)
        if not blocks:
            raise UserError(f"fewer data than processes: nothing is left for process {group.rank} of {group.world}")
    graph = section.graph
    if graph == "auto" and not multiplies(scenario):
        graph, memory = "recomputed", min(memory, _WITHOUT_PRODUCTS)
    return evaluation(objective, start.theta, start.controls, graph, memory, blocks)


def _totals(group: Group | None, start: State, *chosen: Evaluation) -> tuple[tuple[Total, ...], Team | None]:
    """Each J, summed over the processes where there are several, and the team of these."""
    locals_ = tuple(each.local for each in chosen)
    if group is None:
        return locals_, None
    team = Team(group, Share(locals_), start.theta)
    return tuple(Distributed(team, number) for number in range(len(locals_))), team
