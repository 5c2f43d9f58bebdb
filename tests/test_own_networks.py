"""Networks chosen by a scenario, modules of anyone's own, and what a run has made of them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.running.build import build
from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.status import DataError, UserError
from tests import tiny
from tests.benchmarks import code_noise

_MODULES = {"encoder": {"kind": "module", "latent_dim": 2}, "decoder": {"kind": "module", "likelihood": "gaussian"}}
_IMAGES: dict[str, dict[str, Any]] = {
    "encoder": {"kind": "resnet18", "width": 4, "latent_dim": 2},
    "decoder": {"kind": "deconv", "width": 4, "likelihood": "gaussian", "variance": 0.1},
    "classifier": {"kind": "mlp", "hidden": [5]},
}
_MLPS = {
    "encoder": {"kind": "mlp", "hidden": [6], "latent_dim": 2},
    "decoder": {"kind": "mlp", "hidden": [6], "likelihood": "gaussian"},
}


def scenario(networks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Training by Adam and two moves of the multipliers, each followed by a few more steps."""
    tree: dict[str, Any] = {
        "name": "networks",
        "threads": 1,
        "device": "cpu",
        "data": {"source": {"name": "digits", "classes": [0, 1, 2], "limit": 30}},
        "objective": {"kind": "amortised", "samples": 2, "weight_prior_precision": 0.05, **networks},
        "start": {
            "lam": 0.5,
            "gamma": 2.0,
            "equilibrate": {"adam_steps": 20, "learning_rate": 3e-3, "newton_steps": 0, "tolerance": 1e3},
        },
        "process": {"kind": "prescribed", "span": [0.0, 0.2], "path": {"lam": 0.55, "gamma": 2.1}},
        "response": {"kind": "none"},
        "integrator": {"method": "euler", "step_size": 0.1},
        "corrector": {"method": "gradient", "steps": 5, "peak_learning_rate": 2e-4},
    }
    return {**tree, **changes}


def own(dtype: torch.dtype = torch.float64) -> dict[str, nn.Module]:
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 2, 4, stride=2), nn.Tanh(), nn.Flatten())
    encoder.append(nn.Linear(18, 4))
    decoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 64), nn.Unflatten(1, (8, 8)))  # images
    return {"encoder": encoder.to(dtype), "decoder": decoder.to(dtype)}


def _rate(encoder: nn.Module, x: Tensor) -> float:
    mean, log_variance = encoder(x).chunk(2, dim=1)
    return float(0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean())


def _x(tree: dict[str, Any]) -> Tensor:
    objective: Any = build(from_mapping(scenario(_MLPS, data=tree["data"])), Path.cwd()).problem.free_energy.objective
    x: Tensor = objective.data.source.x
    return x


# --- built-in networks --------------------------------------------------------------------------------------------


def test_a_residual_network_and_a_deconvolution_run_and_come_back(tmp_path: Path) -> None:
    tree = scenario(_IMAGES)
    run = rdc_dyn.run(tree, tmp_path / "run")
    assert run.attrs["status"] == "COMPLETED"
    assert run.attrs["x_shape"] == "1 x 8 x 8" and run.attrs["classes"] == 3 and "modules" not in run.attrs
    first = run.isel(time=0)  # J is linear in the multipliers, so this is J of the first theta at the last of them
    waiting = first.free_energy + 0.05 * first.distortion + 0.1 * first.classification_loss
    assert float(run.free_energy[-1]) < float(waiting)
    networks = rdc_dyn.load_networks(tmp_path / "run")
    assert list(networks) == ["encoder", "decoder", "classifier"]
    with torch.no_grad():
        assert _rate(networks["encoder"], _x(tree)) == pytest.approx(float(run.rate[-1]), rel=1e-12)
        assert networks["decoder"](torch.zeros(3, 2, dtype=torch.float64)).shape == (3, 64)
        assert networks["classifier"](torch.zeros(3, 2, dtype=torch.float64)).shape == (3, 3)
        start = rdc_dyn.load_networks(tmp_path / "run", point=0)
        assert _rate(start["encoder"], _x(tree)) == pytest.approx(float(run.rate[0]), rel=1e-12)
    with pytest.raises(UserError, match=r"point: 7 has no checkpoint in .*; expected one of: 0, "):
        rdc_dyn.load_networks(tmp_path / "run", point=7)


def test_what_c_is_made_of_in_closed_form() -> None:
    """z ~ N(1/2, 1), p = logistic(10 z): Phi(1/2) of one code is right, of two Phi(1/sqrt 2), and all of the mean."""
    x, label = torch.zeros(2000, 2, dtype=torch.float64), torch.ones(2000, dtype=torch.int64)
    x[:, 0] = 0.5
    sharp = nn.Linear(1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        sharp.weight.copy_(torch.tensor([[0.0], [10.0]]))
    torch.manual_seed(0)
    found = code_noise.measured({"encoder": nn.Identity(), "classifier": sharp}, x, label)
    assert found["one code"] == pytest.approx(0.69146, abs=6e-3)
    assert found["two codes"] == pytest.approx(0.76025, abs=6e-3)
    assert found["mean code"] == 1.0 and found["deviation"] == 1.0
    assert found["C still"] == pytest.approx(np.log1p(np.exp(-5.0)), rel=1e-12)
    z, weight = np.polynomial.hermite_e.hermegauss(200)
    exact = weight @ np.logaddexp(0.0, -10.0 * (0.5 + z)) / weight.sum()
    assert found["C"] == pytest.approx(exact, rel=2e-2)


def test_what_c_is_made_of_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C over 32 codes is that of fresh noise at the first and at the last point."""
    run = rdc_dyn.run(scenario(_MLPS), tmp_path / "run")
    code_noise.main(str(tmp_path / "run"))
    first, last = (line.split() for line in capsys.readouterr().out.splitlines()[-2:])
    for line, at in ((first[-8:], run.isel(time=0)), (last[-8:], run.isel(time=-1))):
        assert float(line[0]) == pytest.approx(float(at.lam), rel=1e-2)
        assert float(line[2]) == pytest.approx(float(at.fresh_classification_loss), rel=0.1)


def test_the_command_line_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(dump(from_mapping(scenario(_IMAGES))))
    result = CliRunner().invoke(main, ["run", str(path), "-o", str(tmp_path / "run"), "--quiet"])
    assert result.exit_code == 0, result.output
    assert rdc_dyn.open_run(tmp_path / "run").attrs["linearisation_products"] == "batched"


@pytest.mark.parametrize("changes", [{"stem": "7x7"}, {"activation": "relu"}, {"width": 12}, {"groups": 2}])
def test_choices_of_a_residual_network(changes: dict[str, Any]) -> None:
    encoder = {**_IMAGES["encoder"], **changes}
    objective: Any = build(
        from_mapping(scenario({**_IMAGES, "encoder": encoder})), Path.cwd()
    ).problem.free_energy.objective
    network = objective.networks.encoder
    assert network.conv1.kernel_size == ((7, 7) if "stem" in changes else (3, 3))
    assert type(network.relu) is (nn.ReLU if "activation" in changes else nn.SiLU)
    assert network.bn1.num_groups == {"width": 6, "groups": 2}.get(next(iter(changes)), 4)
    assert network.bn1.num_channels == changes.get("width", 4)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_networks_of_images_refuse_what_has_no_shape(part: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", x=np.random.default_rng(0).random((6, 5)), y=np.arange(6) % 2)
    data = {"source": {"name": "npz", "file": str(tmp_path / "flat.npz")}}
    with pytest.raises(DataError) as refusal:
        rdc_dyn.run(scenario({**_MLPS, part: _IMAGES[part]}, data=data))
    message = str(refusal.value)
    assert message.startswith(f"objective.{part}: {_IMAGES[part]['kind']} is for images") and "\n" not in message
    assert refusal.value.exit_code == 4 and "5 numbers" in message


# --- modules of anyone's own --------------------------------------------------------------------------------------


def test_own_modules_run_as_the_same_built_in_ones() -> None:
    tree = scenario(_MLPS)
    begun: Any = build(from_mapping(tree), Path.cwd()).problem
    pieces = begun.free_energy.objective.layout.unflatten(begun.start.theta)
    modules: dict[str, nn.Module] = {
        "encoder": nn.Sequential(nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 4)).double(),
        "decoder": nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 64)).double(),
        "classifier": nn.Sequential(nn.Linear(2, 3)).double(),
    }
    for name, module in modules.items():
        module.load_state_dict({key.removeprefix(f"{name}."): v for key, v in pieces.items() if key.startswith(name)})
    ours = rdc_dyn.run(tree)
    theirs = rdc_dyn.run(scenario({**_MODULES, "classifier": {"kind": "module"}}), networks=modules)
    for name in ("rate", "distortion", "classification_loss", "free_energy", "equilibrium_residual"):
        assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_modules_are_left_alone_and_come_back_trained(dtype: torch.dtype, tmp_path: Path) -> None:
    tree, modules = scenario(_MODULES), own(dtype)
    modules["decoder"].register_buffer("scale", torch.ones(1, dtype=dtype))
    before = {name: copy.deepcopy(module.state_dict()) for name, module in modules.items()}
    run = rdc_dyn.run(tree, tmp_path / "run", networks=modules)
    trained = rdc_dyn.load_networks(tmp_path / "run", modules)
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            assert value.dtype == dtype and torch.equal(value, before[name][key])
            assert trained[name].state_dict()[key].dtype == torch.float64
        assert any(not torch.equal(p.double(), before[name][key]) for key, p in trained[name].named_parameters())
    assert trained["encoder"] is not modules["encoder"]
    with torch.no_grad():
        assert _rate(trained["encoder"], _x(tree)) == pytest.approx(float(run.rate[-1]), rel=1e-12)
    assert run.attrs["parameters"] == sum(p.numel() for m in trained.values() for p in m.parameters())
    text = rdc_dyn.open_run(tmp_path / "run").attrs["modules"]
    assert "encoder: 110 parameters" in text and "Conv2d(1, 2, kernel_size=(4, 4), stride=(2, 2))" in text


def test_the_printed_structure_is_bounded() -> None:
    modules = own()
    modules["encoder"] = nn.Sequential(*modules["encoder"].children(), *(nn.Tanh() for _ in range(1000)))
    built = build(from_mapping(scenario(_MODULES)), Path.cwd(), networks=modules)
    assert len(str(built.choices["modules"])) < 5000


class _Gives(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what, self.weight = what, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Any:
        return self.what(x)


_REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "missing": (_MODULES, {"encoder": own()["encoder"]}, r"objective\.decoder: .* networks=\{\"decoder\": module\}"),
    "not asked for": (_MLPS, {"encoder": own()["encoder"]}, r"objective\.encoder\.kind is mlp; set it to module"),
    "no part": (_MODULES, {**own(), "enkoder": nn.Identity()}, r"'enkoder' .* did you mean 'encoder'\?"),
    "no module": (_MODULES, {**own(), "encoder": nn.Linear}, r"encoder is a type; expected a torch\.nn\.Module"),
    "width": (_MODULES, {**own(), "encoder": nn.Linear(64, 5)}, r"gives \(2, 5\).*expected 4 numbers .* log-variance"),
    "input": (_MODULES, {**own(), "decoder": nn.Linear(3, 64)}, r"takes \(2, 2\).* fails \(RuntimeError.*expected 64"),
    "tuple": (_MODULES, {**own(), "encoder": _Gives(lambda x: (x, x))}, r"gives a tuple; expected 4 numbers"),
    "dtype": (_MODULES, {**own(), "encoder": _Gives(lambda x: x[:, :4].float())}, r"torch\.float32; expected 4"),
    "rows": (_MODULES, {**own(), "decoder": _Gives(lambda z: z.new_zeros(1, 64))}, r"gives \(1, 64\)"),
    "dropout": (
        _MODULES,
        {**own(), "decoder": nn.Sequential(nn.Linear(2, 64), nn.Dropout(0.1))},
        r"networks\.decoder\.1",
    ),
    "copy": (_MODULES, {**own(), "encoder": _Gives(i for i in range(3))}, r"cannot be copied .*generator"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_what_does_not_fit_is_one_line(name: str, tmp_path: Path) -> None:
    networks, modules, words = _REFUSED[name]
    with pytest.raises(UserError, match=words) as refusal:
        rdc_dyn.run(scenario(networks), tmp_path / "run", networks=modules)
    assert "\n" not in str(refusal.value) and refusal.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_an_objective_without_networks_takes_none() -> None:
    with pytest.raises(UserError, match="finite_latent takes no modules; expected amortised or importance_weighted"):
        rdc_dyn.run(tiny.images(), networks=own())
    with pytest.raises(UserError, match="is a list; expected a dict"):
        rdc_dyn.run(scenario(_MODULES), networks=[nn.Identity()])  # type: ignore[arg-type]


def test_the_command_line_says_how(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(dump(from_mapping(scenario(_MODULES))))
    assert CliRunner().invoke(main, ["validate", str(path)]).exit_code == 0
    result = CliRunner().invoke(main, ["run", str(path), "-o", str(tmp_path / "run")])
    lines = [line for line in result.output.splitlines() if line]
    assert result.exit_code == 2 and len(lines) == 1
    assert 'rdc_dyn.run(scenario, output, networks={"encoder": module})' in lines[0]
    assert not (tmp_path / "run").exists()


def test_trained_networks_need_the_modules_of_their_run(tmp_path: Path) -> None:
    rdc_dyn.run(scenario(_MODULES), tmp_path / "run", networks=own())
    with pytest.raises(UserError, match=r"objective\.encoder: kind module"):
        rdc_dyn.load_networks(tmp_path / "run")
    with pytest.raises(UserError, match=r"parameters, the run has \d+; expected the modules that it was given"):
        rdc_dyn.load_networks(tmp_path / "run", {**own(), "decoder": nn.Linear(2, 64)})
    rdc_dyn.run(tiny.images(), tmp_path / "finite")
    with pytest.raises(UserError, match="finite_latent, which has no networks"):
        rdc_dyn.load_networks(tmp_path / "finite")
    with pytest.raises(DataError, match="not a run directory"):
        rdc_dyn.load_networks(tmp_path / "nothing")


# --- the guide ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_example_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "howto" / "networks.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "load_networks" in block)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "networks.md", "exec"), names)
    run = names["ds"]
    assert run.attrs["status"] == "COMPLETED" and float(abs(run.rdc.drift("classification_loss")).max()) < 1e-6
    assert names["mean"].shape == (5, 2)


def test_a_run_with_own_modules_goes_on(tmp_path: Path) -> None:
    tree, modules = scenario(_MODULES), own()
    whole = rdc_dyn.run(tree, networks=modules)
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.run(tree, tmp_path / "run", max_time=1e-9, networks=modules)
    with pytest.raises(UserError, match="networks="):
        rdc_dyn.resume(tmp_path / "run")
    resumed = rdc_dyn.resume(tmp_path / "run", networks=modules)
    np.testing.assert_array_equal(resumed.free_energy, whole.free_energy)


@pytest.mark.slow
def test_a_sweep_takes_them_and_goes_on_with_the_same_alone(tmp_path: Path) -> None:
    tree, modules, grid = scenario(_MODULES), own(), {"seed": [0, 1]}
    swept = rdc_dyn.sweep(tree, grid, output=tmp_path / "sweep", networks=modules)
    assert [point.state for point in swept.points] == ["done", "done"]
    alone = rdc_dyn.run(tree, networks=modules)
    first = next(point for point in swept.points if point.values["seed"] == 0)
    np.testing.assert_array_equal(
        rdc_dyn.open_run(tmp_path / "sweep" / "runs" / first.name).free_energy, alone.free_energy
    )
    assert rdc_dyn.sweep(tree, grid, output=tmp_path / "sweep", networks=modules).ran == ()
    with pytest.raises(UserError, match="its runs have other networks"):
        rdc_dyn.sweep(tree, grid, output=tmp_path / "sweep", networks={**modules, "decoder": own()["encoder"]})
    with pytest.raises(UserError, match=r"a module was passed, but objective\.encoder\.kind is mlp"):
        rdc_dyn.sweep(scenario(_MLPS), grid, output=tmp_path / "other", networks=modules)
    assert not (tmp_path / "other").exists()
