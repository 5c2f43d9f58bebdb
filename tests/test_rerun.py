"""`rdc-dyn info RUN --scenario > again.yaml; rdc-dyn run again.yaml -o AGAIN`: the same bits, with no flag."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import dump, loads, portable
from tests.reliability.made import SCENARIOS, same_bits
from tests.tiny import images, linear_gaussian

_SHIPPED = Path(rdc_dyn.__file__).parents[1] / "scenarios"


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def _arrays(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((30, 4)), y=np.arange(30) % 3)


def _pictures(path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("ant", "bee", "wasp"):
        (path / kind).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 255, (5, 5), dtype=np.uint8)).save(path / kind / f"{number}.png")


def _with_data(section: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**images(), "data": section, **more}


_FOLDER = {"name": "image_folder", "folder": "pictures", "size": 5, "channels": "grey"}
_FAMILIES: dict[str, dict[str, Any]] = {
    "gaussian": linear_gaussian(),
    "gaussian transfer": SCENARIOS["transfer"],
    "finite latent": images(),
    "amortised": images(
        objective={
            "kind": "amortised",
            "encoder": {"kind": "mlp", "hidden": [3], "latent_dim": 2},
            "decoder": {"kind": "mlp", "hidden": [3], "likelihood": "gaussian", "variance": 0.1},
            "classifier": {"kind": "linear"},
            "samples": 2,
        },
        process={"span": [0.0, 0.1]},
    ),
    "digits transfer": images(
        data={"target": {"name": "digits", "classes": [3, 4, 5], "limit": 60}, "validation_fraction": 0.0},
        process={"kind": "iso_classification_transfer", "span": [0.0, 0.1], "lam_rate": 0.1, "path": None},
    ),
    "npz beside the scenario": _with_data({"source": {"name": "npz", "file": "sets/a.npz"}}),
    "images below data.root": _with_data({"source": _FOLDER, "root": "sets"}),
    "images beside the scenario": _with_data({"source": {**_FOLDER, "folder": "sets/pictures"}}),
}
del _FAMILIES["amortised"]["objective"]["alphabet_size"]
del _FAMILIES["digits transfer"]["process"]["path"]


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=pytest.mark.slow if f == "digits transfer" else []) for f in _FAMILIES]
)
def test_a_run_runs_again(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _arrays(tmp_path / "scenarios" / "sets" / "a.npz")
    _pictures(tmp_path / "scenarios" / "sets" / "pictures")
    Path("scenarios/s.yaml").write_text(json.dumps(_FAMILIES[family]))
    _again("scenarios/s.yaml")


def _again(scenario: str, *flags: str) -> None:
    first = _call("run", scenario, "-o", "runs/first", *flags)
    assert first.exit_code == 0, first.output
    printed = _call("info", "runs/first", "--scenario")
    assert printed.exit_code == 0 and printed.stderr == ""
    Path("again.yaml").write_text(printed.stdout)
    second = _call("run", "again.yaml", "-o", "runs/again")
    assert second.exit_code == 0, second.output
    assert same_bits(rdc_dyn.open_run("runs/first"), rdc_dyn.open_run("runs/again"))


def test_a_run_from_an_earlier_run_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["run", _written("s.yaml", linear_gaussian()), "-o", "runs/begin"]).exit_code == 0
    start = {"from": "runs/begin"}
    tree = linear_gaussian(process={"path": {"lam": 1.4, "gamma": 1.6}}) | {"start": start}
    _again(_written("s.yaml", tree))


def _written(name: str, tree: dict[str, Any]) -> str:
    Path(name).write_text(json.dumps(tree))
    return name


def test_data_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No flag but the variable, as the first time; without it a line says which."""
    work, sets = tmp_path / "work", tmp_path / "sets"
    work.mkdir()
    _pictures(sets / "pictures")
    monkeypatch.chdir(work)
    monkeypatch.setenv("RDC_DYN_DATA", str(sets))
    _again(_written("s.yaml", _with_data({"source": _FOLDER})))
    monkeypatch.delenv("RDC_DYN_DATA")
    printed = _call("info", "runs/first", "--scenario")
    assert printed.stdout == Path("again.yaml").read_text()
    assert printed.stderr == (
        f"rdc-dyn: files outside this folder; to run it again give RDC_DYN_DATA={sets} or --set data.root={sets}\n"
    )
    assert _call("run", "again.yaml", "-o", "runs/none").exit_code == 4
    assert _call("run", "again.yaml", "-o", "runs/some", "--set", f"data.root={sets}").exit_code == 0


def test_data_that_the_command_line_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies elsewhere is named by a line that can be given as it is."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    _arrays(tmp_path / "elsewhere" / "a.npz")
    flag = f"data.source.file={tmp_path}/elsewhere/a.npz"
    tree = _with_data({"source": {"name": "npz", "file": "a.npz"}})
    assert _call("run", _written("s.yaml", tree), "-o", "runs/first", "--set", flag).exit_code == 0
    printed = _call("info", "runs/first", "--scenario")
    assert printed.stderr == f"rdc-dyn: files outside this folder; to run it again give --set {flag}\n"
    Path("again.yaml").write_text(printed.stdout)
    refused = _call("run", "again.yaml", "-o", "runs/no")
    assert refused.exit_code == 2 and f"--set {flag}" in refused.stderr
    assert _call("run", "again.yaml", "-o", "runs/again", "--set", flag).exit_code == 0
    assert same_bits(*(rdc_dyn.open_run(f"runs/{name}").drop_attrs() for name in ("first", "again")))


def test_what_cannot_be_read_is_shown_as_it_is(tmp_path: Path) -> None:
    rdc_dyn.run(linear_gaussian(), tmp_path / "run")
    whole = rdc_dyn.open_run(tmp_path / "run")
    whole.attrs["scenario"] = "of: another version\n"
    whole.to_netcdf(tmp_path / "old.nc", engine="netcdf4")
    assert _call("info", str(tmp_path / "old.nc"), "--scenario").output == "of: another version\n"


def test_portable_leaves_a_scenario_without_paths_alone(tmp_path: Path) -> None:
    text = dump(loads(json.dumps(images())))
    again, needed = portable(loads(text), tmp_path)
    assert dump(again) == text and needed == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
@pytest.mark.parametrize(
    "name", [f"linear_gaussian_{kind}" for kind in ("iso_classification", "geodesic_transfer")] + ["digits_prescribed"]
)
def test_shipped_scenarios_run_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(_SHIPPED, "scenarios")
    _again(f"scenarios/{name}.yaml")
