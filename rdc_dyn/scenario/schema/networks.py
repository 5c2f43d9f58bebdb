"""Schema of the sections `encoder`, `decoder` and `classifier` of an objective with networks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rdc_dyn.scenario.schema.base import Activation, Count, Positive, Section, Widths

LikelihoodName = Literal["gaussian", "bernoulli"]
Variance = Annotated[Positive, Field(description="of a gaussian likelihood, per component of x")]


class MlpEncoder(Section):
    """Multilayer perceptron that gives the mean and log-variance of e(z|x)."""

    kind: Literal["mlp"]
    hidden: Widths
    latent_dim: Count
    activation: Activation = "tanh"


class ResNet18Encoder(Section):
    """ResNet-18 of torchvision, with GroupNorm, for images."""

    kind: Literal["resnet18"]
    latent_dim: Count
    width: Count = Field(default=64, description="channels at the first of four resolutions, doubled at each other one")
    groups: Count | None = Field(
        default=None, description="groups of channels of each norm, a divisor of width; null: the largest one up to 8"
    )
    activation: Literal["silu", "gelu", "softplus", "tanh", "relu"] = Field(
        default="silu", description="relu is the paper's, but has no second derivative: A is then that of a piece of J"
    )
    stem: Literal["3x3", "7x7"] = Field(
        default="3x3",
        description="first convolution: 3x3, stride 1, no pooling, for small images; 7x7: torchvision's, of stride 2 "
        "with max pooling, which leaves a sixteenth of the pixels",
    )


class ModuleEncoder(Section):
    """Your own torch.nn.Module, from rdc_dyn.run(networks=...): data (N, n) to mean and log-variance (N, 2 latent_dim).

    Its parameters become part of theta; their current values are the initial ones.
    """

    kind: Literal["module"]
    latent_dim: Count


class MlpDecoder(Section):
    """Multilayer perceptron that gives d(x|z)."""

    kind: Literal["mlp"]
    hidden: Widths
    likelihood: LikelihoodName
    variance: Variance = 0.05
    activation: Activation = "tanh"


class DeconvDecoder(Section):
    """Four transposed convolutions from a code to an image."""

    kind: Literal["deconv"]
    width: Count = Field(default=64, description="channels of the last layer but one; 4 and 2 times as many before it")
    likelihood: LikelihoodName
    variance: Variance = 0.05
    activation: Activation = "silu"


class ModuleDecoder(Section):
    """Your own torch.nn.Module, from rdc_dyn.run(networks=...): codes (M, latent_dim) to means or logits (M, n)."""

    kind: Literal["module"]
    likelihood: LikelihoodName
    variance: Variance = 0.05


class LinearClassifier(Section):
    """c(y|z) is the softmax of a linear map of z."""

    kind: Literal["linear"] = "linear"


class MlpClassifier(Section):
    """c(y|z) is the softmax of a multilayer perceptron."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"


class ModuleClassifier(Section):
    """Your own torch.nn.Module, from rdc_dyn.run(networks=...): codes (M, latent_dim) to logits (M, classes)."""

    kind: Literal["module"]


def _named(value: Any) -> Any:
    """Make a classifier without `kind` linear."""
    return {"kind": "linear", **value} if isinstance(value, dict) else value


Encoder = Annotated[MlpEncoder | ResNet18Encoder | ModuleEncoder, Field(discriminator="kind")]
Decoder = Annotated[MlpDecoder | DeconvDecoder | ModuleDecoder, Field(discriminator="kind")]
Classifier = Annotated[
    LinearClassifier | MlpClassifier | ModuleClassifier, Field(discriminator="kind"), BeforeValidator(_named)
]
