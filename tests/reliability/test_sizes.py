"""Sizes that no machine has, files that never end, and paths that get round the rule: one line, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rdc_dyn.cli import main
from tests.reliability.test_attacks import bounded
from tests.tiny import images, linear_gaussian

_NETWORKS = {
    "kind": "amortised",
    "encoder": {"kind": "mlp", "hidden": [8], "latent_dim": 2},
    "decoder": {"kind": "mlp", "hidden": [8], "likelihood": "gaussian", "variance": 0.1},
    "classifier": {"kind": "linear"},
    "samples": 4,
}


def _invoke(*arguments: str) -> Result:
    with bounded(5.0):
        result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit) or result.exception is None, result.exception
    return result


def _refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert len(result.output.strip().splitlines()) == 1, result.output
    assert all(word in result.output for word in words), result.output


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _write(name: str, tree: dict[str, Any]) -> str:
    Path(name).write_text(json.dumps(tree))
    return name


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("objective.encoder.hidden=[100000000000000000000000]", 2, "objective.encoder.hidden.0: must be < 2147483648"),
        ("objective.encoder.hidden=[100000,1000000]", 3, "4 vectors of 1000115"),
        ("objective.encoder.latent_dim=1000000000", 2, "objective.encoder.latent_dim: 1000000000; Sobol points have"),
        ("objective.samples=1000000000000000000000", 2, "objective.samples: must be"),
        ("objective.samples=1000000000", 3, "objective.samples: 1000000000 for each of 48 data take"),
    ],
)
def test_a_size_that_no_machine_has_is_refused(change: str, code: int, words: str) -> None:
    tree = images(response={"kind": "secant"})
    tree["objective"] = _NETWORKS
    file = _write("s.yaml", tree)
    _refused(_invoke("run", file, "-o", "run", "--dry-run", "--set", change), code, words)


def test_a_sweep_of_too_many_points_is_refused_before_they_are_made() -> None:
    keys = ["start.lam", "start.gamma", "integrator.step_size", "process.path.lam", "process.path.gamma"]
    keys += ["objective.distortion_variance", "objective.label_variance"]
    file = _write("s.yaml", linear_gaussian(sweep={key: [0.01 * (i + 1) for i in range(40)] for key in keys}))
    _refused(_invoke("sweep", file, "-o", "sweep", "--dry-run"), 2, "sweep: 163840000000 points", "at most 10000")


@pytest.mark.parametrize("integrator", [{"method": "euler", "step_size": 0.1}, {"method": "dopri5"}])
def test_a_span_that_no_run_ends_is_refused(integrator: dict[str, Any]) -> None:
    file = _write("s.yaml", linear_gaussian(process={"span": [-1e308, 1e308]}) | {"integrator": integrator})
    _refused(_invoke("validate", file), 2, "process.span: inf steps of integrator.step_size")
    far = _write("t.yaml", linear_gaussian(process={"span": [0.0, 1e9]}))
    _refused(_invoke("validate", far), 2, "process.span: 1e+10 steps of integrator.step_size")


def test_a_pipe_is_no_scenario_and_no_data() -> None:
    os.mkfifo("pipe")
    _refused(_invoke("validate", "pipe"), 2, "pipe: the scenario cannot be read: it is no regular file")
    tree = images()
    tree["data"]["source"] = {"name": "npz", "file": "pipe"}
    _refused(_invoke("run", _write("s.yaml", tree), "-o", "run"), 4, "no regular file")
    for label in ("a", "b"):
        os.makedirs(f"images/{label}")
        for number in range(5):
            os.mkfifo(f"images/{label}/{number}.png")
    tree["data"]["source"] = {"name": "image_folder", "folder": "images", "size": 8}
    _refused(_invoke("run", _write("s.yaml", tree), "-o", "run"), 4, "images", "no regular file")


def test_a_home_folder_in_quotes_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = _write("s.yaml", linear_gaussian())
    assert _invoke("run", file, "-o", "~/run", "-q").exit_code == 0
    assert (tmp_path / "home" / "run" / "trajectory.nc").is_file() and not Path("~").exists()


def test_a_scenario_called_like_an_option_may_not_leave_its_folder() -> None:
    tree = images()
    tree["data"]["source"] = {"name": "npz", "file": "../x.npz"}
    result = _invoke("validate", "--", _write("--x.yaml", tree))
    _refused(result, 2, "--x.yaml:1:", "leaves the folder of the scenario")


def test_a_link_below_the_root_may_not_leave_it() -> None:
    """What starts from `data.root` is looked up there, and not beside the scenario."""
    for folder in ("elsewhere/a", "mine/sets"):
        os.makedirs(folder)
    os.symlink("../../elsewhere", "mine/sets/images")
    tree = images()
    tree["data"] |= {"root": "sets", "source": {"name": "image_folder", "folder": "images", "size": 8}}
    _refused(_invoke("validate", _write("mine/s.yaml", tree)), 2, "data.source.folder: leaves the folder")


def test_a_linked_scenario_names_what_lies_beside_the_file_itself() -> None:
    """A run reads there, so the rule has to look there."""
    for folder in ("theirs", "mine"):
        os.makedirs(folder)
    Path("secret.npz").touch()
    os.symlink("../secret.npz", "theirs/x.npz")
    tree = images()
    tree["data"]["source"] = {"name": "npz", "file": "x.npz"}
    _write("theirs/s.yaml", tree)
    os.symlink("../theirs/s.yaml", "mine/s.yaml")
    _refused(_invoke("validate", "mine/s.yaml"), 2, "data.source.file: leaves the folder")
