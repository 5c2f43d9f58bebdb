"""Architectures of encoder, decoder and classifier: each builds a network from the shapes of its input and output."""

# `resnet18` imports torchvision's models, which takes seconds, so it is imported only where it is chosen.
from rdc_dyn.objective.architectures.base import ACTIVATIONS, Architecture, Shape
from rdc_dyn.objective.architectures.deconv import Deconv
from rdc_dyn.objective.architectures.mlp import Mlp, mlp
