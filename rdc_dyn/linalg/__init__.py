"""Solvers of A u = b, and preconditioners, that see A only through products."""

from rdc_dyn.linalg.base import LinearSolution, LinearSolver, SymmetricOperator
from rdc_dyn.linalg.cg import ConjugateGradient
from rdc_dyn.linalg.dense import Dense
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.factorised import Factorised
from rdc_dyn.linalg.identity import Identity
from rdc_dyn.linalg.kronecker import Kronecker
from rdc_dyn.linalg.minres import Minres
from rdc_dyn.linalg.morse import Spectrum, spectrum
from rdc_dyn.linalg.nystrom import Nystrom
from rdc_dyn.linalg.preconditioner import Learned, Preconditioner
from rdc_dyn.linalg.recipe import Approximation, Recipe
from rdc_dyn.linalg.ritz import RitzPair, largest_ratio
