"""`rdc-dyn verify`: check the digests, the clock and the identities of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.help import LIGHT, Documented
from rdc_dyn.cli.shared import PLACE, tell
from rdc_dyn.status import ExitCode


@click.command(
    cls=Documented,
    examples=("rdc-dyn verify runs/my",),
    exits=LIGHT
    | {ExitCode.NUMERICAL: "an identity of the theory does not hold", ExitCode.DATA: "a file is damaged or missing"},
)
@click.argument("run_directory", metavar="RUN", type=PLACE, shell_complete=completion.run)
def verify(run_directory: Path) -> None:
    """Check all digests of RUN, its clock and the identities of the theory."""
    from rdc_dyn.read.verify import verify as look

    found = look(run_directory)
    width = max(len(finding.name) for finding in found)
    for finding in found:
        tell(f"{finding.verdict:<6}  {finding.name:<{width}}  {finding.detail}")
    failed = {finding.kind for finding in found if finding.verdict == "FAILED"}
    sys.exit(ExitCode.DATA if "files" in failed else ExitCode.NUMERICAL if failed else ExitCode.COMPLETE)
