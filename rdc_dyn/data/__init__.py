"""Samples of (x, y): readers, selections, couplings and checks."""
