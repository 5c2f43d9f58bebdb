"""Subcommands of `rdc-dyn`, one module each; they import what they need when they are called."""
