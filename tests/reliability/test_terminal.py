"""Any output and any name: a full disk, a closed or a short pipe, ASCII, control characters, a broken matplotlibrc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.record import Event
from rdc_dyn.running.progress import Plain
from rdc_dyn.status import plain
from rdc_dyn.store.dataset import write_netcdf
from rdc_dyn.sweeps.progress import Plain as PlainSweep
from rdc_dyn.sweeps.worker import Outcome
from tests.reliability.made import nobody
from tests.tiny import linear_gaussian, trajectory

ROOT = Path(rdc_dyn.__file__).parents[1]
#: Turns what follows red, asks the terminal who it is, sets its title, and writes from right to left.
EVIL = "a\x1b[31mb\x1b[cc\x1b]0;title\x07d\x9b5me\u202ef\u2066g\x00h\ri"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("terminal") / "run"
    assert rdc_dyn.run(linear_gaussian(), path).attrs["status"] == "COMPLETED"
    return path


def _shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `rdc-dyn` is this program."""
    program = f'rdc-dyn() {{ "{sys.executable}" -m rdc_dyn "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", program + line], cwd=folder, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def _invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit) or result.exception is None, result.exception
    return result


def _line(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert len(result.output.strip().splitlines()) == 1 and all(word in result.output for word in words), result.output


# --- outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["list", "schema", "info RUN", "--help"])
def test_a_full_output_is_one_line(run: Path, tmp_path: Path, command: str) -> None:
    done = _shell(f"rdc-dyn {command.replace('RUN', str(run))} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (4, "rdc-dyn: standard output: No space left on device\n")


@pytest.mark.parametrize("command", ["list", "info RUN"])
def test_a_pipe_that_ends_early_ends_the_program_quietly(run: Path, tmp_path: Path, command: str) -> None:
    line = f"(sleep 0.5; rdc-dyn {command.replace('RUN', str(run))}) | true; exit ${{PIPESTATUS[0]}}"
    done = _shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("last", ["info made >&- 2>&-", pytest.param("doctor >&-", marks=pytest.mark.slow)])
def test_a_closed_output_is_no_reason_to_stop(last: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(linear_gaussian()))
    done = _shell(f"rdc-dyn run s.yaml -o made >&- && rdc-dyn {last}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert rdc_dyn.open_run(tmp_path / "made").attrs["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    ],
)
def test_a_terminal_without_greek_letters_shows_something(
    run: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    code = "import click\nfrom rdc_dyn.running.progress import Plain; from rdc_dyn.record import Event\n"
    code += "from rdc_dyn.cli.shared import Program\n@click.command()\ndef greek():\n"
    code += "    Plain().event(Event('fold', 0.0, 'γ ≥ 0', {}))\n    print('γ ≥ 0')\n"
    code += "Program(commands={'greek': greek})(['greek'])"
    (tmp_path / "greek.py").write_text(code, encoding="utf-8")
    done = _shell(f'"{sys.executable}" greek.py; rdc-dyn verify {run}', tmp_path, **environment)
    assert "Traceback" not in done.stderr and "0" in done.stdout and "fold" in done.stderr, done.stderr


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["info LONG", "report LONG -o x.html", "report RUN -o LONG.html", "plot RUN -o LONG.png", "verify LONG",
                "compare LONG", "compare RUN --csv LONG.csv", "compare RUN --netcdf LONG.nc", "resume LONG",
                "run RUN/scenario.yaml -o LONG", "sweep RUN/scenario.yaml --grid seed=1,2 -o LONG"],
)  # fmt: skip
def test_a_name_of_300_characters_is_one_line(
    run: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _invoke(*(word.replace("RUN", str(run)).replace("LONG", "x" * 300) for word in command.split()))
    assert result.exit_code == 4 and "File name too long" in result.output, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["plot RUN -o", "report RUN -o", "run s.yaml -o"])
def test_a_name_that_is_no_text_is_refused(run: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(linear_gaussian()))
    done = _shell(f"rdc-dyn {command.replace('RUN', str(run))} $'b\\xff.png'", tmp_path)
    assert done.returncode == 2 and r"b'b\xff.png' is no name in UTF-8" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["s.yaml"]


# --- permissions --------------------------------------------------------------------------------------------------


def test_an_unreadable_run_is_one_line(run: Path, tmp_path: Path) -> None:
    """Of a comparison it is a row, and the others are compared."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("test_", "pytest-", "popen-")):
            folder.chmod(0o755)
    for name in ("a", "b", "c"):
        shutil.copytree(run, tmp_path / "runs" / name)
    assert _invoke("compare", tmp_path / "runs").exit_code == 0  # loads everything that root alone may read
    assert _invoke("info", run).exit_code == 0
    (tmp_path / "runs" / "a").chmod(0)
    (tmp_path / "runs" / "b" / "trajectory.nc").chmod(0)
    try:
        with nobody():
            denied = [_invoke("info", tmp_path / "runs" / name) for name in ("a", "b")]
            compared = _invoke("compare", tmp_path / "runs")
    finally:
        (tmp_path / "runs" / "a").chmod(0o755)
    for result in denied:
        _line(result, 4, "Permission denied")
    assert compared.exit_code == 0 and "UNREADABLE" in compared.output.upper(), compared.output


# --- files that are written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("plot RUN -o", "x.png"),
        pytest.param("compare RUNS -o", "x.pdf", marks=pytest.mark.slow),
        ("compare RUNS --csv", "x.csv"),
        ("compare RUNS --netcdf", "x.nc"),
        pytest.param("report RUN -o", "x.html", marks=pytest.mark.slow),
    ],
)
def test_a_write_that_fails_leaves_the_old_file(
    run: Path, tmp_path: Path, command: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, file = tmp_path / "runs", tmp_path / "out" / name
    file.parent.mkdir()
    file.write_text("old")
    for each in ("a", "b"):
        shutil.copytree(run, runs / each)
    words = [word.replace("RUNS", str(runs)).replace("RUN", str(run)) for word in command.split()]

    def full(*anything: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("rdc_dyn.store.commit.os.fsync", full)
        result = _invoke(*words, file)
    assert result.exit_code == 4 and f"{file}: cannot be written (No space left on device)" in result.output
    assert file.read_text() == "old" and [each.name for each in file.parent.iterdir()] == [name]
    assert _invoke(*words, file).exit_code == 0
    assert file.stat().st_size > 100 and [each.name for each in file.parent.iterdir()] == [name]


@pytest.mark.parametrize("what", ["a pipe", "a link to a device"])
@pytest.mark.parametrize("command", ["report RUN -o", "compare RUN --csv", "schema -o"])
def test_what_is_no_file_is_not_replaced_by_one(run: Path, tmp_path: Path, command: str, what: str) -> None:
    target = tmp_path / "x.html"
    os.mkfifo(target) if what == "a pipe" else target.symlink_to("/dev/null")
    result = _invoke(*command.replace("RUN", str(run)).split(), target)
    assert result.exit_code == 4 and "x.html: cannot be written (is no regular file)" in result.output
    assert target.is_fifo() if what == "a pipe" else target.is_symlink()
    assert [each.name for each in tmp_path.iterdir()] == ["x.html"]


# --- matplotlib ---------------------------------------------------------------------------------------------------


def test_a_display_that_does_not_exist_is_not_asked_for(run: Path, tmp_path: Path) -> None:
    done = _shell(f"rdc-dyn plot {run} -o x.png", tmp_path, MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_matplotlibrc_that_is_no_text_is_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    done = _shell(f"rdc-dyn plot {run} -o x.png", tmp_path)
    assert done.returncode == 4 and done.stderr.splitlines()[-1].startswith("rdc-dyn: matplotlib does not load")
    assert "Traceback" not in done.stderr and not (tmp_path / "x.png").exists()


# --- what strangers wrote -----------------------------------------------------------------------------------------


def test_text_of_strangers_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain(EVIL) == "abcdefghi"
    assert plain("γ ≥ 0,\n\tR") == "γ ≥ 0,\n\tR"
    file = tmp_path / "run.nc"
    evil = EVIL.replace("\x00", "")
    write_netcdf(trajectory().assign_attrs(title=evil, status_message=evil, status_detail=evil), file)
    result = _invoke("info", file)
    assert result.exit_code == 0 and "abcdefghi" in result.output
    _line(_invoke("info", tmp_path / evil), 4, "abcdefghi")
    (tmp_path / "s.yaml").write_text(json.dumps({evil: 1}))
    unknown = _invoke("validate", tmp_path / "s.yaml")
    Plain().event(Event("fold", 0.0, EVIL, {}))
    shown = PlainSweep()
    shown.begin({"x": {"data.source.folder": EVIL}}, 0)
    shown.outcome(Outcome("x", "FAILED", 4, EVIL))
    said = capsys.readouterr()
    assert "folder=abcdefghi: failed" in said.out
    for text in (result.output, unknown.output, said.out, said.err):
        assert text == plain(text)
