"""A digits VAE of 2,110 parameters: to equilibrium from scratch, and along a path of constant C, in gradients spent.

`python -m tests.benchmarks.digits_vae [DEVICE]` walks the path at two strengths of the weight prior, against L-BFGS and
Adam, and ends with a table. `... DEVICE RHO PART` does one thing at one strength: `response`, against finite
differences; `path`, by Newton-Krylov too; or `starts`, the path from three starts. All is counted, not timed; a product
A v counts as 1.25 gradients, about what it takes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise, product

import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.hessian import price
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import (
    Integrator,
    IsoFunctional,
    LinearResponse,
    Minimiser,
    NewtonKrylov,
    QuasiNewton,
    State,
    StepSize,
    linear_response,
)
from rdc_dyn.linalg import ConjugateGradient, Factorised, Preconditioner
from rdc_dyn.objective import Amortised
from rdc_dyn.record import Event
from rdc_dyn.simulate import Point, Problem, Training, simulate
from tests.benchmarks.descents import lbfgs, warm_adam
from tests.benchmarks.models import digits_vae, like
from tests.benchmarks.timing import machine
from tests.problems import controls, generator

#: Gradients that a product is counted as.
PRODUCT = 1.25
POINTS, ARC = 40, 1.0
LAM, GAMMA = 0.5, 4.0
MEMORY = 300
#: Gradients after which Adam from scratch is given up.
SCRATCH = 18_500
STRENGTHS = (2e-2, 5e-2)


def equivalents(work: Work) -> float:
    return work.gradient_evaluations + PRODUCT * work.hessian_vector_products


@dataclass(frozen=True)
class Engine:
    """A problem with its preconditioner."""

    problem: Problem
    preconditioner: Preconditioner

    @property
    def work(self) -> Work:
        return self.problem.free_energy.work


def engine(objective: Amortised, theta: Tensor | None, tolerance: float, method: str = "quasi_newton") -> Engine:
    """An iso-classification path of Euler steps of 1/40 in (λ, γ); folds are relaxed."""
    preconditioner = Preconditioner(Factorised(price=price(objective)), MEMORY, 1.0)
    solver = ConjugateGradient(1e-2, 2000, 0.0, preconditioner)
    newton = NewtonKrylov(solver, tolerance, constraint_tolerance=1e-8)
    problem = Problem(
        free_energy=FreeEnergy(objective, Work()),
        process=IsoFunctional((0.0, ARC)),
        response=LinearResponse(solver),
        integrator=Integrator("euler"),
        corrector=newton if method == "newton_krylov" else QuasiNewton(newton, preconditioner),
        minimiser=Minimiser(preconditioner, tolerance),
        step_size=StepSize(ARC / POINTS, 1e-3),
        start=State(
            objective.initial(generator()) if theta is None else theta, controls(LAM, GAMMA).to(objective.data.source.x)
        ),
        adam_steps=0,
        learning_rate=3e-2,
        on_fold="relax",
        monitor=None,
    )
    return Engine(problem, preconditioner)


def start(objective: Amortised, seed: int = 0) -> tuple[Tensor, float]:
    """From scratch to |∇J| ≤ 1e-8 with A ≻ 0: θ and the gradient-equivalents spent."""
    made = engine(objective, objective.initial(generator(seed)), 1e-8)
    problem, work = made.problem, made.work
    minimum = problem.minimiser.minimise(problem.free_energy, problem.start)
    factor = made.preconditioner
    print(
        f"start: {problem.free_energy.objective.size} parameters, {minimum.steps} steps; |grad J| = "
        f"{minimum.at.residual:.1e}, J = {minimum.at.value:.8f}, "
        f"{'minimum' if factor.most_negative(minimum.at) is None else 'SADDLE'}, {minimum.failure}"
    )
    print(
        f"start: {work.gradient_evaluations:.0f} gradients + {work.hessian_vector_products:.0f} products "
        f"({factor.builds} factorisations: {factor.products}) = {equivalents(work):.0f} gradient-equivalents",
        flush=True,
    )
    return minimum.at.theta, equivalents(work)


@dataclass(frozen=True)
class Walk:
    """A path, with the gradient-equivalents of each step, of each regular one, and the products of each.

    Attributes:
        end: The status of a path that ended before its span did, else empty.
    """

    points: list[Point]
    steps: list[float]
    regular: list[float]
    products: list[float]
    end: str

    @property
    def mean(self) -> float:
        return statistics.mean(self.steps)

    @property
    def calm(self) -> float:
        return statistics.mean(self.regular)


def path(objective: Amortised, theta: Tensor, tolerance: float, method: str) -> Walk:
    """The path from a start."""
    made = engine(objective, theta, tolerance, method)
    work, factor = made.work, made.preconditioner
    points, regular, counts, end = [], [], [(0.0, 0.0)], ""
    kinds, through, began = Counter[str](), "start", time.process_time()
    for item in simulate(made.problem):
        if isinstance(item, Event):
            kinds[item.kind] += 1
            through = item.kind
            if item.kind == "end" and item.time < ARC:
                end = str(item.values["status"])
                print(f"  ended at {item.time:.4f}: {item.text}")
            continue
        if isinstance(item, Training):
            continue
        points.append(item)
        counts.append((work.gradient_evaluations, work.hessian_vector_products))
        if through == "":
            regular.append(len(counts) - 1)
        through = ""
    spent = [(g - g0, p - p0) for (g0, p0), (g, p) in pairwise(counts)]
    each = [g + PRODUCT * p for g, p in spent]
    walk = Walk(points, each[1:], [each[index - 1] for index in regular], [p for _, p in spent[1:]], end)
    held = max(abs(float(p.at.functionals[2] - points[0].at.functionals[2])) for p in points)
    print(
        f"{method} at |grad J| <= {tolerance:g}: {len(points) - 1} steps, {kinds['relaxed']} jumps, "
        f"{kinds['rejected']} rejected; worst |grad J| {max(p.at.residual for p in points):.1e}, C off by {held:.1e}; "
        f"{factor.builds} builds of {factor.recipe.products(objective.size)} products "
        f"({time.process_time() - began:.0f} s of CPU time)"
    )
    print(f"  a step: {statistics.mean(walk.products):.1f} products; gradient-equivalents {_spread(walk.steps)}")
    print(f"  regular steps: {len(regular)}, gradient-equivalents {_spread(walk.regular)}", flush=True)
    return walk


def starts(objective: Amortised) -> None:
    """The path from three starts: medians over them."""
    thetas = [start(objective, seed)[0] for seed in range(3)]
    for tolerance, method in product((1e-4, 1e-8), ("newton_krylov", "quasi_newton")):
        walks = [path(objective, theta, tolerance, method) for theta in thetas]
        calm = statistics.median(walk.calm for walk in walks)
        products = statistics.median(statistics.mean(walk.products) for walk in walks)
        print(
            f"{method} at {tolerance:g}, medians over {len(walks)} starts: {products:.1f} products a step; "
            f"gradient-equivalents {statistics.median(walk.mean for walk in walks):.1f}, a regular step {calm:.1f}",
            flush=True,
        )


def _spread(numbers: list[float]) -> str:
    return f"mean {statistics.mean(numbers):.1f}, median {statistics.median(numbers):.1f}, at most {max(numbers):.0f}"


def baselines(objective: Amortised, walk: Walk, tolerance: float = 1e-4) -> dict[str, float]:
    """Three steps by warm-started L-BFGS and Adam, and a point from scratch: least ratios to ours, by name."""
    free_energy, points, ours = FreeEnergy(objective, Work()), walk.points, walk.mean
    counts: dict[str, list[int]] = {"warm L-BFGS": [], "warm Adam": [], "Adam from scratch": []}
    for index in (len(points) * sixths // 6 for sixths in (1, 3, 5)):
        before, after = points[index - 1], points[index]
        state = State(before.at.theta, after.at.controls)
        by_lbfgs = lbfgs(free_energy, state, tolerance, 1_500)[1:]
        by_adam = warm_adam(free_energy, state, tolerance, 3_000)
        for name, (norm, count) in (("warm L-BFGS", by_lbfgs), ("warm Adam", by_adam)):
            counts[name].append(count)
            _report(f"{name}, step {index} of {after.time - before.time:.3f}", norm, count, ours, tolerance)
    norm, count = warm_adam(free_energy, engine(objective, None, tolerance).problem.start, tolerance, SCRATCH)
    counts["Adam from scratch"].append(count)
    _report("Adam from scratch", norm, count, ours, tolerance)
    return {name: statistics.median(found) / ours for name, found in counts.items()}


def _report(name: str, norm: float, count: int, ours: float, tolerance: float) -> None:
    bound = "" if norm <= tolerance else "at least "
    print(
        f"{name}: |grad J| {norm:.1e} after {count} gradients: {bound}{count / ours:.0f} x ours ({ours:.0f})",
        flush=True,
    )


def paths(objective: Amortised) -> None:
    """The path by both correctors."""
    theta, _ = start(objective)
    for tolerance, method in product((1e-4, 1e-8), ("newton_krylov", "quasi_newton")):
        path(objective, theta, tolerance, method)


def response(objective: Amortised) -> None:
    """C_λ and C_γ at points of a path: linear response with the first point's factor against differences (31)."""
    points = path(objective, start(objective)[0], 1e-8, "quasi_newton").points[:3]
    free_energy = FreeEnergy(objective, Work())
    preconditioner = Preconditioner(Factorised(price=price(objective)), 40, 1.0)
    ours, theirs = 0.0, 0
    for number, point in enumerate(points):
        theta, at = point.at.theta, point.at.controls
        fresh = Preconditioner(Factorised(price=price(objective)), 40, 1.0)
        exact, _ = _solved(objective, theta, at, ConjugateGradient(1e-10, 2000, 0.0, fresh))
        row, work = _solved(objective, theta, at, ConjugateGradient(1e-2, 2000, 0.0, preconditioner))
        ours += equivalents(work)
        error = float((row - exact).norm() / exact.norm())
        print(
            f"point {number}, linear response: error of (C_lam, C_gamma) {error:.1e}, "
            f"{work.hessian_vector_products:.0f} products ({preconditioner.builds} factorisation so far)"
        )
        spent = _differences(free_energy, theta, at, exact, 1e-2, 1e-6)
        theirs += spent
        print(
            f"point {number}: {spent / equivalents(work):.0f} x here, {theirs / ours:.1f} x for the {number + 1} so far"
        )


def _solved(objective: Amortised, theta: Tensor, at: Tensor, solver: ConjugateGradient) -> tuple[Tensor, Work]:
    work = Work()
    there = FreeEnergy(objective, work).linearise(theta, at)
    return linear_response(there, solver, objective.weight_prior_precision).matrix[2, :2], work


def _differences(
    free_energy: FreeEnergy, theta: Tensor, at: Tensor, exact: Tensor, delta: float, tolerance: float
) -> int:
    """Gradients of both differences, each from an equilibration by L-BFGS."""
    base = free_energy.linearise(theta, at).functionals[2]
    entries: list[Tensor] = []
    norms: list[float] = []
    total = 0
    for shift in (controls(delta, 0.0), controls(0.0, delta)):
        there = at + shift.to(at)
        found, norm, count = lbfgs(free_energy, State(theta, there), tolerance, 10_000)
        entries.append((free_energy.linearise(found, there).functionals[2] - base) / delta)
        total += count
        norms.append(norm)
    error = float((torch.stack(entries) - exact).norm() / exact.norm())
    print(
        f"finite differences, delta {delta:g}, L-BFGS to |grad J| {max(norms):.1e}: error {error:.1e}, "
        f"{total} gradients"
    )
    return total


def table(starts: list[float], walks: dict[tuple[float, float], Walk], ratios: dict[str, float]) -> None:
    """What was measured beside what was aimed at; the numbers at both strengths of the prior are divided by a slash."""

    def both(tolerance: float, number: Callable[[Walk], float]) -> str:
        return " / ".join(f"{number(walks[rho, tolerance]):.1f}" for rho in STRENGTHS)

    rows = [("start from scratch to 1e-8, A > 0", " / ".join(f"{spent:.0f}" for spent in starts), "4000")]
    for tolerance, most, calm in ((1e-4, 40, 24), (1e-8, 45, 30)):
        rows.append(
            (f"a step at {tolerance:g}, builds and folds included", both(tolerance, lambda w: w.mean), f"{most}")
        )
        rows.append((f"a regular step at {tolerance:g}", both(tolerance, lambda w: w.calm), f"{calm}"))
    rows.append(("products a step at 1e-8", both(1e-8, lambda walk: statistics.mean(walk.products)), "15"))
    for (name, ratio), least in zip(ratios.items(), (10, 30, 350)):
        rows.append((f"{name} against a step at 1e-4", f"{ratio:.0f} x", f">= {least} x"))
    print(f"\n{'gradient-equivalents, rho = 2e-2 / 5e-2':52s} {'measured':>14s} {'goal':>9s}")
    for name, found, goal in rows:
        print(f"{name:52s} {found:>14s} {goal:>9s}")


def main(device: str = "cpu", precision: str = "", part: str = "") -> None:
    torch.set_num_threads(2)
    vae = digits_vae(like(device))
    print(f"digits VAE, 600 digits, 8 Sobol points, float64, {machine(vae.data.source.x.device)}")
    if precision:
        objective = replace(vae, weight_prior_precision=float(precision))
        {"response": response, "path": paths, "starts": starts}[part](objective)
        return
    begun, walks, ratios = [], {}, dict[str, float]()
    for rho in STRENGTHS:
        print(f"rho = {rho:g}")
        objective = replace(vae, weight_prior_precision=rho)
        theta, spent = start(objective)
        begun.append(spent)
        for tolerance in (1e-4, 1e-8):
            walks[rho, tolerance] = path(objective, theta, tolerance, "quasi_newton")
        ratios = ratios or baselines(objective, walks[rho, 1e-4])
    table(begun, walks, ratios)


if __name__ == "__main__":
    main(*sys.argv[1:])
