"""A digits VAE of 2,110 parameters: to equilibrium from scratch, and along a path of constant C, in gradients spent.

`python -m tests.benchmarks.digits_vae [DEVICE] [RHO] [PART ...]` with the parts baselines, also where none is named;
`response`, against finite differences; `path`, which walks it by Newton-Krylov too; and `starts`, which does so from
three starts. All is counted, not timed; a product A v counts as 1.25 gradients, about what it takes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
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
from rdc_dyn.simulate import Point, Problem, simulate
from tests.benchmarks.models import digits_vae, like
from tests.benchmarks.timing import machine
from tests.problems import controls, generator

#: Gradients that a product is counted as.
PRODUCT = 1.25
POINTS, ARC = 40, 1.0
LAM, GAMMA = 0.5, 4.0
MEMORY = 300


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


def start(objective: Amortised, seed: int = 0) -> Tensor:
    """From scratch to |∇J| ≤ 1e-8 with A ≻ 0."""
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
    return minimum.at.theta


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
    thetas = [start(objective, seed) for seed in range(3)]
    for tolerance, method in product((1e-4, 1e-8), ("newton_krylov", "quasi_newton")):
        walks = [path(objective, theta, tolerance, method) for theta in thetas]
        calm = statistics.median(statistics.mean(walk.regular) for walk in walks)
        products = statistics.median(statistics.mean(walk.products) for walk in walks)
        print(
            f"{method} at {tolerance:g}, medians over {len(walks)} starts: {products:.1f} products a step; "
            f"gradient-equivalents {statistics.median(walk.mean for walk in walks):.1f}, a regular step {calm:.1f}",
            flush=True,
        )


def _spread(numbers: list[float]) -> str:
    return f"mean {statistics.mean(numbers):.1f}, median {statistics.median(numbers):.1f}, at most {max(numbers):.0f}"


def lbfgs(free_energy: FreeEnergy, state: State, tolerance: float, most: int) -> tuple[Tensor, float, int]:
    """torch's L-BFGS with strong Wolfe line search and 50 pairs; θ, |∇J| and gradients spent."""
    theta = state.theta.clone().requires_grad_()
    norm, count = [float("inf")], [0]

    def closure() -> float:
        count[0] += 1
        value, theta.grad = free_energy.gradient(theta.detach(), state.controls)
        norm[0] = float(theta.grad.norm())
        return value

    while norm[0] > tolerance and count[0] < most:
        before = count[0]
        optimiser = torch.optim.LBFGS(
            [theta], max_iter=500, history_size=50, tolerance_grad=0.0, tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )  # fmt: skip
        for _ in range(500):
            optimiser.param_groups[0]["max_iter"] = 1
            optimiser.step(closure)
            if norm[0] <= tolerance or count[0] >= most:
                break
        if count[0] - before < 5:
            break  # the line search no longer finds a lower J
    return theta.detach(), norm[0], count[0]


def warm_adam(free_energy: FreeEnergy, state: State, tolerance: float, most: int) -> tuple[float, int]:
    """Adam at 1e-3, a tenth of it after each third of the budget; best |∇J| and gradients spent."""
    theta, best = state.theta.clone(), float("inf")
    optimiser = torch.optim.Adam([theta], lr=1e-3)
    for step in range(most):
        _, theta.grad = free_energy.gradient(theta, state.controls)
        best = min(best, float(theta.grad.norm()))
        if best <= tolerance:
            return best, step + 1
        optimiser.param_groups[0]["lr"] = 1e-3 * 0.1 ** (3 * step // most)
        optimiser.step()
    return best, most


def baselines(objective: Amortised, walk: Walk, tolerance: float = 1e-4) -> None:
    """Three steps by warm-started L-BFGS and Adam, and a point from scratch; limits make lower bounds."""
    free_energy, points, ours = FreeEnergy(objective, Work()), walk.points, walk.mean
    counts: dict[str, list[int]] = {"L-BFGS": [], "Adam": []}
    for index in (len(points) * sixths // 6 for sixths in (1, 3, 5)):
        before, after = points[index - 1], points[index]
        state = State(before.at.theta, after.at.controls)
        by_lbfgs = lbfgs(free_energy, state, tolerance, 1_500)[1:]
        by_adam = warm_adam(free_energy, state, tolerance, 3_000)
        for name, (norm, count) in (("L-BFGS", by_lbfgs), ("Adam", by_adam)):
            counts[name].append(count)
            _report(f"{name}, step {index} of {after.time - before.time:.3f}", norm, count, ours, tolerance)
    for name, found in counts.items():
        middle = statistics.median(found)
        print(f"{name}: median {middle:.0f} gradients or more, {middle / ours:.0f} x ours, folds included")
    made = engine(objective, None, tolerance)
    _report("Adam from scratch", *warm_adam(free_energy, made.problem.start, tolerance, 18_500), ours, tolerance)


def _report(name: str, norm: float, count: int, ours: float, tolerance: float) -> None:
    bound = "" if norm <= tolerance else "at least "
    print(
        f"{name}: |grad J| {norm:.1e} after {count} gradients: {bound}{count / ours:.0f} x ours ({ours:.0f})",
        flush=True,
    )


def response(objective: Amortised, points: list[Point]) -> None:
    """C_λ and C_γ at the points of a path: linear response with the first point's factor against differences (31)."""
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


def main(device: str = "cpu", precision: str = "2e-2", *parts: str) -> None:
    torch.set_num_threads(2)
    objective = replace(digits_vae(like(device)), weight_prior_precision=float(precision))
    print(
        f"digits VAE, 600 digits, 8 Sobol points, rho = {precision}, float64, {machine(objective.data.source.x.device)}"
    )
    if "starts" in parts:
        starts(objective)
        return
    theta = start(objective)
    walks: dict[tuple[float, str], Walk] = {}
    for tolerance, method in product((1e-4, 1e-8), ("newton_krylov", "quasi_newton")):
        if "path" in parts or method == "quasi_newton":
            walks[tolerance, method] = path(objective, theta, tolerance, method)
    if not parts or "baselines" in parts:
        baselines(objective, walks[1e-4, "quasi_newton"])
    if "response" in parts:
        response(objective, walks[1e-8, "quasi_newton"].points[:3])


if __name__ == "__main__":
    main(*sys.argv[1:])
