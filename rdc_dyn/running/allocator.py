"""Keep large blocks of memory: glibc returns them to the system when they are freed, and each then faults in anew."""

import ctypes
import os
import platform

from rdc_dyn.status import UserError

VARIABLE = "RDC_DYN_ALLOCATOR"
#: M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3), with the values that switch both ways of returning memory off.
_KEEP = ((-1, -1), (-4, 0))


def keep_large_blocks() -> str:
    """Let this process keep the memory that it frees, unless it is asked not to, and say in words what is in force.

    Environment variables for glibc's malloc, and another malloc in its place, are left to do what they do.
    """
    choice = os.environ.get(VARIABLE, "keep")
    if choice not in ("keep", "system"):
        raise UserError(f"{VARIABLE}: {choice!r} is unknown; expected keep or system")
    if platform.libc_ver()[0] != "glibc":
        return "the system's, as it is (only glibc's is changed)"
    glibc = ctypes.CDLL("libc.so.6")
    if _malloc(glibc) != _malloc(ctypes.CDLL(None)):
        return "another one in place of glibc's, as it is"
    own = sorted(name for name in os.environ if name.startswith("MALLOC_"))
    own += ["GLIBC_TUNABLES"] * ("glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""))
    own += [VARIABLE] * (choice == "system")
    if own:
        return f"glibc's, as it is (because of {', '.join(own)})"
    refused = [parameter for parameter, value in _KEEP if not glibc.mallopt(parameter, value)]
    return f"glibc's, which refused mallopt {refused}" if refused else "glibc's, keeping large blocks"


def _malloc(library: ctypes.CDLL) -> int | None:
    """The address of the function that a library, or the whole program, calls malloc."""
    return ctypes.cast(library.malloc, ctypes.c_void_p).value
