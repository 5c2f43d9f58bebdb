"""The paper's experiments: every scenario has a CPU-sized sibling, which runs on real data (here on a few of them)."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rdc_dyn
from rdc_dyn.scenario import load

ROOT = Path(rdc_dyn.__file__).parents[1]
PAPER = ROOT / "scenarios" / "paper"
DATA = ROOT.parent / "shared" / "data"
ARCHIVE = "cifar10-vehicles-animals.tar.xz"
SMALL = sorted(PAPER.glob("*_cpu.yaml"))
#: So many images of each class, of each split, are unpacked.
_IMAGES = {"train": 12, "test": 6}
#: Sizes may differ between siblings, and nothing else.
_SIZES = {
    "name", "device", "threads", "limit", "hidden", "latent_dim", "width", "stem", "samples", "adam_steps", "batch",
    "learning_rate", "drop_every", "span", "step_size", "delta", "delta_gamma", "steps", "baumgarte", "folder", "size",
    "split", "channels", "updates", "tolerance",
}  # fmt: skip


def _without_sizes(value: Any) -> Any:
    if not isinstance(value, dict):
        return "images" if value in ("cifar10", "image_folder") else value
    return {key: _without_sizes(each) for key, each in value.items() if key not in _SIZES}


@pytest.mark.parametrize("small", SMALL, ids=lambda path: path.stem)
def test_siblings_differ_in_size_only(small: Path) -> None:
    full = small.with_name(small.name.replace("_cpu", ""))
    one, other = load(full).model_dump(), load(small).model_dump()
    assert one["name"] + "-cpu" == other["name"]
    assert _without_sizes(one) == _without_sizes(other)


def test_every_experiment_has_both_sizes() -> None:
    names = {path.stem.removesuffix("_cpu") for path in PAPER.glob("*.yaml")}
    assert {path.stem.removesuffix("_cpu") for path in SMALL} == names
    assert {name[:4] for name in names} == {"fig2", "fig3", "fig4", "fig5", "fig6"}


@pytest.mark.parametrize(
    "names",
    [
        ("mnist_linear_response", "mnist_recipe"),
        ("fig2_mnist", "fig2_mnist_recipe"),
        ("fig6_transfer", "fig6_transfer_recipe"),
    ],
)
def test_the_exact_path_is_the_same_by_both_ways(names: tuple[str, str]) -> None:
    one, other = (load(PAPER / "exact" / f"{name}.yaml").model_dump() for name in names)
    for tree in (one, other):  # how folds are met is a matter of the way
        tree["process"] |= {"on_fold": None, "look_ahead": None}
    assert {key for key in one if one[key] != other[key]} == {"name", "response", "integrator", "corrector"}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST as it is, and the first images of each class of CIFAR-10."""
    if not (DATA / "MNIST").is_dir() or not (DATA / ARCHIVE).is_file():
        pytest.skip("needs MNIST and CIFAR-10 images in ../shared/data")
    root = tmp_path_factory.mktemp("data")
    os.symlink(DATA / "MNIST", root / "MNIST")
    counts: dict[str, int] = {}
    with tarfile.open(DATA / ARCHIVE) as archive:
        for member in archive:
            folder = member.name.rpartition("/")[0]
            counts[folder] = counts.get(folder, 0) + member.isfile()
            if member.isfile() and counts[folder] <= _IMAGES[member.name.split("/")[0]]:
                archive.extract(member, root / "cifar10-vehicles-animals", filter="data")
    return root


def _few(scenario: dict[str, Any]) -> list[str]:
    """Overrides that leave a few data, a few steps and two points."""
    images = scenario["data"]["source"]["name"] == "image_folder"
    found = ["sweep=null", "start.equilibrate.adam_steps=40"]
    means = scenario["corrector"]["method"] == "primal_dual"
    if means:  # of two minibatches an epoch nothing is to be expected but that it ends
        found += ["corrector.batch=20", "corrector.tolerance=10", "corrector.dissipation=1e6", "corrector.epochs=30"]
        found += ["corrector.updates=60", "start.equilibrate.adam_steps=300"]
    else:
        found += ["corrector.steps=6", "corrector.batch=20"]
    found += ["process.span=[0.0, 0.02]", "integrator.step_size=0.01"]
    if scenario["process"]["kind"] != "prescribed" and not means:
        # After a few steps slopes of C are not to be trusted: a pull by them would leave lam > 0. On minibatches of a
        # few images C_gamma has any sign, and at the gamma of Figure 6 they are learnt by heart.
        found += ["corrector.baumgarte=0", "corrector.batch=null", "corrector.steps=20", "start.gamma=10"]
        if scenario["response"]["kind"] == "finite_difference":
            found += ["response.delta=0.5"]
    for part in ("source", "target"):
        if scenario["data"][part] is not None:
            found += [f"data.{part}.limit={300 if means else 40}"]
        if scenario["data"]["validation"][part] is not None:
            found += [f"data.validation.{part}.limit={20 if images else 30}"]
    return found


#: The others are slow.
_FAST = ("fig2_mnist_cpu", "fig6_from_scratch_cpu")


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
@pytest.mark.parametrize(
    "small", [pytest.param(p, marks=[] if p.stem in _FAST else pytest.mark.slow, id=p.stem) for p in SMALL]
)
def test_a_few_data_run_to_the_end(small: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDC_DYN_DATA", str(data_root))
    scenario = load(small, _few(load(small).model_dump()))
    ds = rdc_dyn.run(scenario)
    assert ds.attrs["status"] == "COMPLETED", ds.attrs["status_detail"]
    assert ds.sizes["time"] >= 2 and bool(np.isfinite(ds.free_energy).all())
    assert bool(((ds.validation_accuracy >= 0) & (ds.validation_accuracy <= 1)).all())
    if "transfer" in small.stem or "fine_tuning" in small.stem:
        assert bool(np.isfinite(ds.validation_target_accuracy).all())
    if "fig4a" in small.stem:
        assert int((ds.rdc.events.kind == "equilibrated").sum()) == ds.sizes["time"] - 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
@pytest.mark.parametrize("way", ["linear_response", "recipe"])
def test_the_exact_path_runs_on_few_images(way: str, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an equilibrium, A > 0, found by Newton; C is held where the corrector holds it."""
    monkeypatch.setenv("RDC_DYN_DATA", str(data_root))
    few = ["data.source.limit=12", "data.validation.source.limit=20", "objective.samples=1", "process.span=[0.0, 0.1]"]
    few += ["objective.weight_prior_precision=0.1", "start.equilibrate.adam_steps=300", "response.solver.rank=100"]
    ds = rdc_dyn.run(load(PAPER / "exact" / f"mnist_{way}.yaml", [*few, "response.solver.preconditioner=nystrom"]))
    assert ds.attrs["status"] == "COMPLETED", ds.attrs["status_detail"]
    assert float(ds.equilibrium_residual[0]) <= 1e-6
    drift = float(abs(ds.classification_loss[-1] - ds.classification_loss[0]))
    assert (drift <= 1e-6) == (way == "linear_response")
