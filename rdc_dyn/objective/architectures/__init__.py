"""x ↦ (μ, ln s²), z ↦ d(x|z) and z ↦ c(y|z) as networks: each member makes one from the shapes of its two sides.

`resnet18` imports torchvision's models, which takes seconds, so it is imported where it is chosen.
"""

from rdc_dyn.objective.architectures.base import ACTIVATIONS, Architecture, Shape
from rdc_dyn.objective.architectures.deconv import Deconv
from rdc_dyn.objective.architectures.mlp import Mlp, mlp

__all__ = ["ACTIVATIONS", "Architecture", "Deconv", "Mlp", "Shape", "mlp"]
