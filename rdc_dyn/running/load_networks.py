"""Load θ of a checkpoint as encoder, decoder and classifier that anyone can call."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from rdc_dyn import scenario as scenarios
from rdc_dyn.objective.networks import Layout, Networks
from rdc_dyn.objective.own_modules import PARTS, Ends, Own, check_own, connected
from rdc_dyn.running.own_files import made
from rdc_dyn.scenario.sections.objectives.variational import VariationalSection
from rdc_dyn.scenario.sources import modules_of_files
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.checkpoint import load_point
from rdc_dyn.store.run_directory import checkpoints, last_checkpoint, open_run


def load_networks(
    run: str | os.PathLike[str], networks: Own | None = None, *, point: int | None = None, trust: bool = False
) -> dict[str, nn.Module]:
    """Load the networks of a run as they were at a checkpoint.

    Args:
        run: The run directory of a run, finished or not.
        networks: The modules that the run was given, for the parts whose kind is module; they are not modified.
            One that is given takes the place of a file that the scenario names.
        point: Index of a point that has a checkpoint, 0 for the start; None takes the last checkpoint.
        trust: Whether the code of files that the scenario names may run; files that have changed are refused.

    Returns:
        `encoder`, which maps rows (N, n) to mean and log-variance (N, 2 d), and `decoder` and `classifier`, which take
        codes (M, d). All are on the CPU, in the dtype of the run.

    Raises:
        UserError: If the run has no networks, the modules are not those of the run, the code of their files is not
            trusted, or the point has no checkpoint.
        DataError: If there is no such run, or it has no checkpoint.
    """
    path, own = Path(run), networks or {}
    attributes = open_run(path).attrs
    scenario = scenarios.loads(attributes["scenario"])
    section = scenario.objective
    if not isinstance(section, VariationalSection):
        raise UserError(f"{path}: is a run of {section.kind}, which has no networks")
    if "x_shape" not in attributes:
        raise DataError(f"{path}: does not say what its networks connect; run its scenario again")
    files = {name: part for name, part in modules_of_files(scenario).items() if name not in own}
    own = {**own, **made(files, scenario.seed, scenarios.read(scenario), trust=trust)} if files else own
    check_own(section.kind, section.networks, own)
    theta = load_point(_checkpoint(path, point)).theta
    ends = Ends.recorded(attributes)
    return filled(connected(section.networks, section.encoder.latent_dim, ends, own, theta), theta)


def _checkpoint(path: Path, point: int | None) -> Path:
    if point is None:
        return last_checkpoint(path)
    found = {int(file.stem): file for file in checkpoints(path)}
    if point not in found:
        listed = ", ".join(str(number) for number in sorted(found)) or "none"
        raise UserError(f"point: {point} has no checkpoint in {path}; expected one of: {listed}")
    return found[point]


def filled(networks: Networks, theta: Tensor) -> dict[str, nn.Module]:
    """Networks with θ (on the CPU) as their parameters; those on the meta device get memory."""
    layout = Layout.of(networks)
    if layout.size != len(theta):
        raise UserError(
            f"networks: have {layout.size} parameters, the run has {len(theta)}; expected the modules that it was given"
        )
    for module in networks.children():
        if any(parameter.is_meta for parameter in module.parameters()):
            module.to_empty(device=theta.device).to(theta.dtype)
    parameters = dict(networks.named_parameters())
    with torch.no_grad():
        for name, values in layout.unflatten(theta).items():
            parameters[name].copy_(values)
    return {part: getattr(networks, part) for part in PARTS}
