"""Directories that strangers prepared: no link is followed, no name leads outside, nothing outside is touched."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.sweep_directory import sealed, unsealed
from tests.reliability.made import surroundings, sweep_here, two_runs_and_a_sweep

_SECRET = "a secret of somebody else"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped, one that has ended, and a sweep."""
    folder = tmp_path_factory.mktemp("made")
    two_runs_and_a_sweep(folder)
    return folder


def _in_order(*arguments: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exc_info)
    assert "Traceback" not in result.output and _SECRET not in result.output, arguments


def _use(path: Path, outside: Path) -> None:
    """Every command that takes a run or a sweep."""
    is_sweep = (path / "runs").is_dir() or (path / "sweep.json").exists()
    before, out = surroundings(outside), path.parent / "out"
    for command in (
        ("info",),
        ("verify",),
        ("plot", "-o", f"{out}.png"),
        ("report", "-o", f"{out}.html"),
        ("compare",),
    ):
        _in_order(command[0], str(path), *command[1:])
        assert surroundings(outside) == before, command
    if is_sweep:
        try:
            rdc_dyn.open_sweep(path).load()
        except rdc_dyn.UserError as error:
            assert "\n" not in str(error)
        try:
            sweep_here(path)
        except rdc_dyn.UserError as error:
            assert "\n" not in str(error) and _SECRET not in str(error)
    else:
        _in_order("resume", str(path), "-q")
        _in_order("resume", str(path), "-q", "--force")
    assert surroundings(outside) == before


def _link(target: Path, outside: Path, was: Path) -> None:
    target.symlink_to(outside / ("folder" if target.suffix == "" and target.name != ".lock" else "file"))


def _copy_outside(target: Path, outside: Path, was: Path) -> None:
    """A link to what belongs there, but somewhere else."""
    shutil.copytree(was, outside / "copy") if was.is_dir() else shutil.copy(was, outside / "copy")
    target.symlink_to(outside / "copy")


def _dangling(target: Path, outside: Path, was: Path) -> None:
    target.symlink_to(outside / "nothing")


def _pipe(target: Path, outside: Path, was: Path) -> None:
    os.mkfifo(target)


def _folder(target: Path, outside: Path, was: Path) -> None:
    target.mkdir()
    (target / "x").write_text("x")


_WAYS: dict[str, Callable[[Path, Path, Path], None]] = {
    "a link": _link,
    "a link to a copy": _copy_outside,
    "a dangling link": _dangling,
    "a pipe": _pipe,
    "a folder": _folder,
}
_OF_A_RUN = ("log.jsonl", "trajectory.nc", "scenario.yaml", "SHA256SUMS", ".lock", "checkpoints", "checkpoints/newest")
_OF_A_SWEEP = ("sweep.json", "runs", "runs/first", "failed", ".lock", "runs/first/log.jsonl", "runs/first/checkpoints")


def _spoilt(scratch: Path, source: Path, name: str, way: str) -> tuple[Path, Path]:
    """A copy in which one file or folder is replaced, and the folder outside that links lead to."""
    path, outside = scratch / "path", scratch / "outside"
    shutil.copytree(source, path)
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / ".bashrc").write_text(_SECRET)
    (outside / "file").write_text(_SECRET)
    first = sorted((path / "runs").iterdir())[0].name if (path / "runs").is_dir() else ""
    newest = "" if first else checkpoints(path)[0].name
    target = path / name.replace("first", first).replace("newest", newest)
    was = scratch / "removed"
    if target.exists():
        target.rename(was)
    else:
        was.mkdir()
    _WAYS[way](target, outside, was)
    return path, outside


@pytest.mark.slow
@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("name", _OF_A_RUN)
@pytest.mark.parametrize("which", ["stopped", "ended"])
def test_nothing_outside_a_run_is_touched(made: Path, scratch: Path, which: str, name: str, way: str) -> None:
    _use(*_spoilt(scratch, made / which, name, way))


@pytest.mark.slow
@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("name", _OF_A_SWEEP)
def test_nothing_outside_a_sweep_is_touched(made: Path, scratch: Path, name: str, way: str) -> None:
    _use(*_spoilt(scratch, made / "sweep", name, way))


@pytest.mark.parametrize("name", ["checkpoints", "log.jsonl"])
def test_a_link_in_a_run_is_named(made: Path, scratch: Path, name: str) -> None:
    path, outside = _spoilt(scratch, made / "stopped", name, "a link to a copy")
    before = surroundings(outside)
    with pytest.raises(rdc_dyn.DataError, match=r"is a link|symbolic link"):
        rdc_dyn.resume(path)
    assert surroundings(outside) == before


@pytest.mark.parametrize("name", ["runs", "runs/first"])
def test_a_link_in_a_sweep_is_named(made: Path, scratch: Path, name: str) -> None:
    path, outside = _spoilt(scratch, made / "sweep", name, "a link to a copy")
    before = surroundings(outside)
    with pytest.raises(rdc_dyn.DataError, match="is a link"):
        sweep_here(path)
    assert surroundings(outside) == before


@pytest.mark.parametrize("name", ["../../outside", "..", "", ".", "/etc", "a/../../outside", "0" * 300])
def test_a_name_in_a_manifest_leads_nowhere(made: Path, scratch: Path, name: str) -> None:
    path, outside = _spoilt(scratch, made / "sweep", "failed", "a folder")
    content = unsealed((path / "sweep.json").read_bytes())
    content["points"][0]["name"] = name
    (path / "sweep.json").write_bytes(sealed(content))
    before = surroundings(outside)
    for call in (rdc_dyn.open_sweep, sweep_here):
        with pytest.raises(rdc_dyn.DataError, match="is not the name of a run"):
            call(path)
    assert surroundings(outside) == before


@pytest.mark.parametrize("name", ["../outside/file", "/etc/passwd", "checkpoints/../../outside/file", "notes.txt", ""])
def test_a_name_in_a_list_of_digests_leads_nowhere(made: Path, scratch: Path, name: str) -> None:
    path, _ = _spoilt(scratch, made / "ended", "checkpoints/newest", "a folder")
    with open(path / "SHA256SUMS", "a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(rdc_dyn.DataError, match=r"SHA256SUMS:\d+: damaged"):
        rdc_dyn.open_run(path)


def test_a_copy_that_cannot_be_written_opens(made: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading writes nothing: no operation on a file is even tried."""

    def refuse(operation: str, path: Path, content: bytes) -> None:
        raise AssertionError(f"{operation} {path}")

    monkeypatch.setattr("rdc_dyn.store.disk.before", refuse)
    before = surroundings(made)
    assert rdc_dyn.open_sweep(made / "sweep").load().sizes["start_gamma"] == 2
    for command in (("info", "ended"), ("verify", "ended"), ("verify", "stopped"), ("compare", "sweep")):
        _in_order(command[0], str(made / command[1]))
    assert surroundings(made) == before


@pytest.mark.slow
@pytest.mark.parametrize("which", ["stopped", "ended", "sweep"])
def test_what_is_drawn_is_all_that_is_written(made: Path, scratch: Path, which: str) -> None:
    before = surroundings(made)
    for command, name in (("plot", "x.png"), ("report", "x.html")):
        _in_order(command, str(made / which), "-o", str(scratch / name))
    assert surroundings(made) == before
    assert sorted(file.name for file in scratch.iterdir()) == ["x.html", "x.png"]
