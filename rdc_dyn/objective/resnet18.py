"""h ↦ φ(h + F(h)), eight times: torchvision's ResNet-18 (He et al. 2015) with GroupNorm, of any width."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet, conv3x3

from rdc_dyn.objective.architectures import ACTIVATIONS, Shape

#: ReLU is the activation of torchvision and of the paper. With it J is only piecewise smooth: A is the curvature of the
#: piece that contains θ, and equilibria are lost where a path crosses into the next. So it is never the default.
ACTIVATIONS_OR_RELU = ACTIVATIONS | {"relu": nn.ReLU}
#: Residual blocks at each of the four resolutions.
_BLOCKS = (2, 2, 2, 2)


@dataclass(frozen=True)
class ResNet18:
    """torchvision's ResNet-18 with GroupNorm; width 64, stem 7x7 and ReLU give its layers, except for the norms.

    It differs from torchvision's as follows:
    * GroupNorm replaces BatchNorm, which mixes the data of a batch, so that J would not be a sum over data.
    * The first convolution takes any number of channels. With the stem 3x3 it is 3 x 3 with stride 1 and without
      pooling, since 7 x 7 with stride 2 and max pooling leave 8 x 8 of a 32 x 32 image.
    * The four resolutions have w, 2 w, 4 w and 8 w channels.
    * The default activation is SiLU, and nothing is overwritten in place, because graphs are kept.

    The max pooling of the stem 7x7 has kinks, as ReLU has.

    J depends on the scale of the weights before a norm only through the eps of the norm. Along the directions that
    rescale them A is therefore about the weight prior, which shrinks these weights until eps matters and leaves A badly
    conditioned: use a small weight prior, and equilibrate to a loose tolerance.

    Attributes:
        width: w, a multiple of `groups`.
        groups: Groups of channels in each norm.
        activation: One of `ACTIVATIONS_OR_RELU`.
        stem: The first convolution.
    """

    width: int = 64
    groups: int = 8
    activation: str = "silu"
    stem: Literal["3x3", "7x7"] = "3x3"

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A residual network of images (C, H, W)."""
        with torch.device("meta"):
            return _Residual(self, inputs, math.prod(outputs))


class _Residual(ResNet):
    """torchvision's residual network with a new constructor, since the original fixes the width."""

    def __init__(self, chosen: ResNet18, shape: Shape, outputs: int) -> None:
        super(ResNet, self).__init__()
        width, self.shape = chosen.width, shape
        self._norm_layer = partial(nn.GroupNorm, chosen.groups)
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64  # read by _make_layer
        self.conv1, self.maxpool = conv3x3(shape[0], width), nn.Sequential()
        if chosen.stem == "7x7":
            self.conv1 = nn.Conv2d(shape[0], width, kernel_size=7, stride=2, padding=3, bias=False)
            self.maxpool.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        self.bn1 = self._norm_layer(width)
        for number, blocks in enumerate(_BLOCKS):
            layer = self._make_layer(BasicBlock, width * 2**number, blocks, stride=1 if number == 0 else 2)
            setattr(self, f"layer{number + 1}", layer)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(self.inplanes, outputs)
        for module in (self, *(m for m in self.modules() if isinstance(m, BasicBlock))):
            module.relu = ACTIVATIONS_OR_RELU[chosen.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for flattened images."""
        found: Tensor = self._forward_impl(x.unflatten(1, self.shape))
        return found
