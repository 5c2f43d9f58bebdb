"""The solver of a response that does not solve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rdc_dyn.scenario.families import SOLVERS, SolverSection

ROLE = "of the corrector newton_krylov, and the preconditioner of variance_reduced"
Solver = Annotated[SolverSection, SOLVERS, Field(description=ROLE)]
