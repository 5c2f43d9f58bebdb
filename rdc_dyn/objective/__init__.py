"""Objectives J: rate, distortion and classification loss as functions of θ and the controls."""

from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import Objective
from rdc_dyn.objective.finite_latent import FiniteLatent
from rdc_dyn.objective.importance_weighted import ImportanceWeighted
from rdc_dyn.objective.linear_gaussian import LinearGaussian
