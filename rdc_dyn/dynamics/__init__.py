"""Dynamics of θ and its controls: response, process, vector field, integrator, corrector and step size."""

from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure, Memory
from rdc_dyn.dynamics.correctors.dual import DualRule, Feedback, Geco, NuPi
from rdc_dyn.dynamics.correctors.epoch_mean import EpochMean
from rdc_dyn.dynamics.correctors.gradient import Gradient
from rdc_dyn.dynamics.correctors.newton_krylov import NewtonKrylov
from rdc_dyn.dynamics.correctors.no_corrector import NoCorrector
from rdc_dyn.dynamics.correctors.primal_dual import PrimalDual
from rdc_dyn.dynamics.correctors.quasi_newton import QuasiNewton
from rdc_dyn.dynamics.correctors.variance_reduced import VarianceReduced
from rdc_dyn.dynamics.curve import Curve, CurvePoint
from rdc_dyn.dynamics.integrator import Integrator, IntegratorStep, VectorField
from rdc_dyn.dynamics.minimise import Minimiser, Minimum
from rdc_dyn.dynamics.processes.base import Process, SurfacePoint
from rdc_dyn.dynamics.processes.geodesic_transfer import GeodesicTransfer
from rdc_dyn.dynamics.processes.grid import Grid
from rdc_dyn.dynamics.processes.iso_functional import IsoFunctional
from rdc_dyn.dynamics.processes.iso_functional_transfer import IsoFunctionalTransfer
from rdc_dyn.dynamics.processes.prescribed import Prescribed
from rdc_dyn.dynamics.responses.base import Estimate, Known, Response, ResponseModel
from rdc_dyn.dynamics.responses.finite_difference import FiniteDifference
from rdc_dyn.dynamics.responses.linear_response import LinearResponse, linear_response
from rdc_dyn.dynamics.responses.no_response import NoResponse
from rdc_dyn.dynamics.responses.secant import Secant
from rdc_dyn.dynamics.responses.secant_filter import SecantFilter
from rdc_dyn.dynamics.stability import Approach, Monitor, Stability, approach
from rdc_dyn.dynamics.state import State
from rdc_dyn.dynamics.step_size import StepSize
