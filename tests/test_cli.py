"""The command line as users and scripts see it: output, exit codes, and what is on disk afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import dump, from_mapping, json_schema, loads, template, templates
from tests.tiny import images, linear_gaussian

ROOT = Path(rdc_dyn.__file__).parents[1]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def write(folder: Path, tree: dict[str, Any]) -> Path:
    file = folder / "tiny.yaml"
    file.write_text(dump(from_mapping(tree)))
    return file


def one_line(result: Result) -> str:
    """The whole message: a single line, and no traceback."""
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    return lines[0]


def spawn(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "rdc_dyn", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


# --- light commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["validate", "FILE"], ["schema"], ["list"], ["init"], ["list", "--help"], ["run", "--help"]],
)
def test_light_commands_import_no_heavy_library(arguments: list[str], tmp_path: Path) -> None:
    file = write(tmp_path, images())
    code = (
        "import sys\nfrom rdc_dyn.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "heavy = {'torch', 'torchvision', 'torchdiffeq', 'xarray', 'matplotlib', 'sklearn', 'scipy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    arguments = [str(file) if a == "FILE" else a for a in arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("HEAVY []")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda p: p.stem)
def test_shipped_scenarios_are_valid(scenario: Path) -> None:
    assert "valid" in one_line(invoke("validate", scenario))


def test_there_are_the_promised_scenarios() -> None:
    promised = {
        "digits_iso_classification",
        "digits_vae_iso_classification",
        "linear_gaussian_iso_classification",
        "digits_prescribed",
    }
    assert promised <= {p.stem for p in SCENARIOS}


@pytest.mark.parametrize("name", list(templates()))
def test_init_prints_a_valid_scenario(name: str) -> None:
    result = invoke("init", name)
    assert result.exit_code == 0
    assert "#" in result.output
    loads(result.output)


def test_init_of_an_unknown_template() -> None:
    result = invoke("init", "digit")
    assert result.exit_code == 2
    assert "digits" in one_line(result)


def test_schema_is_the_scenario_s_json_schema() -> None:
    assert json.loads(invoke("schema").output) == json_schema()


def test_schema_writes_a_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text("old")
    assert invoke("schema", "-o", file).exit_code == 0
    assert json.loads(file.read_text()) == json_schema()
    lost = invoke("schema", "-o", tmp_path / "nowhere" / "schema.json")
    assert lost.exit_code == 4 and "nowhere" in one_line(lost)
    assert [each.name for each in tmp_path.iterdir()] == ["schema.json"]


@pytest.mark.parametrize("draft", [jsonschema.Draft202012Validator, jsonschema.Draft7Validator])
def test_editors_find_no_mistake_in_what_is_shipped(draft: Any) -> None:
    """The draft that the schema names, and the one that yaml-language-server reads."""
    draft.check_schema(json_schema())
    checked = draft(json_schema())
    for text in [*map(template, templates()), *(file.read_text("utf-8") for file in ROOT.glob("scenarios/**/*.yaml"))]:
        tree = YAML(typ="safe", pure=True).load(text)
        assert not list(checked.iter_errors(tree)), tree["name"]
        assert list(checked.iter_errors(tree | {"sede": 0}))
        assert list(checked.iter_errors(tree | {"integrator": {"method": "rk5"}}))


def test_init_names_the_schema_where_there_is_one(tmp_path: Path) -> None:
    bare, named = tmp_path / "bare.yaml", tmp_path / "named.yaml"
    assert invoke("init", "vae", "-o", bare).exit_code == 0
    assert bare.read_text() == template("vae")
    assert invoke("schema", "-o", tmp_path / "rdc_dyn.schema.json").exit_code == 0
    assert invoke("init", "vae", "-o", named).exit_code == 0
    line, _, rest = named.read_text().partition("\n")
    assert rest == template("vae") and invoke("validate", named).exit_code == 0
    target = line.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((tmp_path / target).read_text()) == json_schema()


def test_list() -> None:
    everything = invoke("list").output
    assert all(name in everything for name in ("rk4", "finite_latent", "newton_krylov", "iso_classification"))
    narrowed = invoke("list", "integrators").output
    assert "rk4" in narrowed and "finite_latent" not in narrowed
    wrong = invoke("list", "integrator")
    assert wrong.exit_code == 2
    assert "integrators" in one_line(wrong)


def test_validate_lists_all_errors_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "name: bad\nname: twice\nobjective: {kind: linear_gaussian, x_dim: two}\n"
        "start: {lam: -1}\nprocess: {kind: iso_clasification}\nintegrator: {method: rk4, step_sise: 0.1}\n"
    )
    result = invoke("validate", file)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    lines = result.output.splitlines()
    assert len(lines) >= 6
    assert all(f"{file}:" in line or f"{file.name}:" in line for line in lines)
    for text in ("bad.yaml:2:1: name", "step_sise", "did you mean", "step_size", "iso_classification", "x_dim", "lam"):
        assert text in result.output, text


# --- doctor -------------------------------------------------------------------------------------------------------


def test_doctor_describes_the_machine() -> None:
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    named = {line.split("  ")[0]: line for line in result.output.splitlines()}
    expected = {"python", "processors", "memory", "allocator", "torch", "threads", "OMP_NUM_THREADS", "deterministic"}
    assert expected <= set(named)
    assert torch.__version__.partition("+")[0] in named["torch"]
    assert "not installed" not in result.output


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_doctor_finds_a_scenario_in_good_health(dtype: str, tmp_path: Path) -> None:
    file = write(tmp_path, images())
    result = invoke("doctor", file, "--set", f"dtype={dtype}")
    assert result.exit_code == 0, result.output
    checks, _, measures = result.output.partition("\n\n")
    assert len(checks.splitlines()) == 13
    assert all(line.endswith("ok") for line in checks.splitlines()), checks
    assert f"cpu, {dtype}" in measures and "fit into" in measures and "48 source" in measures
    assert list(tmp_path.iterdir()) == [file]


def test_doctor_finds_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdc_dyn.objective import FiniteLatent

    sound = FiniteLatent.block_energy

    def noisy(*arguments: Any) -> torch.Tensor:
        return sound(*arguments) * (1 + 1e-3 * torch.rand(()))

    monkeypatch.setattr(FiniteLatent, "block_energy", noisy)
    result = invoke("doctor", write(tmp_path, images()))
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    assert "freeze its noise" in result.output
    stopped = invoke("run", write(tmp_path, images()), "-o", tmp_path / "run")
    assert stopped.exit_code == 2, stopped.output
    assert "no function of theta" in stopped.stderr
    assert not (tmp_path / "run").exists(), "a mistake of the objective leaves nothing behind"


# --- run ----------------------------------------------------------------------------------------------------------


def test_run_then_info_then_plot(tmp_path: Path) -> None:
    run, figure = tmp_path / "run", tmp_path / "figure.png"
    result = invoke("run", write(tmp_path, linear_gaussian()), "-o", run, "--set", "integrator.step_size=0.2")
    assert result.exit_code == 0, result.output
    assert "completed" in result.output
    assert {p.name for p in run.iterdir()} == {
        "trajectory.nc", "scenario.yaml", "log.jsonl", "checkpoints", "SHA256SUMS", ".lock"
    }  # fmt: skip
    with xr.open_dataset(run / "trajectory.nc") as ds:
        assert ds.sizes["time"] == 3
    info = invoke("info", run)
    assert info.exit_code == 0
    assert "completed" in info.output.lower() and "distortion" in info.output
    assert invoke("plot", run, "-o", figure).exit_code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_info_scenario_reruns_itself(tmp_path: Path) -> None:
    first = rdc_dyn.run(images(), tmp_path / "run")
    text = invoke("info", tmp_path / "run", "--scenario").output
    (tmp_path / "again.yaml").write_text(text)
    again = rdc_dyn.run(tmp_path / "again.yaml")
    assert again.drop_vars("wall_time").drop_attrs().identical(first.drop_vars("wall_time").drop_attrs())


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, images())
    result = invoke("run", file, "-o", tmp_path / "run", "--dry-run")
    assert result.exit_code == 0
    assert "parameters" in result.output
    assert list(tmp_path.iterdir()) == [file]


def test_an_existing_run_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "precious").write_text("mine")
    result = invoke("run", write(tmp_path, linear_gaussian()), "-o", run)
    assert result.exit_code == 2
    assert "not empty" in one_line(result)
    assert [p.name for p in run.iterdir()] == ["precious"]


@pytest.mark.parametrize(
    "override, exit_code",
    [
        ("integrator.method=rk5", 2),
        ("integrator.step_size=0", 2),
        ("integrator.stepsize=0.1", 2),
        ("objective.alphabet_size=1000", 4),
        ("data.source.classes=[0, 77]", 4),
        ("data.source.name=mnist", 4),
        ("start.from=nowhere", 4),
        ("device=cuda:99", 2),
    ],
)
def test_mistakes_create_nothing(override: str, exit_code: int, tmp_path: Path) -> None:
    if override == "data.source.name=mnist":
        tree = images()
        tree["data"]["root"] = "nowhere"
        file = write(tmp_path, tree)
    else:
        file = write(tmp_path, images())
    result = invoke("run", file, "-o", tmp_path / "run", "--set", override)
    assert result.exit_code == exit_code, result.output
    one_line(result)
    assert list(tmp_path.iterdir()) == [file]


def bad_arrays() -> dict[str, dict[str, np.ndarray]]:
    x, y = np.random.default_rng(0).random((20, 4)), np.arange(20) % 2
    spoilt, below = x.copy(), x.copy()
    spoilt[3, 2], below[5, 1] = np.nan, -0.5
    return {
        "datum 3, component 2 is nan": {"x": spoilt, "y": y},
        "expected arrays x and y": {"x": x, "labels": y},
        "expected whole numbers": {"x": x, "y": y + 0.5},
        "datum 0 has label -1": {"x": x, "y": y - 1},
        "20 inputs but 19 labels": {"x": x, "y": y[:-1]},
        "expected (N, ...) and (N,)": {"x": x, "y": x},
        "only one class": {"x": x, "y": 0 * y},
        "no data left": {"x": x[:0], "y": y[:0]},
        "x has type object; expected numbers": {"x": np.array([None, {}], dtype=object), "y": y},
        "expected numbers": {"x": x.astype(str), "y": y},
        "a bernoulli likelihood needs values in [0, 1]": {"x": below, "y": y},
        "[0, 1]: divide by 255": {"x": 0 * x + 255, "y": y},
    }


@pytest.mark.parametrize("message", list(bad_arrays()))
def test_bad_data_is_one_line_and_exit_code_4(message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **bad_arrays()[message])  # type: ignore[arg-type]
    tree = images(
        data={"source": {"name": "npz", "file": "data.npz"}, "validation_fraction": 0.0},
        objective={"alphabet_size": 2, "decoder": {"likelihood": "bernoulli"}},
    )
    del tree["data"]["source"]["classes"], tree["data"]["source"]["limit"], tree["objective"]["decoder"]["variance"]
    result = invoke("run", write(tmp_path, tree), "-o", tmp_path / "run")
    assert result.exit_code == 4, result.output
    assert message in one_line(result)
    assert not (tmp_path / "run").exists()


def test_good_npz_data_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    np.savez(tmp_path / "data.npz", x=0.2 * rng.random((30, 2, 3)) + 0.4 * y[:, None, None], y=y)
    tree = images(start={"lam": 1.0, "gamma": 4.0}, process={"path": {"lam": 1.1, "gamma": 4.1}})
    tree["data"]["source"] = {"name": "npz", "file": "data.npz"}
    result = invoke("run", write(tmp_path, tree), "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output


def test_a_numerical_stop_is_exit_code_3_and_keeps_the_trajectory(tmp_path: Path) -> None:
    """λ falls towards zero: the codes die one after another, and A loses its definiteness there."""
    tree = linear_gaussian(
        start={"lam": 1.0, "gamma": 1.0}, process={"path": {"lam": 0.0, "gamma": 0.0}, "span": [0.0, 1.0]}
    )
    result = invoke("run", write(tmp_path, tree), "-o", tmp_path / "run")
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    ds = rdc_dyn.open_run(tmp_path / "run")
    assert ds.attrs["status"] == "BRANCH_POINT"
    assert ds.sizes["time"] > 1
    assert bool(np.isfinite(ds.free_energy).all())


def test_a_start_that_is_no_equilibrium_starts_nothing(tmp_path: Path) -> None:
    tree = images(start={"equilibrate": {"newton_steps": 1, "adam_steps": 0}})
    result = invoke("run", write(tmp_path, tree), "-o", tmp_path / "run")
    assert result.exit_code == 3
    ds = rdc_dyn.open_run(tmp_path / "run")
    assert ds.attrs["status"] == "NOT_AT_EQUILIBRIUM"
    assert ds.sizes["time"] == 0
    assert invoke("plot", tmp_path / "run", "-o", tmp_path / "f.png").exit_code == 4


def test_max_time(tmp_path: Path) -> None:
    file = write(tmp_path, linear_gaussian(integrator={"step_size": 0.001}))
    result = invoke("run", file, "-o", tmp_path / "run", "--max-time", "0.2s")
    assert result.exit_code == 5, result.output
    ds = rdc_dyn.open_run(tmp_path / "run")
    assert ds.attrs["status"] == "TIME_LIMIT"
    assert 0 < ds.sizes["time"] < 400
    wrong = invoke("run", file, "-o", tmp_path / "other", "--max-time", "soon")
    assert wrong.exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_is_said_plainly(tmp_path: Path) -> None:
    result = invoke("run", write(tmp_path, images()), "-o", tmp_path / "run", "--device", "cuda")
    assert result.exit_code == 2
    assert "cpu" in one_line(result)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "number, code",
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_signals_keep_what_was_computed(number: signal.Signals, code: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    file = write(tmp_path, linear_gaussian(integrator={"step_size": 0.0001}))
    process = spawn("run", str(file), "-o", str(run), "-q")
    log = run / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.exists() and log.read_text().count('"record"') >= 5):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    ds = rdc_dyn.open_run(run)
    assert ds.attrs["status"] == ("RUNNING" if number == signal.SIGKILL else "INTERRUPTED")
    assert ds.sizes["time"] >= 5
    assert bool(np.isfinite(ds.free_energy).all())
    if number != signal.SIGKILL:
        assert (run / "trajectory.nc").exists()
        assert len(list((run / "checkpoints").iterdir())) >= 1


def test_plot_and_info_of_nothing(tmp_path: Path) -> None:
    for command in (["info", tmp_path], ["plot", tmp_path, "-o", tmp_path / "x.png"]):
        result = invoke(*command)
        assert result.exit_code == 4
        one_line(result)
    assert invoke("plot", tmp_path, "-o", tmp_path / "x.xyz").exit_code == 2


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
def test_examples_run_by_their_names(tmp_path: Path) -> None:
    listed = CliRunner().invoke(main, ["list", "examples"]).output
    assert "linear_gaussian_iso_classification" in listed and "The main job: all 1,797 digits" in listed
    words = ["run", "linear_gaussian_iso_classification", "-o", str(tmp_path / "run"), "-q"]
    assert CliRunner().invoke(main, [*words, "--set", "process.span=[0.0, 0.5]"]).exit_code == 0
    assert rdc_dyn.open_run(tmp_path / "run").attrs["title"] == "linear-gaussian-iso-classification"
    ds = rdc_dyn.run("linear_gaussian_iso_classification", max_time=1e-9)
    assert ds.sizes["time"] == 1
    wrong = CliRunner().invoke(main, ["validate", "linear_gausian_iso_classification"])
    assert wrong.exit_code == 2 and "did you mean 'linear_gaussian_iso_classification'?" in wrong.output


def test_init_writes_a_file_once(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    for name in ("digits", "digits_prescribed"):
        file.unlink(missing_ok=True)
        assert CliRunner().invoke(main, ["init", name, "-o", str(file)]).exit_code == 0
        assert CliRunner().invoke(main, ["validate", str(file)]).exit_code == 0
    before = file.read_text()
    again = CliRunner().invoke(main, ["init", "-o", str(file)])
    assert again.exit_code == 2 and "File exists" in again.output and file.read_text() == before
