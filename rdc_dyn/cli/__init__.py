"""The command `rdc-dyn`: a module for each subcommand."""

from rdc_dyn.cli.program import main
