"""What may not be read or written: one line, the others of a sweep all the same, and nothing changes."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.sweep_directory import read_sweep
from tests.reliability.made import nobody, surroundings, two_runs_and_a_sweep

_OF_A_RUN = (".", "log.jsonl", "trajectory.nc", "scenario.yaml", "SHA256SUMS", "checkpoints", "checkpoints/newest")
_OF_A_SWEEP = (".", "sweep.json", "runs", "runs/first", "runs/first/trajectory.nc", "runs/first/log.jsonl")
_WRITING = (
    "plot RUN -o x.png", "plot RUN -o x.html", "report RUN -o x.html", "report SWEEP -o x.html",
    "compare SWEEP -o x.pdf", "compare SWEEP --csv x.csv", "compare SWEEP --netcdf x.nc", "schema -o x.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs and a sweep, on which every command has been tried, so that all is loaded that root alone may read."""
    folder = tmp_path_factory.mktemp("made")
    two_runs_and_a_sweep(folder)
    shutil.copytree(folder / "stopped", folder / "tried")
    assert _invoke("resume", folder / "tried", "-q").exit_code == 0
    for line in _WRITING:
        assert _filled(line, folder, folder).exit_code == 0, line
    for command in ("info", "verify"):
        assert _invoke(command, folder / "ended").exit_code == 0
    return folder


@pytest.fixture
def place(scratch: Path) -> Path:
    """A folder that everybody may look into."""
    for folder in (scratch, *scratch.parents):
        if folder.stat().st_uid == os.getuid() and folder.name.startswith(("test_", "pytest-", "popen-", "tmp")):
            folder.chmod(folder.stat().st_mode | 0o755)
    return scratch


def _invoke(*arguments: object) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit) or result.exception is None, result.exc_info
    return result


def _filled(line: str, made: Path, out: Path) -> Result:
    """Run a command with the places of a run and of a sweep, and the folder for what it writes."""
    words = [word.replace("RUN", str(made / "ended")).replace("SWEEP", str(made / "sweep")) for word in line.split()]
    return _invoke(*(out / word if word.startswith("x.") else word for word in words))


def _closed(folder: Path, name: str) -> Path:
    """Take away all rights to a file or folder of a run or sweep."""
    if "newest" in name:
        target = checkpoints(folder)[0]
    elif "first" in name:
        target = folder / name.replace("first", sorted(each.name for each in (folder / "runs").iterdir())[0])
    else:
        target = folder / name
    target.chmod(0)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("command", ["info", "verify", "plot", "report", "resume"])
@pytest.mark.parametrize("name", _OF_A_RUN)
@pytest.mark.parametrize("which", ["stopped", "ended"])
def test_what_a_run_does_not_let_read_is_one_line(made: Path, place: Path, which: str, name: str, command: str) -> None:
    run = place / "run"
    shutil.copytree(made / which, run)
    target, before = _closed(run, name), surroundings(run)
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    out = {"plot": ["-o", place / "out" / "x.png"], "report": ["-o", place / "out" / "x.html"]}.get(command, [])
    with nobody():
        result = _invoke(command, run, *out)
    target.chmod(0o755)
    assert surroundings(run) == before
    assert result.exit_code in (0, 2 if (command, name) == ("resume", "scenario.yaml") else 4), result.output
    if result.exit_code:
        assert "Permission denied" in result.output, result.output
        assert command == "verify" or len(result.stderr.strip().splitlines()) == 1, result.output
    if name == "." or command == "verify":
        assert result.exit_code == 4, result.output


@pytest.mark.parametrize("command", ["report", "compare", "open_sweep"])
@pytest.mark.parametrize("name", _OF_A_SWEEP)
def test_a_run_that_may_not_be_read_does_not_keep_the_others_back(
    made: Path, place: Path, name: str, command: str
) -> None:
    sweep, out = place / "sweep", place / "out"
    shutil.copytree(made / "sweep", sweep)
    target, before = _closed(sweep, name), surroundings(sweep)
    out.mkdir()
    out.chmod(0o777)
    told, code = "", 0
    with nobody():
        if command == "open_sweep":
            try:
                told = "\n".join(point.message for point in read_sweep(sweep).points)
            except rdc_dyn.DataError as error:
                told, code = str(error), error.exit_code
        else:
            result = _invoke(command, sweep, *(["-o", out / "x.html"] if command == "report" else []))
            told, code = result.output, result.exit_code
            told += (out / "x.html").read_text() if (out / "x.html").exists() else ""
    target.chmod(0o755)
    assert surroundings(sweep) == before
    if command != "compare" or name not in ("sweep.json", "runs/first/log.jsonl"):  # which it does without
        assert "Permission denied" in told, told
        assert code == (0 if "first" in name or (name, command) == ("runs", "open_sweep") else 4), told


@pytest.mark.parametrize("line", [*_WRITING, "run RUN/scenario.yaml -o x.run", "sweep RUN/scenario.yaml -o x.sweep"])
def test_a_folder_that_may_not_be_written_is_one_line(made: Path, place: Path, line: str) -> None:
    out = place / "out"
    out.mkdir()
    for name in ("ended", "sweep"):
        shutil.copytree(made / name, place / name)
    grid = " --grid seed=1,2 -q" if line.startswith("sweep") else " -q" if line.startswith("run") else ""
    with nobody():
        result = _filled(line + grid, place, out)
    assert result.exit_code == 4 and "Permission denied" in result.output, result.output
    assert len(result.stderr.strip().splitlines()) == 1 and not list(out.iterdir())


def test_a_sweep_that_may_only_be_read_opens(made: Path, place: Path) -> None:
    shutil.copytree(made / "sweep", place / "sweep")
    for path in ((place / "sweep"), *(place / "sweep").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        opened = rdc_dyn.open_sweep(place / "sweep").load()
    assert opened.sizes["start_gamma"] == 2 and set(opened.status.values.ravel()) == {"COMPLETED"}
