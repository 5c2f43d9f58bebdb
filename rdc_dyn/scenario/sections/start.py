"""The sections `start`, `linearisation` and `output`, of which there is one kind each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.section import Count, Natural, NonNegative, PathStr, Positive, Section
from rdc_dyn.scenario.sections.processes import PROCESSES
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, dotted, section
from rdc_dyn.status import DataError

if TYPE_CHECKING:
    from rdc_dyn.distributed.evaluated import Evaluated
    from rdc_dyn.dynamics import State
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario
    from rdc_dyn.store.checkpoint import Checkpoint


class Equilibrate(Section):
    """How the first equilibrium is found: Adam, then L-BFGS where A has a factor, then trust-region Newton-Krylov."""

    adam_steps: Natural = Field(default=1000, description="Adam steps before Newton")
    batch: Count | None = Field(
        default=None, description="data (of each part) in a minibatch of Adam's, seeded by seed; null: all data"
    )
    learning_rate: Positive = Field(default=1e-2, description="Adam's largest learning rate, annealed to zero")
    drop_every: Count | None = Field(
        default=None, description="divide the learning rate by ten every so many steps, instead of annealing it"
    )
    newton_steps: Natural = Field(
        default=500,
        description="most steps by L-BFGS, and then by the trust region; 0: Adam alone must reach the tolerance, and "
        "nothing tells a saddle",
    )
    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")

    def resolve(self, scenario: Scenario) -> Self:
        """The tolerance that the type of numbers allows."""
        return self.default(tolerance=scenario.precision)


class StartSection(Section):
    """Where the run begins."""

    lam: NonNegative | None = Field(default=None, description="multiplier of the distortion")
    gamma: NonNegative | None = Field(default=None, description="multiplier of the classification loss")
    equilibrate: Equilibrate = Field(default=Equilibrate(), description="how the first equilibrium is reached")
    from_: PathStr | None = Field(
        default=None, alias="from", description="run directory whose last checkpoint gives theta"
    )

    @property
    def adam_steps(self) -> int:
        """Those of the first equilibration; an equilibrium of an earlier run would only be spoilt by Adam."""
        return self.equilibrate.adam_steps if self.from_ is None else 0

    def build(self, context: Context) -> State:
        """Where the first equilibrium is sought; a `DataError` where an earlier run does not fit."""
        import torch

        from rdc_dyn.dynamics import State

        like, process, objective = context.like, context.scenario.process, context.objective
        lam, gamma = self.lam, self.gamma
        if self.from_ is None:
            theta = objective.initial(torch.Generator().manual_seed(context.scenario.seed)).to(like)
        else:
            checkpoint = self._checkpoint(context)
            theta = checkpoint.theta.to(like)
            lam = float(checkpoint.controls[0]) if lam is None else lam
            gamma = float(checkpoint.controls[1]) if gamma is None else gamma
        lam, gamma = process.begins(lam, gamma)
        assert lam is not None and gamma is not None  # `check` asks for them
        return State(theta, torch.tensor([lam, gamma, process.data_position], dtype=torch.float64).to(like))

    def _checkpoint(self, context: Context) -> Checkpoint:
        from rdc_dyn.store.checkpoint import load_point
        from rdc_dyn.store.run_directory import last_checkpoint

        assert self.from_ is not None
        run, kind, size = context.folder / self.from_, context.scenario.objective.kind, context.objective.size
        checkpoint = load_point(last_checkpoint(run))
        if (other := checkpoint.objective.split(" ")[0]) != kind:
            raise DataError(f"start.from: {run} is a run of the objective {other}, this one is {kind}")
        if (count := checkpoint.theta.shape[0]) != size:
            raise DataError(f"start.from: {run} has {count} parameters, this objective has {size}")
        return checkpoint

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The multipliers are given somewhere."""
        start, process = tree.get("start"), PROCESSES.of(tree.get("process"))
        if not isinstance(start, dict) or start.get("from") is not None:
            return
        ends = () if process is None else process.ends
        for key in ("lam", "gamma"):
            if start.get(key) is None and not (ends and isinstance(section(tree, *ends).get(key), list)):
                pair = f", or a pair in {dotted((*ends, key))}" if ends else ""
                yield Finding((*path, key), f"missing; give a number >= 0, or start.from{pair}")


class LinearisationSection(Section):
    """How products with the Hessian A are computed; the run records the choice."""

    graph: Literal["auto", "kept", "recomputed"] = Field(
        default="auto",
        description=(
            "kept: the graph of grad J stays in memory, a product is one backward pass; recomputed: the graph is built "
            "for a block of data at a time; auto: kept where it fits into the memory"
        ),
    )
    memory: Positive | None = Field(
        default=None, description="GB for graphs; null: a quarter of the machine's memory, half of a GPU's free memory"
    )
    curvature_data: Count | None = Field(
        default=None,
        description="take A from so many data, drawn once (of each part); J, its gradient and b use all; null: all",
    )

    def build(self, context: Context) -> Evaluated:
        """J and its derivatives at the start."""
        from rdc_dyn.distributed.evaluated import Evaluator

        memory = None if self.memory is None else 1e9 * self.memory
        scenario = context.scenario
        evaluator = Evaluator(
            self.graph,
            memory,
            self.curvature_data,
            scenario.seed,
            scenario.multiplies,
            context.group,
            scenario.objective.kind,
        )
        return evaluator.evaluated(context.objective, context.start.theta, context.start.controls)


class OutputSection(Section):
    """What is kept."""

    every: Count = Field(default=1, description="record every so many accepted steps; the last is always recorded")
    theta: Literal["checkpoints", "none"] = Field(
        default="checkpoints", description="whether the last two checkpoints stay when the run is complete"
    )
    checkpoint_every: Count = Field(
        default=10, description="end a segment and write a checkpoint every so many records; the last is always written"
    )
