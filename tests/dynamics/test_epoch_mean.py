"""Means over epochs of one training against Adam's iterates, and what averaging is worth."""

from __future__ import annotations

import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import EpochMean, State
from rdc_dyn.dynamics.correctors.base import Departure
from rdc_dyn.status import Status
from tests.problems import amortised, blobs, controls, equilibrium, generator

BEGIN, GOAL = controls(0.5, 1.5), controls(0.8, 1.2)


def test_with_full_batches_points_are_means_of_adams_iterates() -> None:
    """A start and a step of three updates in which the multipliers move, then two at the end, of which it is a mean.

    Momentum grows from nothing, without Adam's correction.
    """
    objective = amortised(blobs(60))
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator(2))
    corrector = EpochMean(60, 1e-2, 3, 2)
    first = corrector.correct(free_energy, State(theta, BEGIN), None)
    assert first.at is not None
    shift = 1e-3 * torch.ones_like(theta)  # as if it were predicted
    second = corrector.correct(
        free_energy, State(first.state.theta + shift, GOAL), None, Departure(first.at, first.memory, {})
    )
    at, means, number = theta, [], 0
    momentum, square = torch.zeros_like(theta), torch.zeros_like(theta)
    for begin, goal in ((BEGIN, BEGIN), (BEGIN, GOAL)):
        at, last = at + (shift if number else 0), []
        for share in (1 / 3, 2 / 3, 1.0, 1.0, 1.0):
            number += 1
            _, gradient = free_energy.gradient(at, begin + share * (goal - begin))
            momentum, square = 0.9 * momentum + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            root = (square / (1 - 0.999**number) + 1e-16) ** 0.5
            at = at - 1e-2 * momentum / root
            last.append(at)
        means.append(0.5 * (last[3] + last[4]))
    for found, mean in zip((first, second), means):
        assert found.failure is None and found.iterations == 5
        torch.testing.assert_close(found.state.theta, mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(second.state.controls, GOAL)


def test_the_way_may_take_a_part_of_an_epoch() -> None:
    objective = amortised(blobs(60))
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator(2))
    found = EpochMean(10, 1e-2, 0.5, 2).correct(free_energy, State(theta, GOAL), None)
    assert found.iterations == 3 + 12


def test_a_mean_has_less_noise_than_an_iterate() -> None:
    """At an equilibrium the mean over five epochs stays closer to it than the last iterate."""
    objective = amortised(blobs(60))
    at = equilibrium(objective, GOAL, objective.initial(generator(2)), 1e-8)
    free_energy, seeds = FreeEnergy(objective, Work()), range(3)
    excess = dict.fromkeys(((5.95, 0.05), (1, 5)), -len(seeds) * at.value)
    for seed in seeds:
        for moving, averaged in excess:
            found = EpochMean(3, 3e-2, moving, averaged, seed).correct(free_energy, State(at.theta, GOAL), None)
            excess[moving, averaged] += found.at.value if found.at is not None else torch.nan
    one, mean = excess.values()
    assert 0 < mean < 0.5 * one


def test_what_is_not_finite_is_named() -> None:
    objective = amortised(blobs(60))
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator(2))
    found = EpochMean(10, 1e30, 1, 1).correct(free_energy, State(theta, GOAL), None)
    assert found.failure is Status.NON_FINITE and found.at is None
