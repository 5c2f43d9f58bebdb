"""Processes that share the data of J."""
