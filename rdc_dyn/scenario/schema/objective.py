"""Schema of the section `objective`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import Count, Matrix, NonNegative, Positive, Section
from rdc_dyn.scenario.schema.networks import Classifier, Decoder, Encoder, LikelihoodName, LinearClassifier, Variance


class TableDecoder(Section):
    """One free distribution d(x|z) for each z of a finite alphabet."""

    kind: Literal["table"] = "table"
    likelihood: LikelihoodName
    variance: Variance = 0.05


class _Variational(Section):
    kind: str
    encoder: Encoder
    decoder: Decoder
    classifier: Classifier = LinearClassifier()
    samples: Count = Field(default=8, description="frozen scrambled-Sobol samples of z per datum")
    noise: Literal["frozen", "fresh"] = Field(
        default="frozen",
        description="frozen: fixed Sobol samples, so that J is a function; fresh: each minibatch draws its own; J is "
        "an average over noise then, and what is evaluated on all data takes Sobol samples that no update sees",
    )
    weight_prior_precision: NonNegative = Field(
        default=1e-2, description="rho of the weight prior rho/2 |theta|^2 in J"
    )


class Amortised(_Variational):
    """J = R + lam D + gamma C with a network encoder whose parameters are part of theta."""

    kind: Literal["amortised"]


class ImportanceWeighted(_Variational):
    """J = -E log of the mean of K weights exp(-H)/e, from amortised (K = 1) to the Gibbs encoder (K large)."""

    kind: Literal["importance_weighted"]
    importance_samples: Count | None = Field(
        default=None, description="K, a divisor of samples; J averages over samples / K groups; null: all samples"
    )


class FiniteLatent(Section):
    """J = -E log Z with exact Gibbs sums over z in a finite alphabet; prior, decoder and classifier are free."""

    kind: Literal["finite_latent"]
    alphabet_size: Annotated[int, Field(ge=2)]
    decoder: TableDecoder
    weight_prior_precision: NonNegative = Field(
        default=1e-3, description="rho of the weight prior rho/2 |theta|^2 in J"
    )


class LinearGaussian(Section):
    """J = -E log Z for a linear-Gaussian decoder and classifier; only second moments of (x, y) enter."""

    kind: Literal["linear_gaussian"]
    x_dim: Count
    y_dim: Count
    latent_dim: Count
    distortion_variance: Positive
    label_variance: Positive
    source_second_moment: Matrix
    target_second_moment: Matrix | None = None
    weight_prior_precision: NonNegative = Field(default=0.0, description="rho of the weight prior rho/2 |theta|^2 in J")


Objective = Annotated[Amortised | ImportanceWeighted | FiniteLatent | LinearGaussian, Field(discriminator="kind")]
