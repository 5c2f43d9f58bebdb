"""Everything a section may use when it builds itself; each part is built once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.sections.solvers import FACTOR
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rdc_dyn.data.samples import Data
    from rdc_dyn.distributed.evaluated import Evaluated
    from rdc_dyn.distributed.group import Group
    from rdc_dyn.dynamics import Corrector, Integrator, Process, ResponseModel, State, StepSize
    from rdc_dyn.linalg import LinearSolver, Preconditioner
    from rdc_dyn.objective import Objective
    from rdc_dyn.objective.likelihood import Likelihood

#: The first step of a path whose M is guessed, as a share of the nominal one.
_EXPLORING = 1 / 8
#: The first step in t of a transfer by minibatches: the new data are foreign, and C of the target is several nat.
_BOUNDARY_LAYER = 1e-3


@dataclass(frozen=True)
class Context:
    """A scenario on its way to a problem.

    Attributes:
        scenario: What is asked for, its defaults resolved.
        folder: Folder that relative paths of the scenario start from.
        like: A tensor whose dtype and device everything gets.
        networks: Modules that were passed for parts of the objective whose kind is module.
        given: Objects that were passed in place of sections, by the section's name.
        group: The processes that share the run, or None for a single one.
    """

    scenario: Scenario
    folder: Path
    like: Tensor
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    group: Group | None = None

    def _part(self, name: str, *needed: Any) -> Any:
        """What a section builds, or the object that was passed in its place."""
        section = getattr(self.scenario, name)
        if isinstance(section, Given):
            return section.taken(name, self.given.get(name))
        if name in self.given:
            raise UserError(
                f"{name}: an object was passed, but the run began with the scenario's section; leave it out"
            )
        return section.build(*needed)

    @cached_property
    def objective(self) -> Objective:
        """J; a `UserError` where modules that were passed do not fit its parts, before any data are read."""
        from rdc_dyn.objective.own_modules import check_own

        section = self.scenario.objective
        check_own(section.kind, section.networks, self.networks)
        return self._part("objective", self)

    def data(self, likelihood: Likelihood) -> Data:
        """The data of the scenario, fit for a likelihood."""
        assert self.scenario.data is not None  # its check asks for it
        return self.scenario.data.build(self, likelihood)

    @cached_property
    def solver(self) -> LinearSolver | None:
        """What applies A⁻¹; None where nothing solves."""
        return self.scenario.response.solver.build(self) if self.scenario.solves else None

    @cached_property
    def preconditioner(self) -> Preconditioner:
        """The solver's own, so that it is built once, or a factor of A where that has none."""
        return getattr(self.solver, "preconditioner", None) or FACTOR.preconditioned(self)

    @property
    def largest(self) -> int:
        """Most parameters with which A is formed."""
        from rdc_dyn.linalg import factorisation

        return factorisation.MAX_SIZE

    @property
    def factorisable(self) -> bool:
        """Whether A can be formed."""
        return self.objective.size <= self.largest

    def require_factorisable(self) -> None:
        """A `UserError` where A is too large to be formed."""
        if not self.factorisable:
            raise UserError(
                f"response.solver: a factor of {self.objective.size} parameters is too large (limit {self.largest}); "
                "use method cg with preconditioner nystrom or kfac"
            )

    @cached_property
    def start(self) -> State:
        """Where the first equilibrium is sought."""
        return self.scenario.start.build(self)

    @cached_property
    def evaluated(self) -> Evaluated:
        """J as it is evaluated."""
        return self.scenario.linearisation.build(self)

    @cached_property
    def process(self) -> Process:
        """What moves the controls."""
        return self._part("process", self.start)

    @cached_property
    def corrector(self) -> Corrector:
        """What brings θ back to the surface."""
        return self._part("corrector", self)

    @cached_property
    def response(self) -> ResponseModel:
        """What gives M."""
        return self._part("response", self)

    @cached_property
    def integrator(self) -> Integrator:
        """The predictor."""
        return self._part("integrator", self)

    @cached_property
    def step_size(self) -> StepSize:
        """Length of the segments, with the first step: short where M is guessed, or where foreign data come in."""
        from rdc_dyn.dynamics import StepSize

        scenario, (start, end) = self.scenario, self.process.span
        assert scenario.integrator.step_size is not None and scenario.integrator.smallest_step is not None
        nominal, smallest = min(scenario.integrator.step_size, abs(end - start)), scenario.integrator.smallest_step
        if scenario.corrector.boundary_layer and scenario.process.transfer:
            return StepSize(nominal, smallest, current=min(_BOUNDARY_LAYER, nominal))
        if scenario.response.explores(scenario):
            return StepSize(nominal, smallest, current=max(_EXPLORING * nominal, smallest))
        return StepSize(nominal, smallest)
