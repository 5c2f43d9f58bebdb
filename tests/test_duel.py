"""The duel on rate–distortion curves: its three ways train for as long, and its script reads small versions of them."""

from __future__ import annotations

import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import rdc_dyn
from rdc_dyn.scenario import load

ROOT = Path(rdc_dyn.__file__).parents[1]
DUEL = ROOT / "scenarios" / "duel"
DATA = ROOT.parent / "shared" / "data"
#: Networks and data of seconds.
SMALL = (
    "data.source.limit=200", "data.validation.source.limit=100", "objective.encoder.hidden=[8]",
    "objective.decoder.hidden=[8]", "objective.encoder.latent_dim=4", "corrector.batch=50", f"data.root={DATA}",
)  # fmt: skip


def _epochs(name: str, models: int) -> float:
    """Epochs of training of the start and of the points of a run."""
    tree = load(DUEL / f"{name}.yaml").model_dump()
    start, corrector = tree["start"]["equilibrate"], tree["corrector"]
    batch = corrector["batch"] / tree["data"]["source"]["limit"]
    return float(start["adam_steps"] * batch + models * (corrector["moving"] + corrector["averaged"]))


def test_all_ways_train_for_32_epochs_on_the_same_ground() -> None:
    assert _epochs("mnist_path", 16) == 32
    assert 4 * _epochs("mnist_separate", 2) == 32
    assert _epochs("mnist_warm", 4) == 32
    trees = [load(DUEL / f"mnist_{name}.yaml").model_dump() for name in ("path", "separate", "warm")]
    for tree in trees:
        tree["corrector"].pop("moving")
    assert all(tree[key] == trees[0][key] for tree in trees for key in ("data", "objective", "corrector", "dtype"))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="needs MNIST in ../shared/data")
@pytest.mark.filterwarnings("ignore")
def test_the_script_compares_the_three(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    for name in ("path", "warm"):
        few = ("start.equilibrate.adam_steps=8",) if name == "path" else ()
        rdc_dyn.run(load(DUEL / f"mnist_{name}.yaml", (*SMALL, *few)), tmp_path / name, progress=False)
    separate = load(DUEL / "mnist_separate.yaml", (*SMALL, "start.equilibrate.adam_steps=8"))
    with ThreadPoolExecutor(1) as executor:
        assert not rdc_dyn.sweep(separate, output=tmp_path / "separate", executor=executor).failed
    matplotlib.use("Agg")
    places = [str(tmp_path / name) for name in ("duel.png", "duel.md", "path", "separate", "warm")]
    monkeypatch.setattr(sys, "argv", ["duel", *places])
    monkeypatch.syspath_prepend(ROOT / "analysis")
    runpy.run_path(str(ROOT / "analysis" / "duel.py"))
    table = (tmp_path / "duel.md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out
    assert all(words in table for words in ("β = 10 ", "β = 0.01 ", "one path", "| 16 |", "separate trainings"))
    assert (tmp_path / "duel.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="needs MNIST in ../shared/data")
@pytest.mark.filterwarnings("ignore")
def test_the_price_counts_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    few = (*SMALL, "start.equilibrate.adam_steps=8")
    rdc_dyn.run(load(DUEL / "mnist_path.yaml", few), tmp_path / "path", progress=False)
    grid = {"process.path.lam": [[0.1, 0.1], [100, 100]], "start.equilibrate.adam_steps": [0, 400]}
    with ThreadPoolExecutor(1) as executor:
        separate = load(DUEL / "mnist_separate.yaml", SMALL)
        assert not rdc_dyn.sweep(separate, grid, output=tmp_path / "separate", executor=executor).failed
    matplotlib.use("Agg")
    places = [str(tmp_path / name) for name in ("price.png", "price.md", "path", "separate")]
    monkeypatch.setattr(sys, "argv", ["price", *places])
    monkeypatch.syspath_prepend(ROOT / "analysis")
    runpy.run_path(str(ROOT / "analysis" / "price.py"))
    table = (tmp_path / "price.md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out
    # 8 updates of a quarter of the data and 16 points of 1.5 epochs; 2 points after 0 and 400 updates.
    assert table.count("| 26 |") == 2 and "alone for 3 epochs" in table and "alone for 103 epochs" in table
