"""The command `rdc-dyn`: a module for each subcommand, or for a few that are alike."""

from rdc_dyn.cli.program import main
