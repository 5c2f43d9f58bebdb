"""Verify a run directory: files against their digests, points against the identities of the theory."""

from rdc_dyn.read.verify.finding import Finding
from rdc_dyn.read.verify.run import verify
