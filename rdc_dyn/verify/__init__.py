"""What a run directory says of itself is checked: bytes by their digests, points by the identities of the theory."""

from rdc_dyn.verify.finding import Finding
from rdc_dyn.verify.run import verify

__all__ = ["Finding", "verify"]
