"""What a user sees."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from rdc_dyn.record import Event
from rdc_dyn.running.progress import Live, Notebook, Plain, Progress, Silent, _Eta, choose_progress, chosen
from tests.tiny import record

_HEADERS = ["time", "lam", "gamma", "R", "D", "C", "|grad J|", "ETA"]


def _show(progress: Progress) -> None:
    """A short run with awkward numbers in it."""
    progress.equilibrating("adam", 0, 7.5, 1.0)
    progress.record(record(0.0, lam=1.0, equilibrium_residual=1e-12), 0.0)
    progress.event(Event("rejected", 0.05, "step of 0.1 [red] rejected", {}))
    progress.record(record(1 / 3, lam=1.23456e-3, distortion=-123456.789, equilibrium_residual=1e-12), 0.5)
    progress.event(Event("end", 1.0, "the end", {}))
    progress.close()


def _ends(line: str) -> list[int]:
    """Where the cells of a line end."""
    return [cell.end() for cell in re.finditer(r"\|grad J\||\S+", line)]


def _check_table(text: str) -> None:
    lines = text.splitlines()
    header = next(line for line in lines if line.split()[:1] == ["time"])
    rows = [line for line in lines if re.match(r" +0(\.\d+)? ", line)]
    assert re.findall(r"\|grad J\||\S+", header) == _HEADERS
    assert [row.split()[0] for row in rows] == ["0", "0.333333"]
    assert [_ends(row) for row in rows] == [_ends(header)] * 2
    assert rows[1].split()[1:] == ["0.0012346", "0.8", "2.2", "-1.2346e+05", "3.6", "1.0e-12", "0:00:00"]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    _show(Plain())
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "equilibrating (adam 0): J 7.5, |grad J| 1.0e+00"
    assert shown.err == "rejected at time 0.05: step of 0.1 [red] rejected\n"
    assert "\x1b" not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    _check_table(shown.out)


def test_a_resumed_run_does_not_count_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 % were done; another 5 % took ten minutes, so that the last 15 % take half an hour."""
    now = 1000.0
    monkeypatch.setattr("rdc_dyn.running.progress.time.monotonic", lambda: now)
    eta = _Eta()
    assert eta.text(0.8) == "-"
    now += 600
    assert eta.text(0.85) == "0:30:00"
    fresh = _Eta()
    assert fresh.text(0.0) == "-"
    now += 60
    assert fresh.text(0.25) == "0:03:00"


def test_too_long_a_number_does_not_touch_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    Plain().record(record(-1.2345e-100, lam=-1.2345e-100, gamma=-1.2345e-100, rate=-1.2345e-100), 0.0)
    assert len(capsys.readouterr().out.splitlines()[1].split()) == len(_HEADERS)


def test_live_on_a_terminal_of_80_columns() -> None:
    screen = io.StringIO()
    _show(Live(Console(file=screen, force_terminal=True, width=80, color_system=None)))
    text = re.sub(r"\r|\x1b\[[0-9;?]*[a-ln-zA-Z]", "\n", re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()))
    _check_table(text)
    assert "rejected at time 0.05: step of 0.1 [red] rejected" in text
    assert "50% time 0.333333, ETA 0:00:00" in text
    assert "…" not in text  # nothing was cut off
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_live_touches_nothing_before_the_first_news() -> None:
    screen = io.StringIO()
    Live(Console(file=screen, force_terminal=True)).close()
    assert screen.getvalue() in ("", "\n")


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_progress(quiet=True), Silent)
    assert isinstance(choose_progress(quiet=False), Plain)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert isinstance(choose_progress(quiet=False), Live)


def test_a_notebook_shows_one_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    _show(Notebook(Console(file=screen, force_terminal=True, width=160, color_system=None)))
    assert "lam 0.0012346" in screen.getvalue() and "rejected" not in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")  # the line is erased
    monkeypatch.setattr("rdc_dyn.running.progress._in_notebook", lambda: True)
    monkeypatch.setattr("rdc_dyn.running.progress.find_spec", lambda name: object())
    assert isinstance(choose_progress(quiet=False), Notebook)
    monkeypatch.setattr("rdc_dyn.running.progress.find_spec", lambda name: None)  # no ipywidgets
    assert isinstance(choose_progress(quiet=False), Silent)


def test_the_argument_of_a_run() -> None:
    own = Silent()
    assert chosen(own) is own
    assert isinstance(chosen("auto"), Plain)
    assert isinstance(chosen(None), Silent) and isinstance(chosen(False), Silent)


def test_silent(capsys: pytest.CaptureFixture[str]) -> None:
    _show(Silent())
    assert capsys.readouterr() == ("", "")
