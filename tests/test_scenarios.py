"""The shipped scenarios, run whole; the documented times are for two cores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rdc_dyn

SCENARIOS = Path(rdc_dyn.__file__).parents[1] / "scenarios"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
@pytest.mark.parametrize("scenario", sorted(SCENARIOS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_scenario_runs_to_its_end_on_the_surface(scenario: Path, tmp_path: Path) -> None:
    ds = rdc_dyn.run(scenario, tmp_path / "run")
    assert ds.attrs["status"] == "COMPLETED", ds.attrs["status_detail"]
    assert float(ds.equilibrium_residual.max()) <= 1e-8
    assert float(ds.rdc.hessian_eigenvalues().max()) <= 1e-12
    assert float(ds.rdc.maxwell_residual().max()) < 1e-5
    if scenario.stem.endswith("iso_classification"):
        assert float(abs(ds.constraint_residual).max()) <= 1e-10
        assert bool((np.diff(ds.rate) > 0).all()) and bool((np.diff(ds.distortion) < 0).all())
    if scenario.stem.endswith("geodesic_transfer"):
        assert ds.rdc.geodesic_straightness() <= 1e-9
        assert float(abs(ds.rdc.drift()).max()) <= 1e-10
    if "vae" in scenario.stem:
        for name in ("distortion", "classification_loss"):
            assert float(abs(ds[f"fresh_{name}"] / ds[name] - 1).max()) < 0.05
