"""Print names, numbers and verdicts: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rdc_dyn.doctor.check import Check

if TYPE_CHECKING:
    from rich.console import Console


def show(checks: Iterable[Check], facts: Iterable[tuple[str, str]], console: Console | None = None) -> None:
    """Print checks and facts as tables on `console` or a terminal, and as plain lines elsewhere."""
    checks, facts = tuple(checks), tuple(facts)
    if console is None and not sys.stdout.isatty():
        _lines(checks, facts)
    else:
        _tables(checks, facts, console)


def _verdict(check: Check) -> str:
    return "ok" if check.passed else "FAILED"


def _lines(checks: tuple[Check, ...], facts: tuple[tuple[str, str], ...]) -> None:
    width = max((len(name) for name in [c.name for c in checks] + [name for name, _ in facts]), default=0)
    for check in checks:
        print(f"{check.name:<{width}}  {check.value:8.1e} <= {check.bound:7.1e}  {_verdict(check)}")
        if not check.passed:
            print(f"  {check.hint}")
    if checks and facts:
        print()
    for name, value in facts:
        print(f"{name:<{width}}  {value}")


def _tables(checks: tuple[Check, ...], facts: tuple[tuple[str, str], ...], console: Console | None) -> None:
    from rich.console import Console as Terminal
    from rich.table import Table
    from rich.text import Text

    console = console or Terminal()
    if checks:
        table = Table("check", "error", "bound", "", box=None, pad_edge=False, header_style="bold")
        for check in checks:
            verdict = Text(_verdict(check), "green" if check.passed else "bold red")
            table.add_row(Text(check.name), f"{check.value:.1e}", f"{check.bound:.1e}", verdict)
        console.print(table)
        for check in checks:
            if not check.passed:
                console.print(Text.assemble((f"{check.name}: ", "bold red"), check.hint))
        console.print()
    if facts:
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in facts:
            table.add_row(Text(name, "bold"), Text(value))
        console.print(table)
