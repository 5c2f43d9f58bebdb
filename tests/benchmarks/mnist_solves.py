"""A u = (b_λ, b_γ) for a VAE of 239,990 parameters on MNIST: products with each preconditioner, at a point, on a path.

`python -m tests.benchmarks.mnist_solves [DEVICE] [IMAGES] [MNIST_ROOT] [MINIBATCH_STEPS] [FULL_STEPS]`. MNIST_ROOT
holds the folder MNIST; `-` stands for the default.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import GaussNewton
from rdc_dyn.curvature.kfac import Kfac
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import State
from rdc_dyn.dynamics.correctors.gradient import schedule
from rdc_dyn.linalg import ConjugateGradient, LinearSolution, Minres, Nystrom, Preconditioner, Recipe, SymmetricOperator
from rdc_dyn.objective import Amortised
from tests.benchmarks.models import like, mnist, mnist_vae
from tests.benchmarks.timing import machine, seconds
from tests.problems import controls, generator

RTOL = 1e-3
LAM, GAMMA = 0.25, 4.0
#: Ten points, each two per cent further in both multipliers.
POINTS, STEP = 10, 0.02
RANKS = (100, 400)
CORES = (0, 1000, 4000)
MEMORIES = (20, 50, 100)
BATCH = 256
#: More products for one right-hand side than anything that is of use.
MOST = {"Gauss-Newton + rho": 5000, "Hessian": 300}

Solver = Callable[[Preconditioner], ConjugateGradient | Minres]


class GaussNewtonThere(GaussNewton):
    """With its state, which `Kfac` asks for."""

    @property
    def theta(self) -> Tensor:
        return self._theta

    @property
    def controls(self) -> Tensor:
        return self._controls


@dataclass(frozen=True)
class Point:
    """A state with both operators; they are made anew when they are asked for, so that one graph at a time is kept."""

    objective: Amortised
    state: State

    @property
    def operators(self) -> Mapping[str, Callable[[], SymmetricOperator]]:
        free_energy, theta, at = FreeEnergy(self.objective, Work()), self.state.theta, self.state.controls
        return {
            "Gauss-Newton + rho": lambda: GaussNewtonThere(self.objective, Work(), theta, at),
            "Hessian": lambda: free_energy.linearise(theta, at),
        }

    def rhs(self) -> Tensor:
        return FreeEnergy(self.objective, Work()).linearise(self.state.theta, self.state.controls).mixed[:2]


def adam(free_energy: FreeEnergy, state: State, steps: int, rate: float, batch: int | None = None) -> State:
    """Adam on minibatches or on all data; J may rise."""
    theta, draws = state.theta.clone(), generator()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for k in range(1, steps + 1):
        part = free_energy if batch is None else free_energy.minibatch(batch, draws)
        _, theta.grad = part.gradient(theta, state.controls)
        optimiser.param_groups[0]["lr"] = schedule(k, steps, rate)
        optimiser.step()
    return State(theta.detach(), state.controls)


def trained(objective: Amortised, at: Tensor, minibatch_steps: int, full_steps: int) -> Point:
    """Adam on minibatches, then on all data."""
    free_energy = FreeEnergy(objective, Work())
    state = State(objective.initial(generator()), at)
    state = adam(free_energy, state, minibatch_steps, 3e-3, min(BATCH, len(objective.data.source)))
    state = adam(free_energy, state, full_steps, 1e-3)
    value, gradient = free_energy.gradient(state.theta, at)
    print(f"{minibatch_steps} + {full_steps} Adam steps: J = {value:.4f}, |grad J| = {float(gradient.norm()):.1e}")
    return Point(objective, state)


def recipes(objective: Amortised) -> dict[str, Recipe | None]:
    rho = objective.weight_prior_precision
    found: dict[str, Recipe | None] = {"none": None}
    found |= {f"nystrom {rank}": Nystrom(rank, rho) for rank in RANKS}
    found |= {f"kfac, core of {rank}": Kfac(objective, rank) for rank in CORES}
    return found


def solver_for(name: str, operator: SymmetricOperator, rhs: Tensor) -> Solver:
    """Conjugate gradients, or MINRES where they meet negative curvature."""
    most = MOST[name]
    plain = ConjugateGradient(RTOL, most, preconditioner=Preconditioner(memory=0)).solve(operator, rhs)
    if plain.failure is not None and plain.failure.name == "INDEFINITE":
        print(f"{name}: indefinite, found after {plain.iterations} products; MINRES from here on")
        return lambda preconditioner: Minres(RTOL, most, preconditioner=preconditioner)
    return lambda preconditioner: ConjugateGradient(RTOL, most, preconditioner=preconditioner)


def solved(
    solver: ConjugateGradient | Minres, operator: SymmetricOperator, rhs: Tensor
) -> tuple[LinearSolution, float]:
    """The solution and its seconds."""
    found: list[LinearSolution] = []
    elapsed = seconds(lambda: found.append(solver.solve(operator, rhs)), rhs.device)
    return found[0], elapsed


def at_a_point(point: Point, name: str) -> Solver:
    """A table of first solves, each with a preconditioner built there."""
    operator, rhs = point.operators[name](), point.rhs()
    solver = solver_for(name, operator, rhs)
    print(f"\n{name}, one solve for both right-hand sides to {RTOL:g}")
    print(f"{'preconditioner':24s} {'products':>9s} {'ratio':>7s} {'s':>8s} {'build: products':>16s} {'s':>8s}")
    plain = math.nan
    for label, recipe in recipes(point.objective).items():
        preconditioner = Preconditioner(recipe, memory=0)
        build = seconds(lambda p=preconditioner: p.prepare(operator), rhs.device)  # type: ignore[misc]
        solution, elapsed = solved(solver(preconditioner), operator, rhs)
        plain = solution.iterations if label == "none" else plain
        print(
            f"{label:24s} {solution.iterations:9d} {plain / solution.iterations:7.1f} {elapsed:8.2f} "
            f"{preconditioner.products:16d} {build:8.2f}{_fate([solution])}",
            flush=True,
        )
    return solver


def _fate(solutions: list[LinearSolution]) -> str:
    failures = {s.failure.name for s in solutions if s.failure is not None}
    return f"   {', '.join(sorted(failures))}" if failures else ""


def path(start: Point, adam_steps: int) -> Iterator[Point]:
    """θ moved by the tangent of the Gauss-Newton matrix, and some Adam steps; the same for all that is measured."""
    objective, point = start.objective, start
    free_energy = FreeEnergy(objective, Work())
    solver = ConjugateGradient(
        RTOL, MOST["Gauss-Newton + rho"], preconditioner=Preconditioner(Kfac(objective, 1000), 50, 1.0)
    )
    for number in range(POINTS):
        yield point
        if number + 1 < POINTS:
            tangent = solver.solve(point.operators["Gauss-Newton + rho"](), point.rhs()).value
            change = STEP * start.state.controls
            moved = State(point.state.theta + change[:2] @ tangent, point.state.controls + change)
            point = Point(objective, adam(free_energy, moved, adam_steps, 1e-4))


def along(points: list[Point], name: str, solver: Solver) -> None:
    """Products at each point with what was built at the first one, and with pairs that solves leave behind."""
    candidates: dict[str, Preconditioner] = {}
    for label, recipe in recipes(points[0].objective).items():
        memories = (0, *MEMORIES) if recipe is None else (0, 50)
        for memory in memories:
            both = (
                label if not memory else f"{label}, {memory} pairs" if recipe is not None else f"{memory} pairs alone"
            )
            candidates[both] = Preconditioner(recipe, memory, patience=math.inf)
    solutions: dict[str, list[LinearSolution]] = {label: [] for label in candidates}
    times = dict.fromkeys(candidates, 0.0)
    for point in points:
        operator, rhs = point.operators[name](), point.rhs()
        for label, preconditioner in candidates.items():
            preconditioner.prepare(operator)
            solution, elapsed = solved(solver(preconditioner), operator, rhs)
            solutions[label].append(solution)
            times[label] += elapsed
    print(f"\n{name}, {len(points)} points, each {100 * STEP:g} per cent further, preconditioners built at the first")
    print(f"{'preconditioner':34s} {'products, 2nd on':>16s} {'ratio':>7s} {'s':>8s}   each")
    counts = {label: [s.iterations for s in found] for label, found in solutions.items()}
    plain = sum(counts["none"][1:])
    for label, count in counts.items():
        total = sum(count[1:])
        ratio, fate = plain / total, _fate(solutions[label])
        print(f"{label:34s} {total:16d} {ratio:7.1f} {times[label]:8.2f}   {count}{fate}", flush=True)


def main(
    device: str = "cpu", images: int = 2000, root: str = "-", minibatch_steps: int = 2000, full_steps: int = 200
) -> None:
    torch.set_num_threads(2)
    number = like(device)
    data, source = mnist(number, images, None if root == "-" else Path(root))
    objective = mnist_vae(data)
    print(f"{objective.size} parameters, {images} images ({source}), rho = 1e-2, float64, {machine(number.device)}")
    start = trained(objective, controls(LAM, GAMMA).to(number), minibatch_steps, full_steps)
    solvers = {name: at_a_point(start, name) for name in MOST}
    points = list(path(start, adam_steps=20))
    for name, solver in solvers.items():
        if isinstance(solver(Preconditioner()), ConjugateGradient):
            along(points, name, solver)
        else:
            print(f"\n{name}: indefinite at the first point; no path of solutions to follow with it")


if __name__ == "__main__":
    given: list[Any] = list(sys.argv[1:])
    main(*given[:1], *map(int, given[1:2]), *given[2:3], *map(int, given[3:5]))
