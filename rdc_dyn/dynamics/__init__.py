"""How θ moves: response, process, vector field, integrator, corrector, step size."""

from rdc_dyn.dynamics.corrector import Constraint, Correction, Corrector
from rdc_dyn.dynamics.curve import Curve, CurvePoint
from rdc_dyn.dynamics.gradient import Gradient
from rdc_dyn.dynamics.integrator import Integrator, IntegratorStep
from rdc_dyn.dynamics.minimise import Minimiser, Minimum
from rdc_dyn.dynamics.newton_krylov import NewtonKrylov
from rdc_dyn.dynamics.no_corrector import NoCorrector
from rdc_dyn.dynamics.process import IsoFunctional, Prescribed, Process, SurfacePoint
from rdc_dyn.dynamics.response import Response, linear_response
from rdc_dyn.dynamics.stability import Approach, Monitor, Stability, approach
from rdc_dyn.dynamics.state import State
from rdc_dyn.dynamics.step_size import StepSize
from rdc_dyn.dynamics.transfer import GeodesicTransfer, IsoClassificationTransfer
from rdc_dyn.dynamics.vector_field import VectorField

__all__ = [
    "Approach",
    "Constraint",
    "Correction",
    "Corrector",
    "Curve",
    "CurvePoint",
    "GeodesicTransfer",
    "Gradient",
    "Integrator",
    "IntegratorStep",
    "IsoClassificationTransfer",
    "IsoFunctional",
    "Minimiser",
    "Minimum",
    "Monitor",
    "NewtonKrylov",
    "NoCorrector",
    "Prescribed",
    "Process",
    "Response",
    "Stability",
    "State",
    "StepSize",
    "SurfacePoint",
    "VectorField",
    "approach",
    "linear_response",
]
