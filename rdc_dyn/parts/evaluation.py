"""The section `linearisation` becomes the way in which J and its derivatives are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rdc_dyn.dynamics import State
from rdc_dyn.objective import FreeEnergy, Objective, Work
from rdc_dyn.objective.base import OverData
from rdc_dyn.objective.memory import available_memory, evaluation
from rdc_dyn.scenario import Scenario
from rdc_dyn.status import UserError


@dataclass(frozen=True)
class Evaluated:
    """J with how it is evaluated.

    Attributes:
        free_energy: J + ½ρ|θ|².
        choices: What was chosen, by name, for the record.
    """

    free_energy: FreeEnergy
    choices: dict[str, str | int | float]


def build_free_energy(scenario: Scenario, objective: Objective, start: State) -> Evaluated:
    """J, evaluated within the memory that the scenario allows.

    Args:
        scenario: Any.
        objective: J as a function.
        start: Where the memory of its graph is measured.

    Returns:
        The free energy, and what was chosen.

    Raises:
        UserError: If A is to be taken from some of the data, and J is no sum over data.
    """
    section = scenario.linearisation
    available = available_memory(start.theta.device)
    memory = available if section.memory is None else 1e9 * section.memory
    chosen = evaluation(objective, start.theta, start.controls, section.graph, memory)
    if not isinstance(objective, OverData):
        if section.curvature_data is not None:
            raise UserError("linearisation.curvature_data: this objective has no data to choose from; leave it out")
        return Evaluated(FreeEnergy(objective, Work(), chosen.local), {})
    count = sum(objective.data.parts.values())
    choices: dict[str, str | int | float] = {
        "linearisation_graph": chosen.mode,
        "linearisation_block": chosen.block_size,
        "graph_bytes_per_datum": chosen.bytes_per_datum,
        "curvature_data": count,
    }
    if section.curvature_data is None:
        return Evaluated(FreeEnergy(objective, Work(), chosen.local), choices)
    generator = torch.Generator().manual_seed(scenario.seed)
    blocks = objective.data.minibatch(section.curvature_data, generator)
    part = evaluation(objective, start.theta, start.controls, section.graph, memory, blocks)
    used = sum(block.count for block in blocks)
    free_energy = FreeEnergy(objective, Work(), chosen.local, part.local, curvature_share=used / count)
    return Evaluated(free_energy, choices | {"curvature_graph": part.mode, "curvature_data": used})
