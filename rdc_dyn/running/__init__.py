"""A scenario becomes a trajectory: build, record, stop, resume."""
