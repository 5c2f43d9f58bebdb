"""What glibc does with large blocks that are freed, told from the pages that come in when they are allocated again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import rdc_dyn
from rdc_dyn.running import allocator, build
from rdc_dyn.scenario import from_mapping
from rdc_dyn.status import UserError
from tests.tiny import linear_gaussian

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

_ROOT = Path(rdc_dyn.__file__).parents[1]
_BLOCKS = 3
#: Prints what is in force, and the page faults of blocks of 40 MB (glibc by itself comes to keep up to 32 MiB).
_RUN = f"""
import resource
from rdc_dyn.running.allocator import keep_large_blocks

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

print(keep_large_blocks())
b"x" * 40_000_000
before = faults()
for _ in range({_BLOCKS}):
    b"x" * 40_000_000
print(faults() - before)
"""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "keeping large blocks"),
        ({"RDC_DYN_ALLOCATOR": "system"}, "as it is (because of RDC_DYN_ALLOCATOR)"),
        ({"MALLOC_ARENA_MAX": "1"}, "as it is (because of MALLOC_ARENA_MAX)"),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, "as it is (because of GLIBC_TUNABLES)"),
    ],
)
def test_blocks_are_kept_unless_the_environment_says_otherwise(variables: dict[str, str], words: str) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    environment = inherited | {"RDC_DYN_ALLOCATOR": "keep", "PYTHONPATH": str(_ROOT)} | variables
    done = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True, env=environment)
    said, faults = done.stdout.splitlines()
    assert said == f"glibc's, {words}"
    assert (int(faults) < _BLOCKS) == (words == "keeping large blocks")


def test_an_unknown_choice_is_a_mistake_of_the_user_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(allocator.VARIABLE, "jemalloc")
    with pytest.raises(UserError, match="RDC_DYN_ALLOCATOR: 'jemalloc' is unknown; expected keep or system"):
        build.build(from_mapping(linear_gaussian()), tmp_path)


def test_another_malloc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_malloc", id)
    assert allocator.keep_large_blocks() == "another one in place of glibc's, as it is"
