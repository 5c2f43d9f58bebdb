"""Trajectories as a reader meets them: the accessor, identities, plots, reports, verification."""
