"""Solvers of A u = b, and preconditioners, that see A only through products."""

from rdc_dyn.linalg.base import LinearSolution, LinearSolver, SymmetricOperator
from rdc_dyn.linalg.cg import ConjugateGradient
from rdc_dyn.linalg.factorisation import Dense, materialise
from rdc_dyn.linalg.factorised import Factorised
from rdc_dyn.linalg.kronecker import Kronecker
from rdc_dyn.linalg.minres import Minres
from rdc_dyn.linalg.nystrom import Nystrom
from rdc_dyn.linalg.preconditioner import Learned, Preconditioner
from rdc_dyn.linalg.recipe import Approximation, Identity, Recipe
from rdc_dyn.linalg.ritz import RitzPair, Spectrum, largest_ratio, spectrum
