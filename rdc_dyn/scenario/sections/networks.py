"""Encoders, decoders and classifiers."""

from __future__ import annotations

import keyword
import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, Self

from pydantic import Field, WithJsonSchema

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.section import Activation, Count, NamedPathStr, Positive, Section, Widths
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section, show

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.likelihood import Likelihood
    from rdc_dyn.objective.own_modules import Ends
    from rdc_dyn.scenario.scenario import Scenario

#: Groups of channels of a norm where nothing else is said and the width allows it.
_GROUPS = 8
#: FILE.py:NAME.
_NAMED = re.compile(r"[^\n]+\.py:[^\W\d]\w*")
Arguments = Annotated[Any, WithJsonSchema({"type": "object"})]


class LikelihoodSection(Section):
    """The distribution of x around what a decoder gives."""

    kind: str
    likelihood: Literal["gaussian", "bernoulli"] = Field(
        description="of x given the code: gaussian for any numbers, bernoulli for x in [0, 1]"
    )
    variance: Positive = Field(default=0.05, description="of a gaussian likelihood, per component of x")

    def density(self) -> Likelihood:
        """d(x|z) around a mean or logits."""
        from rdc_dyn.objective.likelihood import Bernoulli, Gaussian

        return Gaussian(self.variance) if self.likelihood == "gaussian" else Bernoulli()


class NetworkSection(Section):
    """A part of an objective that is a network.

    Attributes:
        own: Whether it is a module of the user's, passed in Python or made by a file.
    """

    kind: str
    own: ClassVar[bool] = False

    @abstractmethod
    def build(self, ends: Ends) -> Architecture:
        """The architecture, without the sizes of its ends."""


class EncoderSection(NetworkSection):
    """The mean and log-variance of e(z|x)."""

    latent_dim: Count = Field(description="dimensions of the code z")


class DecoderSection(LikelihoodSection, NetworkSection):
    """d(x|z)."""


class ClassifierSection(NetworkSection):
    """c(y|z)."""


class MlpSection(NetworkSection):
    """A multilayer perceptron."""

    hidden: Widths = Field(description="widths of the hidden layers, as [32, 16]; [] for none")
    activation: Activation = Field(default="tanh", description="between the layers; smooth, so that A sees it")

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)


class MlpEncoderSection(MlpSection, EncoderSection):
    """Multilayer perceptron giving the mean and log-variance of e(z|x)."""

    kind: Literal["mlp"]


class MlpDecoderSection(MlpSection, DecoderSection):
    """Multilayer perceptron giving d(x|z)."""

    kind: Literal["mlp"]


class LinearClassifierSection(ClassifierSection):
    """c(y|z) is the softmax of a linear map of z."""

    kind: Literal["linear"] = "linear"

    def build(self, ends: Ends) -> Architecture:
        """The network: no hidden layers."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(())


class MlpClassifierSection(MlpSection, ClassifierSection):
    """c(y|z) is the softmax of a multilayer perceptron."""

    kind: Literal["mlp"]


class ResNet18EncoderSection(EncoderSection):
    """ResNet-18 of torchvision with GroupNorm, for images."""

    kind: Literal["resnet18"]
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

    def build(self, ends: Ends) -> Architecture:
        """The network; a `DataError` where the data are no images."""
        from rdc_dyn.objective.resnet18 import ResNet18  # imports torchvision's models

        ends.require_images("objective.encoder", self.kind)
        assert self.groups is not None  # resolved
        return ResNet18(self.width, self.groups, self.activation, self.stem)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Groups divide the channels."""
        own = section(tree, *path)
        width, groups = own.get("width", cls.model_fields["width"].default), own.get("groups")
        if type(width) is int and type(groups) is int and width > 0 and groups > 0 and width % groups:
            near = min((g for g in range(1, width + 1) if width % g == 0), key=lambda g: abs(g - groups))
            message = f"must divide objective.encoder.width, which is {width}, got {groups}; the nearest is {near}"
            yield Finding((*path, "groups"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """The largest number of groups that divides the width."""
        return self.default(groups=max(g for g in range(1, _GROUPS + 1) if self.width % g == 0))


class DeconvDecoderSection(DecoderSection):
    """Four transposed convolutions from a code to an image."""

    kind: Literal["deconv"]
    width: Count = Field(default=64, description="channels of the last layer but one; 4 and 2 times as many before it")
    activation: Activation = Field(default="silu", description="between the layers")

    def build(self, ends: Ends) -> Architecture:
        """The network; a `DataError` where the data are no images."""
        from rdc_dyn.objective.architectures import Deconv

        ends.require_images("objective.decoder", self.kind)
        return Deconv(self.width, self.activation)


class ModuleSection(NetworkSection):
    """A module of anyone's own."""

    path: NamedPathStr | None = Field(
        default=None,
        description="FILE.py:NAME, a file relative to the scenario and the class or function in it that returns the "
        "module; its code runs only with --trust; null: the module is passed in Python",
    )
    arguments: Arguments = Field(
        default={}, description="keyword arguments of that class or function: numbers, texts, true, false, null, lists"
    )
    source: str | None = Field(
        default=None, description="SHA-256 of the file, written down by a run; another file is refused; null: any"
    )
    own = True

    @property
    def file(self) -> Path:
        """The file; only where there is a path."""
        assert self.path is not None
        return Path(self.path.rpartition(":")[0])

    @property
    def name(self) -> str:
        """What returns the module; only where there is a path."""
        assert self.path is not None
        return self.path.rpartition(":")[2]

    def build(self, ends: Ends) -> NoReturn:
        """Never: the module is passed, or made by its file."""
        raise AssertionError("a module of one's own is passed or made by its file, not built")

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The form of the path and of the arguments, which only a path has a use for."""
        yield from super().check(tree, path)
        own = section(tree, *path)
        named = own.get("path")
        if isinstance(named, str) and not _NAMED.fullmatch(named):
            yield Finding((*path, "path"), f"expected FILE.py:NAME, such as my_models.py:Encoder, got {show(named)}")
        for key in ("arguments", "source"):
            if named is None and own.get(key):
                yield Finding((*path, key), "only with path, which names a file; leave it out", at_key=True)
        yield from _arguments(own.get("arguments", {}), (*path, "arguments"))


def _arguments(given: Any, path: KeyPath) -> Iterator[Finding]:
    """What keyword arguments cannot be."""
    if not isinstance(given, dict):
        yield Finding(path, f"expected a section of keyword arguments, such as {{width: 3}}, got {show(given)}")
        return
    for name, value in given.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            yield Finding((*path, name), "is not the name of an argument; expected a word of Python", at_key=True)
        elif _has_section(value):
            message = f"expected a number, a text, true, false, null or a list of these, got {show(value)}"
            yield Finding((*path, name), message)


def _has_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_section, value)))


class ModuleEncoderSection(ModuleSection, EncoderSection):
    """Your own torch.nn.Module, in a file or passed in Python: data (N, n) to (N, 2 latent_dim), mean and log-variance.

    Its parameters are part of theta and begin with the values that they have.
    """

    kind: Literal["module"]


class ModuleDecoderSection(ModuleSection, DecoderSection):
    """Your own torch.nn.Module, in a file or passed in Python: codes (M, latent_dim) to means or logits, (M, n)."""

    kind: Literal["module"]


class ModuleClassifierSection(ModuleSection, ClassifierSection):
    """Your own torch.nn.Module, in a file or passed in Python: codes (M, latent_dim) to logits of y, (M, classes)."""

    kind: Literal["module"]


ENCODERS = Family("encoders", EncoderSection, module="networks")
DECODERS = Family("decoders", DecoderSection, module="networks")
CLASSIFIERS = Family("classifiers", ClassifierSection, default="linear", module="networks")
