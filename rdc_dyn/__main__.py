"""Entry point of `python -m rdc_dyn`."""

from rdc_dyn.cli import main

main(prog_name="rdc-dyn")
