"""Subcommands of `rdc-dyn`, a module each; they import what they need when they are called."""
