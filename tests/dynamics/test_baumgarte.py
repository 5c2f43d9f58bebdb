"""ḣ = −κ (h − h⁰): what no corrector holds is pulled back."""

from __future__ import annotations

import torch

from rdc_dyn.dynamics import Integrator, IsoFunctional
from tests.problems import linear_gaussian, points_and_events, problem


def test_baumgarte_keeps_what_no_corrector_holds() -> None:
    """Euler without corrector: C drifts; pulled back at the rate κ it stays within the step's own error."""
    drifts = []
    for kappa in (0.0, 5.0):
        run = problem(
            linear_gaussian(), IsoFunctional((0.0, 1.6)), 1.2, 1.5, Integrator("euler"), 0.05, corrector=False,
            baumgarte=kappa,
        )  # fmt: skip
        points, events = points_and_events(run)
        assert events[-1].values["status"] == "COMPLETED"
        drifts.append(max(abs(float(p.at.functionals[2] - points[0].at.functionals[2])) for p in points))
    assert drifts[1] < 0.3 * drifts[0]


def test_baumgarte_does_not_change_the_path_that_holds() -> None:
    """On the level set the pull is zero: rk4 with it still converges to the same end."""
    ends = []
    for kappa in (0.0, 5.0):
        run = problem(
            linear_gaussian(), IsoFunctional((0.0, 0.8)), 1.2, 1.5, Integrator("rk4"), 0.05, corrector=False,
            baumgarte=kappa,
        )  # fmt: skip
        ends.append(points_and_events(run)[0][-1].at.controls)
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-5)
