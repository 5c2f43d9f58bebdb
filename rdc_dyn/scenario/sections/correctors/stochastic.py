"""Correctors that record means over epochs of minibatches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Count, NonNegative, Positive, UnitInterval
from rdc_dyn.scenario.sections.correctors import CorrectorSection, too_large
from rdc_dyn.scenario.sections.processes import PROCESSES
from rdc_dyn.scenario.sections.responses import RESPONSES
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector, DualRule, PrimalDual
    from rdc_dyn.scenario.context import Context


class MeansSection(CorrectorSection):
    """Means over epochs of minibatches."""

    batch: Count = Field(default=250, description="data in a minibatch, of the largest part; epochs are reshuffled")
    learning_rate: Positive = Field(default=1.5e-3, description="Adam's")
    stochastic = True
    needs_data = True

    def require_minibatches(self, context: Context) -> None:
        """Raise `UserError` where J or the data do not allow its minibatches."""
        from rdc_dyn.objective.base import PerDatum

        objective = context.objective
        if not isinstance(objective, PerDatum):
            raise UserError(f"corrector.method: {self.method} needs the losses of each datum, and this J is no sum")
        if wrong := too_large(self.batch, max(objective.data.parts.values())):
            raise UserError(f"corrector.batch: {wrong}")

    @property
    def approximations(self) -> tuple[str, ...]:
        """Means stand for points."""
        return (f"means of epochs of minibatches of {self.batch}",)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """A response that its means allow, a path on which it may move multipliers, and a descent that is its own."""
        method, process = section(tree, *path).get("method"), section(tree, "process")
        response = section(tree, "response")
        if (member := RESPONSES.of(response)) is not None and not member.averages:
            message = f"{response['kind']} does not know the noise of means of epochs; with {method} use secant_filter"
            yield Finding(("response", "kind"), message)
        if process.get("on_fold") in ("relax", "follow"):
            wanted = process["on_fold"]
            message = f"{wanted} needs an equilibrium to rounding, and {method} has means of epochs; use stop"
            yield Finding(("process", "on_fold"), message)
        if process.get("toward") is not None:
            message = f"needs equilibria to rounding at both ends, and {method} has means of epochs; give process.slope"
            yield Finding(("process", "toward"), message, at_key=True)


class EpochMeanSection(MeansSection):
    """Adam on minibatches while the multipliers move, and the mean of whole epochs: a whole path as one training."""

    method: Literal["epoch_mean"]
    moving: Positive = Field(default=0.5, description="epochs in which the multipliers go to the step's end")
    averaged: Count = Field(default=1, description="epochs in the mean, at the step's end")

    def build(self, context: Context) -> Corrector:
        """Means of epochs that are put to no test."""
        from rdc_dyn.dynamics import EpochMean

        self.require_minibatches(context)
        return EpochMean(self.batch, self.learning_rate, self.moving, self.averaged, context.scenario.seed)


class StochasticSection(MeansSection):
    """A rule that moves the free multipliers while theta moves by minibatches."""

    learning_rate: Positive = Field(default=1.5e-3, description="Adam's; epochs that are averaged take a share of it")
    updates: Count = Field(
        default=480, description="least updates, in whole epochs, in which the multipliers go to the step's end"
    )
    epochs: Count = Field(default=8, description="most averages, each over whole epochs of half as many updates")

    def with_rule(
        self, rule: DualRule, context: Context, tolerance: float = math.inf, dissipation: float = math.inf
    ) -> PrimalDual:
        """The corrector with that rule, which is judged by no tolerance if it ends after its epochs, wherever it is."""
        from rdc_dyn.dynamics import PrimalDual

        self.require_minibatches(context)
        return PrimalDual(
            self.batch,
            self.learning_rate,
            self.updates,
            self.epochs,
            tolerance,
            dissipation,
            context.scenario.seed,
            rule,
        )


class SingleRuleSection(StochasticSection):
    """A rule that knows of one multiplier alone."""

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Gamma alone is free."""
        yield from super().check(tree, path)
        method, process = section(tree, *path).get("method"), section(tree, "process")
        member = PROCESSES.of(process)
        if member is not None and not member.frees_one(process):
            message = f"{method} moves one multiplier, so that gamma alone must be free: process.clock: lam"
            yield Finding((*path, "method"), message)


class PrimalDualSection(StochasticSection):
    """Minibatch updates while feedback on the free multipliers holds what the process holds; for large networks."""

    method: Literal["primal_dual"]
    tolerance: Positive = Field(default=5e-3, description="on what is held, relative")
    dissipation: Positive = Field(
        default=1e-2, description="share of a step's work that theta may still lose in the last epoch"
    )
    boundary_layer = True
    returns = True

    def build(self, context: Context) -> Corrector:
        """Feedback by the surface's own response."""
        from rdc_dyn.dynamics import Feedback

        return self.with_rule(Feedback(), context, self.tolerance, self.dissipation)


class GecoSection(SingleRuleSection):
    """The rule of GECO for comparison: gamma grows by the exponential of a moving average of the deviation."""

    method: Literal["geco"]
    smoothing: UnitInterval = Field(default=0.99, description="of the moving average")
    rate: Positive = Field(default=1.0, description="of log gamma, per update and per relative deviation")

    def build(self, context: Context) -> Corrector:
        """The minibatch corrector with GECO's rule."""
        from rdc_dyn.dynamics import Geco

        return self.with_rule(Geco(self.smoothing, self.rate), context)


class NuPiSection(SingleRuleSection):
    """nuPI for comparison: proportional and integral feedback with gains that the user tunes."""

    method: Literal["nupi"]
    proportional: NonNegative = Field(default=1.0, description="gain, in units of gamma / what is held")
    integral: NonNegative = Field(default=0.01, description="gain per update, in the same units")
    smoothing: UnitInterval = Field(default=0.9, description="nu, of the average that the proportional part answers to")

    def build(self, context: Context) -> Corrector:
        """The minibatch corrector with nuPI's rule."""
        from rdc_dyn.dynamics import NuPi

        return self.with_rule(NuPi(self.proportional, self.integral, self.smoothing), context)
