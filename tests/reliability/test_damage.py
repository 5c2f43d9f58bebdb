"""Bit flips and truncations: each is noticed, the checkpoint before is used and it is said, nothing crashes."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.read.verify import verify
from rdc_dyn.store.checkpoint import load_checkpoint
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.sweep_directory import read_sweep
from tests.reliability.made import Here, draws, same_bits
from tests.tiny import linear_gaussian

# Each starts processes or opens many files: minutes in all.
pytestmark = pytest.mark.slow

TREE = linear_gaussian(output={"checkpoint_every": 1})


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after three points, with two checkpoints."""
    run = tmp_path_factory.mktemp("stopped") / "run"

    class Third:
        records = 0

        def equilibrating(self, *anything: object) -> None: ...
        def event(self, event: object) -> None: ...
        def close(self) -> None: ...
        def record(self, record: object, fraction: float) -> None:
            self.records += 1
            if self.records == 3:
                raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdc_dyn.run(TREE, run, progress=Third())
    assert len(checkpoints(run)) == 2
    return run


def _damages(whole: bytes, flips: int, lengths: int) -> Iterator[bytes]:
    rng = draws(len(whole))
    for bit in rng.sample(range(8 * len(whole)), flips):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
    for length in rng.sample(range(len(whole)), lengths):
        yield whole[:length]


def _copy(stopped: Path, target: Path) -> Path:
    shutil.copytree(stopped, target)
    return target


def test_every_damage_of_a_checkpoint_is_noticed(stopped: Path, scratch: Path) -> None:
    file = checkpoints(_copy(stopped, scratch / "run"))[0]
    for damaged in _damages(file.read_bytes(), 200, 50):
        file.write_bytes(damaged)
        with pytest.raises(rdc_dyn.DataError) as raised:
            load_checkpoint(file)
        assert "\n" not in str(raised.value) and raised.value.exit_code == 4


_COMMANDS = ("info", "verify", "report", "plot", "compare", "resume")


def test_a_damaged_log_ends_in_one_line_and_never_in_a_traceback(stopped: Path, scratch: Path) -> None:
    """Every command on a killed run; what it reads is what stands before the damage."""
    run = _copy(stopped, scratch / "runs" / "run")
    whole, out = (run / "log.jsonl").read_bytes(), str(scratch / "out")
    for damaged in _damages(whole, 6, 2):
        (run / "log.jsonl").write_bytes(damaged)
        for command in _COMMANDS:
            extra = {"report": ("-o", f"{out}.html"), "plot": ("-o", f"{out}.png"), "compare": ()}.get(command, ())
            place = run.parent if command == "compare" else run
            shutil.copy(run / "log.jsonl", scratch / "kept")
            result = CliRunner().invoke(main, [command, str(place), *extra])
            assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exc_info)
            assert "Traceback" not in result.output
            if command == "verify" and len(damaged) == len(whole):
                assert result.exit_code == 4 and "FAILED" in result.output
            shutil.copy(scratch / "kept", run / "log.jsonl")
        shutil.rmtree(run)
        _copy(stopped, run)


def _resumed(run: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rdc_dyn.resume(run)


@pytest.mark.parametrize("number", range(4))
def test_the_checkpoint_before_is_used_and_it_is_said(stopped: Path, scratch: Path, number: int) -> None:
    run, whole = _copy(stopped, scratch / "run"), rdc_dyn.run(TREE)
    newest, before = checkpoints(run)
    damaged = list(_damages(newest.read_bytes(), 2, 2))[number]
    newest.write_bytes(damaged)
    again = _resumed(run)
    assert same_bits(again, whole)
    history = again.attrs["history"].splitlines()[-1]
    assert f"from {before.name}" in history and f"passed over: {newest}" in history


def test_a_log_that_is_damaged_behind_the_older_checkpoint_is_cut_back_to_it(stopped: Path, scratch: Path) -> None:
    run, whole = _copy(stopped, scratch / "run"), rdc_dyn.run(TREE)
    newest, before = checkpoints(run)
    log, place = run / "log.jsonl", load_checkpoint(newest).log.length - 20
    content = bytearray(log.read_bytes())
    content[place] ^= 1
    log.write_bytes(bytes(content))
    again = _resumed(run)
    assert same_bits(again, whole)
    history = again.attrs["history"].splitlines()[-1]
    assert f"from {before.name}" in history and f"passed over: {newest}" in history and "damaged line" in history


def test_what_cannot_be_mended_is_one_line(stopped: Path, scratch: Path) -> None:
    run = _copy(stopped, scratch / "run")
    log = run / "log.jsonl"
    log.write_text(log.read_text().replace('"rate": 1', '"rate": 2'))
    with pytest.raises(rdc_dyn.DataError, match="no checkpoint can be used") as raised:
        rdc_dyn.resume(run)
    assert "\n" not in str(raised.value)
    assert len(checkpoints(run)) == 2, "nothing is thrown away"


def test_verify_tells_a_whole_run_from_a_damaged_one(scratch: Path) -> None:
    run = scratch / "run"
    rdc_dyn.run(TREE, run)
    assert {finding.verdict for finding in verify(run)} <= {"ok", "open"}
    assert CliRunner().invoke(main, ["verify", str(run)]).exit_code == 0
    names = ("trajectory.nc", "log.jsonl", "scenario.yaml", "SHA256SUMS")
    for file in (*(run / name for name in names), *checkpoints(run)):
        whole = file.read_bytes()
        for damaged in _damages(whole, 5, 2):
            file.write_bytes(damaged)
            assert any(finding.verdict == "FAILED" and finding.kind == "files" for finding in verify(run)), file
        result = CliRunner().invoke(main, ["verify", str(run)])
        assert result.exit_code == 4 and "FAILED" in result.output and "Traceback" not in result.output
        file.write_bytes(whole)
    for file in (*(run / name for name in names), *checkpoints(run)):  # also one that is missing
        whole = file.read_bytes()
        file.unlink()
        assert any(finding.verdict == "FAILED" and finding.kind == "files" for finding in verify(run)), file
        file.write_bytes(whole)
    lines = (run / "SHA256SUMS").read_text().splitlines(keepends=True)
    for left_out in range(len(lines)):  # a short list
        (run / "SHA256SUMS").write_text("".join(lines[:left_out] + lines[left_out + 1 :]))
        assert any(finding.verdict == "FAILED" and finding.name == "SHA256SUMS" for finding in verify(run)), left_out


def _all_found(run: Path, each: int) -> int:
    """Damage every file of a run, one at a time; the number of damages, each of which `verify` must find."""
    done = 0
    for file in [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock"]:
        whole = file.read_bytes()
        for damaged in _damages(whole, each, each // 3):
            file.write_bytes(damaged)
            found = [finding for finding in verify(run) if finding.verdict == "FAILED" and finding.kind == "files"]
            cut = whole.startswith(damaged) and file.name == "log.jsonl" and not (run / "SHA256SUMS").exists()
            if not cut or len(damaged) < load_checkpoint(checkpoints(run)[0]).log.length:  # else as a kill cuts it
                assert found, (file, len(damaged), len(whole))
            done += 1
        file.write_bytes(whole)
    assert not [finding for finding in verify(run) if finding.verdict == "FAILED"]
    return done


def test_every_damage_of_a_run_is_found(stopped: Path, scratch: Path) -> None:
    rdc_dyn.run(TREE, scratch / "ended")
    killed = _copy(stopped, scratch / "killed")
    for name in ("SHA256SUMS", "trajectory.nc"):
        (killed / name).unlink()
    *lines, end = (killed / "log.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"event": "end"' in end
    (killed / "log.jsonl").write_bytes(b"".join(lines))
    assert _all_found(scratch / "ended", 24) + _all_found(killed, 24) >= 300


def test_every_damage_of_a_sweep_is_found(scratch: Path) -> None:
    """Of a run by `verify`, of what the sweep itself has written when it is opened; a repeated sweep mends it."""
    sweep, grid = scratch / "sweep", {"start.gamma": [1.0, 1.2], "start.from": ["/nowhere"]}
    grids = [{key: values} for key, values in grid.items()]
    swept = rdc_dyn.sweep(TREE, grids, output=sweep, executor=Here(), threads=1)
    assert [point.state for point in swept.points] == ["done", "done", "failed"]
    done = sum(_all_found(run, 9) for run in (sweep / "runs").iterdir())
    for file in (sweep / "sweep.json", *(sweep / "failed").iterdir()):
        whole = file.read_bytes()
        for damaged in _damages(whole, 60, 20):
            file.write_bytes(damaged)
            if file.name == "sweep.json":
                with pytest.raises(rdc_dyn.DataError, match=r"sweep.json: damaged \(it does not end with the digest"):
                    read_sweep(sweep)
            else:
                assert read_sweep(sweep).points[2].message.startswith("the record of its failure is damaged")
            done += 1
        file.write_bytes(whole)
    assert read_sweep(sweep).points == swept.points and done >= 260


def test_verify_finds_a_broken_identity(scratch: Path) -> None:
    from rdc_dyn.store.dataset import write_netcdf

    run = rdc_dyn.run(TREE)
    for change, name in (
        ({"free_energy": run.free_energy + 0.1}, "F = R + λD + γC + Ω"),
        ({"response": run.response * [[[1.0], [1.0], [1.0]], [[1.0], [1.1], [1.0]], [[1.0]] * 3]}, "D_γ = C_λ"),
        ({"response": -run.response}, "Hess F ⪯ 0"),
        ({"rate": run.rate.where(run.time < 0.2, 5.0)}, "dR = −λdD − γdC − dΩ + ∂_tF dt"),
        ({"distortion": 2 * run.distortion}, "∂F/∂λ = D, ∂F/∂γ = C"),
        ({"hessian_vector_products": -run.hessian_vector_products}, "counters"),
        ({"rate": run.rate.where(run.time < 0.2)}, "numbers"),
    ):
        write_netcdf(run.assign(change), scratch / "t.nc")
        failed = [finding.name for finding in verify(scratch / "t.nc") if finding.verdict == "FAILED"]
        assert name in failed, (name, failed)
    write_netcdf(run.isel(time=[0, 2, 1, 3, 4]), scratch / "t.nc")
    assert "clock" in [finding.name for finding in verify(scratch / "t.nc") if finding.verdict == "FAILED"]
    write_netcdf(run, scratch / "t.nc")
    assert not [finding for finding in verify(scratch / "t.nc") if finding.verdict == "FAILED"]
