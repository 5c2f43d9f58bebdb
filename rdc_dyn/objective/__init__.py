"""Objectives J: rate, distortion and classification loss as functions of θ and the controls."""

from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import Objective
from rdc_dyn.objective.data import Data, Sample
from rdc_dyn.objective.finite_latent import FiniteLatent
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.gauss_newton import GaussNewton
from rdc_dyn.objective.importance_weighted import ImportanceWeighted
from rdc_dyn.objective.kfac import Kfac
from rdc_dyn.objective.linear_gaussian import LinearGaussian
from rdc_dyn.objective.linearisation import Linearisation, Work

__all__ = [
    "Amortised",
    "Data",
    "FiniteLatent",
    "FreeEnergy",
    "GaussNewton",
    "ImportanceWeighted",
    "Kfac",
    "LinearGaussian",
    "Linearisation",
    "Objective",
    "Sample",
    "Work",
]
