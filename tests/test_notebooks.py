"""The tutorials as notebooks, in a kernel of their own: no cell fails, figures and tables are shown as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rdc_dyn

ROOT = Path(rdc_dyn.__file__).parents[1]


@pytest.fixture(autouse=True)
def _kernels_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def _executed(source: str, folder: Path, **options: Any) -> list[Any]:
    """The outputs of all cells of a percent script."""
    jupytext = pytest.importorskip("jupytext", reason="the extra docs is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
    pytest.importorskip("ipykernel", reason="the extra docs is not installed")
    notebook = jupytext.reads(source, fmt="py:percent")
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources, **options).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures", "tables"), [("first_trajectory", 1, 2), ("own_data", 1, 1), ("own_network", 0, 1)]
)
def test_a_tutorial_runs_as_a_notebook(name: str, figures: int, tables: int, tmp_path: Path) -> None:
    outputs = _executed((ROOT / "docs" / "tutorials" / f"{name}.py").read_text("utf-8"), tmp_path)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    shown = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in each for each in shown) == figures
    found = [each["text/html"] for each in shown if "<table" in each.get("text/html", "")]
    assert len(found) == tables
    if name == "first_trajectory":
        assert "completed: the process ran" in found[0]


_MISTAKE = """\
# %%
import rdc_dyn

# %%
rdc_dyn.Scenario  # loads what reads scenarios, and no torch
from rdc_dyn.scenario import from_mapping

from_mapping({"name": "<b>", "integrator": {"method": "eulr"}})

# %%
rdc_dyn.open_run("nowhere")

# %%
rdc_dyn.Status.FOLD
"""


def test_a_mistake_is_shown_in_a_notebook_without_a_traceback(tmp_path: Path) -> None:
    scenario, run, status = _executed(_MISTAKE, tmp_path, allow_errors=True)
    assert scenario.ename == "ScenarioError"
    assert scenario.traceback[0].startswith("ScenarioError: ") and len(scenario.traceback) > 2
    assert any("did you mean 'euler'?" in line for line in scenario.traceback)
    assert not any("Traceback" in line or "written.py" in line for line in scenario.traceback)
    assert run.ename == "DataError" and len(run.traceback) == 1
    assert status.data["text/html"].startswith("<code>FOLD</code>: a fold")
