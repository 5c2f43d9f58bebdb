"""What `--help` shows below the options: examples, the words that an argument takes, and exit codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from rdc_dyn.status import ExitCode


def ends(*codes: ExitCode) -> dict[ExitCode, str]:
    """Exit codes with what they mean."""
    return {code: code.meaning for code in codes}


#: Ends of commands that only look things up, that read runs, and that run something.
LIGHT = ends(ExitCode.COMPLETE, ExitCode.USAGE)
READS = LIGHT | ends(ExitCode.DATA)
RUNS = READS | ends(ExitCode.NUMERICAL, ExitCode.LIMIT, ExitCode.SIGINT, ExitCode.SIGTERM)


class Documented(click.Command):
    """A command whose help ends with examples, lists of words under their titles, and exit codes."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        words: Mapping[str, Callable[[], Iterable[str]]] | None = None,
        exits: Mapping[ExitCode, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples, self.words, self.exits = examples, words or {}, exits or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them; words are looked up only now, for they take longer than the other helps."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        for title, look_up in self.words.items():
            with formatter.section(title):
                formatter.write_text(", ".join(look_up()))
        if self.exits:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(int(code)), self.exits[code]) for code in sorted(self.exits)])
