"""Checks between sections that control how a path is followed: response, integrator, corrector, start.equilibrate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdc_dyn.scenario.problems import Finding
from rdc_dyn.scenario.schema import ADAPTIVE_METHODS
from rdc_dyn.scenario.tree import Tree, number, section

_WITHOUT_CURVATURE = ("secant", "secant_filter", "finite_difference", "none")
#: Correctors that record means over epochs of minibatches.
_STOCHASTIC = ("primal_dual", "geco", "nupi")


def _adaptive_steps(tree: Tree) -> Iterator[Finding]:
    integrator = section(tree, "integrator")
    if integrator.get("method") not in ADAPTIVE_METHODS:
        return
    free = "rtol" in integrator and integrator["rtol"] is None
    if free and integrator.get("step_size") is None:
        yield Finding(("integrator", "step_size"), "missing; with rtol: null the steps are fixed and need a size")
    if not free and "atol" in integrator and integrator["atol"] is None:
        yield Finding(("integrator", "atol"), "null only together with rtol: null, which means fixed steps")


def _rank_of_nystrom(tree: Tree) -> Iterator[Finding]:
    solver = section(tree, "response", "solver")
    if solver.get("rank") is not None and solver.get("preconditioner", "factorised") not in ("nystrom", "kfac"):
        yield Finding(("response", "solver", "rank"), "only with preconditioner: nystrom or kfac", at_key=True)


def _matrix_of_preconditioner(tree: Tree) -> Iterator[Finding]:
    solver, kind = section(tree, "response", "solver"), section(tree, "objective").get("kind")
    if solver.get("curvature") != "gauss_newton":
        return
    path, preconditioner = ("response", "solver", "curvature"), solver.get("preconditioner", "factorised")
    if preconditioner == "kfac":
        yield Finding(path, "kfac is of the Gauss-Newton matrix always; leave it out", at_key=True)
    elif preconditioner == "none":
        yield Finding(path, "only with preconditioner: factorised or nystrom", at_key=True)
    elif kind != "amortised":
        message = (
            f"gauss_newton needs a loss that is convex in the outputs of networks, and {kind!r} has none; use hessian"
        )
        yield Finding(path, message)


def _response_without_curvature(tree: Tree) -> Iterator[Finding]:
    """Without a response that uses A, refuse options that need A and a corrector that leaves theta in place."""
    kind, process, corrector = section(tree, "response").get("kind"), section(tree, "process"), tree.get("corrector")
    if kind not in _WITHOUT_CURVATURE:
        return
    if process.get("on_fold") == "follow":
        message = f"follow needs A, which response.kind {kind} does without; use linear_response, stop or relax"
        yield Finding(("process", "on_fold"), message)
    if process.get("look_ahead") is True:
        message = f"true needs A, which response.kind {kind} does without; use linear_response or false"
        yield Finding(("process", "look_ahead"), message)
    if isinstance(corrector, dict) and corrector.get("method") == "none":
        message = f"none leaves theta where it is, and with response.kind {kind} only corrections move it"
        yield Finding(("corrector", "method"), message)


def _response_for_process(tree: Tree) -> Iterator[Finding]:
    kind = section(tree, "process").get("kind")
    if section(tree, "response").get("kind") == "none" and kind not in (None, "prescribed"):
        message = f"none goes with process.kind: prescribed; {kind} needs to know how C answers to the multipliers"
        yield Finding(("response", "kind"), message)


def _pull(tree: Tree) -> Iterator[Finding]:
    """Check that the pull towards the held values is stable and does not duplicate a corrector that restores them."""
    corrector, integrator = section(tree, "corrector"), section(tree, "integrator")
    rate, step = number(corrector.get("baumgarte")), number(integrator.get("step_size"))
    if not rate:
        return
    if corrector.get("method") == "newton_krylov" and corrector.get("hold_constraint", True) is True:
        message = "only with hold_constraint: false; Newton's corrector restores what is held itself"
        yield Finding(("corrector", "baumgarte"), message, at_key=True)
    elif integrator.get("method") == "euler" and step and step > 0 and rate * step > 1 + 1e-12:
        message = f"must be <= 1 / integrator.step_size, which is {1 / step:g}, or Euler overshoots, got {rate:g}"
        yield Finding(("corrector", "baumgarte"), message)


def _minibatches(tree: Tree) -> Iterator[Finding]:
    """Refuse minibatches for an objective without data."""
    if section(tree, "objective").get("kind") != "linear_gaussian":
        return
    method = section(tree, "corrector").get("method")
    if method in _STOCHASTIC:
        message = f"{method} draws minibatches, and the objective 'linear_gaussian' has no data; use newton_krylov"
        yield Finding(("corrector", "method"), message)
        return
    places = (("corrector", "batch"), ("start", "equilibrate", "batch"))
    for path in places:
        if section(tree, *path[:-1]).get(path[-1]) is not None:
            yield Finding(path, "the objective 'linear_gaussian' has no data to draw from; leave it out", at_key=True)
    if section(tree, "corrector").get("method") == "variance_reduced":
        message = "variance_reduced draws minibatches, and the objective 'linear_gaussian' has no data"
        if section(tree, "corrector").get("batch") is None:
            yield Finding(("corrector", "method"), message)


def _means_of_epochs(tree: Tree) -> Iterator[Finding]:
    """Check the response and the process that go with a corrector that averages over epochs of minibatches."""
    corrector, response = section(tree, "corrector"), section(tree, "response").get("kind")
    method, process = corrector.get("method"), section(tree, "process")
    if method not in _STOCHASTIC:
        return
    if response in ("secant", "finite_difference"):
        message = f"{response} does not know the noise of means of epochs; with {method} use secant_filter"
        yield Finding(("response", "kind"), message)
    if process.get("on_fold") in ("relax", "follow"):
        message = f"{process['on_fold']} needs an equilibrium to rounding, and {method} has means of epochs; use stop"
        yield Finding(("process", "on_fold"), message)
    given = process.get("kind") in ("prescribed", "iso_classification_transfer") or process.get("clock") == "lam"
    if method in ("geco", "nupi") and not given:
        message = f"{method} moves one multiplier, so that gamma alone must be free: process.clock: lam"
        yield Finding(("corrector", "method"), message)
    if process.get("toward") is not None:
        message = f"needs equilibria to rounding at both ends, and {method} has means of epochs; give process.slope"
        yield Finding(("process", "toward"), message, at_key=True)


def _fresh_noise(tree: Tree) -> Iterator[Finding]:
    """Refuse fresh noise, which is drawn for each minibatch, where the corrector or the start needs frozen noise."""
    objective, corrector = section(tree, "objective"), section(tree, "corrector")
    if objective.get("noise") != "fresh":
        return
    method = corrector.get("method", "none")
    if method not in (*_STOCHASTIC, "none") and not (method == "gradient" and corrector.get("batch") is not None):
        message = f"fresh is drawn for each minibatch, and the corrector {method} takes frozen noise; use primal_dual"
        yield Finding(("objective", "noise"), message)
    elif section(tree, "start", "equilibrate").get("newton_steps", 1) != 0:
        message = "fresh has no Newton steps at the start; set start.equilibrate.newton_steps to 0"
        yield Finding(("objective", "noise"), message)


def _relaxing(tree: Tree) -> Iterator[Finding]:
    """Check that on_fold: relax, which descends by the minimiser of the start, has Newton steps for it."""
    steps = section(tree, "start", "equilibrate").get("newton_steps")
    if type(steps) is int and steps == 0 and section(tree, "process").get("on_fold") == "relax":
        yield Finding(("process", "on_fold"), "relax descends by start.equilibrate.newton_steps, which is 0; use stop")


NUMERICAL_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    _adaptive_steps,
    _rank_of_nystrom,
    _matrix_of_preconditioner,
    _response_without_curvature,
    _response_for_process,
    _pull,
    _minibatches,
    _means_of_epochs,
    _fresh_noise,
    _relaxing,
)
