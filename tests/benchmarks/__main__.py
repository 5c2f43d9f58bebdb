"""Benchmarks that a CPU can run in ten minutes; others by name: `python -m tests.benchmarks [NAME ...]`."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("products", "two_processes", "loop_overhead", "sweep", "digits_vae", "updates")


def main(*names: str) -> int:
    worst = 0
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        worst = max(
            worst, subprocess.run([sys.executable, "-W", "ignore", "-m", f"tests.benchmarks.{name}"]).returncode
        )
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
