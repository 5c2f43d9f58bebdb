"""How a run ends: every numerical outcome is a `Status` whose value is the sentence that a user reads."""

from __future__ import annotations

import html
import re
import sys
import traceback
import warnings
from enum import Enum, IntEnum

#: Escape sequences of terminals, and characters that move the cursor or turn the direction of writing.
_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """Text that may come from strangers' files without what would command the terminal that shows it."""
    return _CONTROL.sub("", text)


def first_line(error: BaseException) -> str:
    """The type of an exception and the first line of its message."""
    try:
        text = str(error)
    except Exception:  # the user's __str__ may raise anything
        text = ""
    line = plain(text).strip().partition("\n")[0][:200]
    return type(error).__name__ + f": {line}" * bool(line)


def escaped(text: str) -> str:
    """Text that may come from strangers' files, as a part of a page of HTML."""
    return html.escape(plain(text))


def in_words(status: str) -> str:
    """The name of a status as it stands in a sentence."""
    return status.lower().replace("_", " ")


def sentence(status: str, message: str, detail: str | None) -> str:
    """How a run ended, in one line; `status` is the name of a `Status` and `message` its value."""
    return f"{in_words(status)}: {message}" + (f" ({detail})" if detail else "")


class ExitCode(IntEnum):
    """How a command ends, as scripts see it."""

    COMPLETE = 0, "complete"
    USAGE = 2, "a mistake in the command or the scenario"
    NUMERICAL = 3, "a numerical stop; the trajectory is kept and its status says why"
    DATA = 4, "data or files that cannot be used"
    LIMIT = 5, "stopped by a limit; `rdc-dyn resume` goes on"
    SWEEP = 6, "a sweep with runs that failed or are missing"
    SIGINT = 130, "stopped by SIGINT (Ctrl-C), after a checkpoint"
    SIGTERM = 143, "stopped by SIGTERM, after a checkpoint"
    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """A number with its meaning."""
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like SIGINT but with its own exit code."""

    exit_code = ExitCode.SIGTERM


class Status(Enum):
    """Outcome of a solve, a correction, a step or a whole run; the value says what to try next."""

    COMPLETED = "the process ran to the end of its span"
    TIME_LIMIT = "stopped by the time limit; what was computed is kept"
    INTERRUPTED = "stopped by a signal; what was computed is kept"
    NOT_AT_EQUILIBRIUM = (
        "the start is not an equilibrium: the gradient of J did not reach the tolerance or A is indefinite; raise "
        "start.equilibrate.newton_steps or objective.weight_prior_precision, or try another seed"
    )
    INDEFINITE = (
        "A has a negative eigenvalue: theta is not a minimum of J, a branch of minima may end here; shorten "
        "integrator.step_size, use a corrector, set process.on_fold to relax or raise objective.weight_prior_precision"
    )
    SINGULAR = "A is singular and the right-hand side is not in its range; raise objective.weight_prior_precision"
    KRYLOV_MAX_ITERATIONS = (
        "the linear solve did not reach its tolerance; raise response.solver.max_iterations, use the factorised "
        "or nystrom preconditioner or loosen response.solver.rtol"
    )
    KRYLOV_STAGNATED = (
        "rounding keeps the linear solve from its tolerance, or A is singular; loosen response.solver.rtol, use dtype "
        "float64 or raise objective.weight_prior_precision"
    )
    NON_FINITE = "a loss, gradient or vector field became NaN or infinite; shorten integrator.step_size"
    CORRECTOR_DIVERGED = (
        "the corrector did not return to the equilibrium surface; shorten integrator.step_size, raise "
        "corrector.max_iterations or set process.on_fold to relax"
    )
    STEP_UNDERFLOW = (
        "the step size fell below its smallest value: the branch of minima ends here or the surface is too curved; "
        "set process.on_fold to relax, or start elsewhere"
    )
    EVALUATION_LIMIT = (
        "the integrator used its budget of vector field evaluations in one segment; loosen integrator.rtol and "
        "integrator.atol, or tighten response.solver.rtol"
    )
    DEGENERATE_CONSTRAINT = (
        "the held functional no longer depends on the multipliers (C_lam and C_gamma are zero to rounding, or known to "
        "be nearly so), so the process has no direction; start at a larger lam or smaller gamma"
    )
    SINGULAR_GEODESIC = (
        "the equations of the geodesic become singular: 1 + k lam reaches zero, so that the line has the slope of the "
        "iso-classification curve, or (D, C) no longer determine (lam, gamma); choose another process.slope"
    )
    FOLD = (
        "a fold: the branch of minima ends where the smallest eigenvalue of A reaches zero; set process.on_fold to "
        "relax or follow to go on, or start elsewhere"
    )
    BRANCH_POINT = (
        "a branch point, such as a pitchfork where a code begins or ceases to be used, or a level set that crosses a "
        "line of folds: an eigenvalue of A passes through zero; set process.on_fold to relax or follow to go on"
    )
    BRANCH_LOST = (
        "the corrector went to another branch of equilibria; shorten integrator.step_size, or set process.on_fold to "
        "relax"
    )
    OUT_OF_MEMORY = (
        "the device has too little memory, also for smaller blocks of data; lower linearisation.memory, use float32 or "
        "a preconditioner with a lower rank, or fewer data"
    )
    NOT_HELD = (
        "the multipliers do not bring what the process holds back to its value; lower corrector.learning_rate "
        "(for wide networks above all), raise corrector.updates or corrector.epochs, shorten integrator.step_size, or "
        "hold a value that the model can reach"
    )
    DIVERGED = (
        "the processes no longer compute the same numbers; give each the same kind of machine, the same libraries and "
        "number of threads, and no randomness of its own"
    )
    BOUND_REACHED = "a multiplier would become negative; the process ends at the boundary of the surface"

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command line for a run that ends with this status."""
        ends = {
            Status.COMPLETED: ExitCode.COMPLETE,
            Status.TIME_LIMIT: ExitCode.LIMIT,
            Status.INTERRUPTED: ExitCode.SIGINT,
        }
        return ends.get(self, ExitCode.NUMERICAL)


# The body of an Enum may not hold such a name.
Status._repr_html_ = lambda own: f"<code>{own.name}</code>: {escaped(own.value)}"  # type: ignore[attr-defined]

#: Statuses from which a run can be resumed: they say nothing about its scenario.
RESUMABLE = frozenset({Status.TIME_LIMIT.name, Status.INTERRUPTED.name, Status.DIVERGED.name})


class NumericalFailure(Exception):  # noqa: N818  # a failure, not an error of the program
    """Carries a `Status` through code that can only return values, such as an ODE solver; the integrator catches it."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(status.value + (f" ({detail})" if detail else ""))
        self.status = status
        self.detail = detail


class Diverged(Exception):  # noqa: N818  # a state of the run, like a signal
    """The processes of a run no longer compute the same numbers."""


class RunWarning(UserWarning):
    """A run ended early, its result should not be trusted as it stands, or what watches it has failed."""


def warn(text: str) -> None:
    """Issue a `RunWarning` at the line outside this package from which it was called."""
    names = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(sys._getframe())]
    inside = max(k for k, name in enumerate(names) if name.partition(".")[0] == __name__.partition(".")[0])
    warnings.warn(text, RunWarning, stacklevel=inside + 2)


class UserError(Exception):
    """A mistake of the user or in the data, reported in one line without a traceback.

    Args:
        message: What is wrong, where, and what was expected.
        exit_code: 2 for usage and scenarios, 4 for data and I/O.
    """

    def __init__(self, message: str, exit_code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [plain(f"{type(self).__name__}: {self}")]


class DataError(UserError):
    """Data or files that cannot be used (exit code 4).

    Args:
        message: What is wrong, where, and what was expected.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.DATA)
