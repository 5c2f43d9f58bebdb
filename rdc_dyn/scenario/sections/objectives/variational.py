"""Objectives whose encoder is a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.section import Count, NonNegative
from rdc_dyn.scenario.sections.correctors import CORRECTORS
from rdc_dyn.scenario.sections.networks import (
    CLASSIFIERS,
    DECODERS,
    ENCODERS,
    ClassifierSection,
    DecoderSection,
    EncoderSection,
    LinearClassifierSection,
    NetworkSection,
)
from rdc_dyn.scenario.sections.objectives import ObjectiveSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section, show

if TYPE_CHECKING:
    from rdc_dyn.objective import Objective
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class VariationalSection(ObjectiveSection):
    """J with encoder, decoder and classifier."""

    kind: str
    encoder: Annotated[EncoderSection, ENCODERS] = Field(description="e(z|x)")
    decoder: Annotated[DecoderSection, DECODERS] = Field(description="d(x|z)")
    classifier: Annotated[ClassifierSection, CLASSIFIERS] = Field(
        default=LinearClassifierSection(), description="c(y|z)"
    )
    samples: Count = Field(default=8, description="frozen scrambled-Sobol samples of z per datum")
    noise: Literal["frozen", "fresh"] = Field(
        default="frozen",
        description="frozen: fixed Sobol samples, so that J is a function; fresh: each minibatch draws its own; J is "
        "an average over noise then, and what is evaluated on all data takes Sobol samples that no update sees",
    )
    weight_prior_precision: NonNegative = Field(
        default=1e-2, description="rho of the weight prior rho/2 |theta|^2 in J"
    )

    @property
    def networks(self) -> dict[str, NetworkSection]:
        """The sections of the three parts."""
        return {"encoder": self.encoder, "decoder": self.decoder, "classifier": self.classifier}

    def common(self, context: Context) -> dict[str, Any]:
        """What all objectives with networks take."""
        from rdc_dyn.objective.own_modules import Ends, connected

        own = self.decoder.density()
        data, latent_dim = context.data(own), self.encoder.latent_dim
        x, like = data.source.x[:2], context.like
        return {
            "data": data,
            "networks": connected(self.networks, latent_dim, Ends.of(data), context.networks, like, x),
            "latent_dim": latent_dim,
            "likelihood": own,
            "samples": self.samples,
            "weight_prior_precision": self.weight_prior_precision,
            "seed": context.scenario.seed,
            "fresh": self.noise == "fresh",
        }

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Fresh noise is drawn for minibatches; what takes all data has nothing to draw it for."""
        yield from super().check(tree, path)
        corrector = section(tree, "corrector")
        if section(tree, *path).get("noise") != "fresh":
            return
        method, member = corrector.get("method", "none"), CORRECTORS.of(corrector)
        if member is not None and not member.takes_fresh_noise(corrector):
            message = f"fresh is drawn for each minibatch, and the corrector {method} takes frozen noise"
            yield Finding((*path, "noise"), f"{message}; use primal_dual")
        elif section(tree, "start", "equilibrate").get("newton_steps", 1) != 0:
            message = "fresh has no Newton steps at the start; set start.equilibrate.newton_steps to 0"
            yield Finding((*path, "noise"), message)


class AmortisedSection(VariationalSection):
    """J = R + lam D + gamma C with a network encoder that is part of theta."""

    kind: Literal["amortised"]
    convex = True

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import Amortised

        return Amortised(**self.common(context))


class ImportanceWeightedSection(VariationalSection):
    """J = -E log of the mean of K weights exp(-H)/e: between amortised (K = 1) and the Gibbs encoder (K large)."""

    kind: Literal["importance_weighted"]
    importance_samples: Count | None = Field(
        default=None, description="K, a divisor of samples; J averages over samples / K groups; null: all samples"
    )

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import ImportanceWeighted

        assert self.importance_samples is not None  # resolved
        return ImportanceWeighted(**self.common(context), importance_samples=self.importance_samples)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Samples fall into groups."""
        yield from super().check(tree, path)
        own = section(tree, *path)
        samples, group = own.get("samples", 8), own.get("importance_samples")
        if type(samples) is int and type(group) is int and samples > 0 and group > 0 and samples % group:
            message = f"must divide objective.samples, which is {samples}, got {show(group)}"
            yield Finding((*path, "importance_samples"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """One group."""
        return super().resolve(scenario).default(importance_samples=self.samples)
