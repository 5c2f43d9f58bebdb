"""How A⁻¹b is applied: solvers and preconditioners that see A only through products."""

from rdc_dyn.linalg.base import LinearSolution, LinearSolver, SymmetricOperator
from rdc_dyn.linalg.cg import ConjugateGradient
from rdc_dyn.linalg.dense import Dense
from rdc_dyn.linalg.factorisation import Factorisation, materialise
from rdc_dyn.linalg.morse import Spectrum, dense_spectrum, spectrum
from rdc_dyn.linalg.preconditioner import Factorised, Identity, Preconditioner
from rdc_dyn.linalg.ritz import RitzPair, largest_ratio

__all__ = [
    "ConjugateGradient",
    "Dense",
    "Factorisation",
    "Factorised",
    "Identity",
    "LinearSolution",
    "LinearSolver",
    "Preconditioner",
    "RitzPair",
    "Spectrum",
    "SymmetricOperator",
    "dense_spectrum",
    "largest_ratio",
    "materialise",
    "spectrum",
]
