"""`rdc-dyn validate SCENARIO --data`: what a run would find in its data, without running it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rdc_dyn.cli import main
from rdc_dyn.data import coupling

_TEXT = """\
name: looked-at
threads: 1
device: cpu
data:
  source: {name: npz, file: a.npz}
objective:
  kind: finite_latent
  alphabet_size: 3
  decoder: {likelihood: gaussian, variance: 0.1}
  weight_prior_precision: 0.1
start: {lam: 0.5, gamma: 1.0}
process: {kind: prescribed, span: [0.0, 0.2], path: {lam: 0.55, gamma: 1.1}}
integrator: {method: euler, step_size: 0.1}
"""
_SOURCE = "  source: {name: npz, file: a.npz}\n"


def _npz(name: str, count: int = 12, classes: int = 3, high: float = 1.0, shape: tuple[int, ...] = (2, 2)) -> None:
    x = np.random.default_rng(0).uniform(0.0, high, (count, *shape))
    x = x if high <= 1 else x.round()  # grey levels
    x.flat[:2] = 0.0, high
    np.savez(name, x=x, y=np.arange(count) % classes)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _npz("a.npz")


def _look(data: str = _SOURCE, *words: str, text: str = _TEXT) -> Result:
    Path("s.yaml").write_text(text.replace(_SOURCE, data))
    before = sorted(os.listdir())
    result = CliRunner().invoke(main, ["validate", "s.yaml", "--data", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert sorted(os.listdir()) == before
    return result


def _found(result: Result, *lines: tuple[str, str]) -> None:
    """Exactly these findings, each a line: where it begins, and some of its words."""
    assert result.exit_code == 4, result.output
    found = result.stderr.splitlines()
    assert len(found) == len(lines), result.stderr
    for line, (place, words) in zip(found, lines):
        assert line.removeprefix("rdc-dyn: ").startswith(f"s.yaml:{place}: ") and words in line, line


def test_data_that_are_fine_are_counted_in_one_line() -> None:
    _npz("b.npz", 8, high=0.5)
    data = _SOURCE + "  validation: {source: {name: npz, file: b.npz}}\n"
    result = _look(data)
    assert result.exit_code == 0 and result.stdout == (
        "s.yaml: valid (finite_latent, prescribed, euler); data.source: 12 images of 1 x 2 x 2 in [0, 1], 3 classes; "
        "data.validation.source: 8 images of 1 x 2 x 2 in [0, 0.5], 3 classes\n"
    )
    _npz("a.npz", 12, shape=(5,))
    result = _look(_SOURCE + "  validation_fraction: 0.25\n")
    assert "data.source: 12 data of 5 in [0, 1], 3 classes, 3 held out\n" in result.stdout


def test_a_run_of_what_is_fine_begins() -> None:
    assert _look().exit_code == 0
    assert CliRunner().invoke(main, ["run", "s.yaml", "-o", "out", "--dry-run"]).exit_code == 0


def test_everything_is_told_at_once() -> None:
    """A file that is missing, one that is none, classes that do not occur and a limit that is too large."""
    Path("broken.npz").write_bytes(b"no zip")
    data = """\
  source: {name: npz, file: none.npz, classes: [0, 7]}
  target: {name: npz, file: broken.npz}
  validation:
    source: {name: npz, file: a.npz, classes: [0, 7]}
    target: {name: npz, file: a.npz, limit: 500}
"""
    _found(
        _look(data),
        ("5:29", "data.source.file: "),
        ("6:29", "not a readable npz file"),
        ("8:47", "has no datum of class 7"),
        ("9:45", "data.validation.target.limit: 500 data are asked for, and there are 12"),
    )


def test_where_mnist_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = "  source: {name: mnist}\n"
    _found(_look(mnist), ("5:18", "data.source.name: data.root is not set; mnist is read from the folder"))
    monkeypatch.setenv("RDC_DYN_DATA", str(tmp_path / "sets"))
    _found(_look(mnist), ("5:18", f"data.source.name: {tmp_path}/sets: mnist not found"))
    _found(_look(mnist + "  root: here\n"), ("5:18", f"{tmp_path}/here: mnist not found"))
    _found(_look(mnist + "  root: here\n  download: true\n"), ("5:18", "a run would download it"))


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("  source: {name: npz, file: bad.npz}\n", [("5:11", "data.source: datum 4, component 2 is nan")]),
        (_SOURCE + "  target: {name: npz, file: wide.npz}\n", [("6:11", "data.target: 9 components per datum")]),
        (_SOURCE + "  target: {name: npz, file: five.npz}\n", [("6:11", "data.target: has the labels 5, 6, 7")]),
        ("  source: {name: npz, file: a.npz, classes: [1]}\n", [("5:11", "data.source: only one class")]),
        ("  source: {name: npz, file: empty.npz}\n", [("5:11", "data.source: no data left")]),
        (_SOURCE + "  validation_fraction: 0.01\n", [("6:24", "the 12 data of data.source cannot be split so")]),
        (
            _SOURCE + "  validation: {source: {name: npz, file: four.npz}}\n",
            [("6:24", "data.validation.source: datum 3 has label 3; expected 0 to 2")],
        ),
    ],
)
def test_what_the_readers_refuse(data: str, lines: list[tuple[str, str]]) -> None:
    _npz("wide.npz", shape=(3, 3))
    np.savez("empty.npz", x=np.zeros((0, 2, 2)), y=np.zeros(0, int))
    _npz("four.npz", classes=4)
    x = np.random.default_rng(0).random((12, 2, 2))
    np.savez("five.npz", x=x, y=np.arange(12) % 3 + 5)
    x[4, 1, 0] = np.nan
    np.savez("bad.npz", x=x, y=np.arange(12) % 3)
    _found(_look(data), *lines)
    ran = CliRunner().invoke(main, ["run", "s.yaml", "-o", "out"])
    assert ran.exit_code == 4 and lines[0][1].removeprefix("data.source: ") in ran.stderr


def test_what_the_rest_of_the_scenario_asks_of_its_data() -> None:
    many = _TEXT.replace("alphabet_size: 3", "alphabet_size: 20")
    _found(_look(text=many), ("8:18", "objective.alphabet_size: 20 codes for 12 data"))
    batch = _TEXT.replace("gamma: 1.0}", "gamma: 1.0, equilibrate: {batch: 13}}")
    _found(_look(text=batch), ("11:52", "start.equilibrate.batch: must be <= 12, the number of data, got 13"))
    grey = _TEXT.replace("gaussian, variance: 0.1", "bernoulli")
    _npz("a.npz", high=255.0)
    _found(_look(text=grey), ("5:11", "needs values in [0, 1]: divide by 255"))
    _npz("a.npz", shape=(5,))
    start, end = _TEXT.index("objective:"), _TEXT.index("start:")
    networks = (
        "objective:\n  kind: amortised\n  encoder: {kind: resnet18, latent_dim: 2}\n"
        "  decoder: {kind: mlp, hidden: [3], likelihood: gaussian}\n"
    )
    flat = _look(text=_TEXT[:start] + networks + _TEXT[end:])
    _found(flat, ("8:12", "objective.encoder: resnet18 is for images, but a datum is 5 numbers"))


def test_a_batch_is_refused_as_a_run_refuses_it() -> None:
    text = _TEXT + "corrector: {method: primal_dual, batch: 13}\nresponse: {kind: secant_filter}\n"
    _found(_look(text=text), ("14:41", "corrector.batch: must be <= 12, the number of data, got 13"))
    ran = CliRunner().invoke(main, ["run", "s.yaml", "-o", "out"])
    assert ran.exit_code == 2 and "corrector.batch: must be <= 12, the number of data, got 13" in ran.stderr


def test_a_coupling_is_read_and_no_plan_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = _SOURCE + "  target: {name: npz, file: a.npz}\n  path: optimal_transport\n"
    np.savez("c.npz", coupling=np.eye(11))
    _found(_look(moved + "  coupling: c.npz\n"), ("8:13", "data.coupling: "))
    np.savez("c.npz", coupling=np.eye(12))
    assert _look(moved + "  coupling: c.npz\n").exit_code == 0
    monkeypatch.setattr(coupling, "_MAX_BYTES", 1000)
    _found(_look(moved), ("7:9", "data.path: an optimal plan between 12 and 12 data needs"))


def test_overrides_are_looked_at_and_named() -> None:
    result = _look(_SOURCE, "--set", "data.source.limit=99")
    assert result.exit_code == 4
    assert result.stderr.startswith("rdc-dyn: --set data.source.limit=99: data.source.limit: 99 data are asked for")


def test_a_scenario_without_data_has_none_to_read() -> None:
    result = CliRunner().invoke(main, ["validate", "linear_gaussian_iso_classification", "--data"])
    assert result.exit_code == 0 and result.stdout.endswith("; no data to read\n")


def test_mistakes_of_the_scenario_come_first() -> None:
    result = _look(_SOURCE + "  target: {name: npz}\n")
    assert result.exit_code == 2 and "data.target.file" in result.stderr


def test_shipped_digits_are_fine() -> None:
    result = CliRunner().invoke(main, ["validate", "digits_vae_iso_classification", "--data"])
    assert result.exit_code == 0, result.output
    assert "images of 1 x 8 x 8 in [0, 1], 10 classes" in result.stdout
