"""`rdc-dyn verify`: check the digests, the clock and the identities of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rdc_dyn.cli.shared import PLACE, tell


@click.command()
@click.argument("run_directory", metavar="RUN", type=PLACE)
def verify(run_directory: Path) -> None:
    """Check all digests of RUN, its clock and the identities of the theory.

    Exit code 4 where a file is damaged, 3 where an identity does not hold.
    """
    from rdc_dyn.read.verify import verify as look

    found = look(run_directory)
    width = max(len(finding.name) for finding in found)
    for finding in found:
        tell(f"{finding.verdict:<6}  {finding.name:<{width}}  {finding.detail}")
    failed = {finding.kind for finding in found if finding.verdict == "FAILED"}
    sys.exit(4 if "files" in failed else 3 if failed else 0)
