"""What a process makes of M at one point, number for number: rates, free directions, frames and elapsed time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rdc_dyn.dynamics import GeodesicTransfer, Grid, IsoFunctional, IsoFunctionalTransfer, Prescribed, State, StepSize
from rdc_dyn.dynamics.processes.base import Process, SurfacePoint, Weights, size_of
from rdc_dyn.status import NumericalFailure, Status, UserError
from tests.problems import controls

_M = torch.tensor([[-1.0, 0.5, 2.0], [-3.0, 0.25, -1.0], [0.75, -2.0, 4.0]], dtype=torch.float64)
HERE = SurfacePoint(controls(2.0, 3.0, 0.5), _M, torch.tensor([5.0, 1.5, -0.5], dtype=torch.float64), 7.0)
THERE = replace(HERE, controls=controls(2.3, 2.6, 0.75), forces=HERE.forces + controls(0.4, 1.0, 2.0), rate=6.7)
_MIXED = (0.5, -1.0, 2.0)


def _listed(tensor: Tensor) -> list[float]:
    return list(tensor.reshape(-1).tolist())


def _near(*values: float) -> object:
    return pytest.approx(list(values), rel=1e-12)


# h_λ, h_γ = 0.75, -2 of C, and 0.5·(-1) + 3 + 1.5 = 4, 0.25 - 0.25 - 4 = -4 of the mixed functional
@pytest.mark.parametrize(
    ("clock", "rates"),
    [
        ("alpha", (2.0, 0.75)),
        ("multipliers", (2.0 / math.hypot(2, 0.75), 0.75 / math.hypot(2, 0.75))),
        ("rate_distortion", (2.0 / math.hypot(-1.625, -5.8125), 0.75 / math.hypot(-1.625, -5.8125))),
        ("lam", (1.0, 0.375)),
    ],
)
def test_the_clocks_of_a_level_set(clock: str, rates: tuple[float, float]) -> None:
    process = IsoFunctional((0.0, 1.0), clock=clock)  # type: ignore[arg-type]
    assert _listed(process.rates(0.0, HERE)) == _near(*rates, 0.0)
    assert process.held == ((0.0, 0.0, 1.0),)
    move = math.hypot(0.3, 0.4)
    elapsed = {
        "alpha": move / math.hypot(0.75, 2), "multipliers": move, "rate_distortion": math.hypot(0.3, 0.4), "lam": 0.3,
    }  # fmt: skip
    assert process.elapsed(HERE, THERE) == pytest.approx(elapsed[clock])
    assert process.elapsed(THERE, HERE) == pytest.approx(elapsed[clock])
    assert _listed(process.frame(HERE.controls)) == [0.5]
    expected = (0.0, 1.0, 0.0) if clock == "lam" else (0.75 / math.hypot(0.75, 2), -2 / math.hypot(0.75, 2), 0.0)
    assert _listed(process.free_directions(HERE)) == _near(*expected)
    assert set(process.divisors(HERE)) == ({"h_gamma"} if clock == "lam" else set())


def test_a_level_set_of_a_mixed_functional() -> None:
    process = IsoFunctional((0.0, 1.0), _MIXED, "alpha")
    assert _listed(process.rates(0.0, HERE)) == _near(4.0, 4.0, 0.0)
    assert process.elapsed(HERE, THERE) == pytest.approx(0.5 / math.hypot(4, 4))
    process = IsoFunctional((0.0, 1.0), _MIXED, "rate_distortion")  # of which (R, D) moves by (-2, -11), C by -5
    assert _listed(process.rates(0.0, HERE)) == _near(4.0 / math.hypot(2, 11), 4.0 / math.hypot(2, 11), 0.0)


def test_one_functional_is_held_while_the_data_change() -> None:
    process = IsoFunctionalTransfer((0.0, 1.0), 0.3)
    assert _listed(process.rates(0.0, HERE)) == _near(0.3, (0.75 * 0.3 + 4.0) / 2.0, 1.0)
    assert process.divisors(HERE) == {"C_gamma": (-2.0, Status.DEGENERATE_CONSTRAINT)}
    assert _listed(process.free_directions(HERE)) == [0.0, 1.0, 0.0]
    assert _listed(process.frame(HERE.controls)) == _near(2.0 - 0.3 * 0.5)
    assert process.elapsed(THERE, HERE) == pytest.approx(0.25)
    mixed = IsoFunctionalTransfer((0.0, 1.0), 0.3, _MIXED)
    assert _listed(mixed.rates(0.0, HERE)) == _near(0.3, (4.0 * 0.3 + 10.0) / 4.0, 1.0)
    assert mixed.divisors(HERE) == {"h_gamma": (-4.0, Status.DEGENERATE_CONSTRAINT)}


def test_a_geodesic_moves_d_with_r_and_holds_c() -> None:
    process = GeodesicTransfer((0.0, 1.0), -0.8)
    rates = process.rates(0.0, HERE)
    rate, distortion, loss = _listed(_M @ rates)
    assert distortion == pytest.approx(-0.8 * rate) and abs(loss) < 1e-12 and float(rates[2]) == 1.0
    assert process.held == ((0.8, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert _listed(process.free_directions(HERE)) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    # (D + 0.8 R) has (-3.8, 0.65) in (λ, γ), C has (0.75, -2)
    [(name, (determinant, status))] = process.divisors(HERE).items()
    assert "det" in name and status is Status.SINGULAR_GEODESIC
    assert determinant == pytest.approx(3.8 * 2.0 - 0.65 * 0.75)
    assert process.frame(HERE.controls).numel() == 0
    with pytest.raises(NumericalFailure, match=r"1 \+ k lam = -0\.6") as caught:
        process.rates(0.0, replace(HERE, matrix=torch.tensor([[0.0, 0, 1], [1, 2, 1], [2, 4, 1]]).double()))
    assert caught.value.status is Status.SINGULAR_GEODESIC


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_geodesic_is_singular_to_rounding_only(sign: float) -> None:
    eps = torch.finfo(torch.float64).eps
    for small, singular in ((90.0, True), (110.0, False)):  # rows of D and C, of which the norms are 1 and 3
        matrix = controls(0.0, 0.0, 1.0).repeat(3, 1)
        matrix[1, 0], matrix[2, 0], matrix[2, 1] = 1.0, 3.0, sign * small * eps * 3.0
        at, process = replace(HERE, matrix=matrix), GeodesicTransfer((0.0, 1.0), -0.8)
        if singular:
            with pytest.raises(NumericalFailure):
                process.rates(0.0, at)
        else:
            assert torch.isfinite(process.rates(0.0, at)).all()


@pytest.mark.parametrize("shape", ["linear", "exponential", "jump"])
def test_a_prescribed_path_and_its_rates(shape: str) -> None:
    process = Prescribed((1.0, 3.0), (2.0, 8.0), (9.0, 1.0), (0.0, 0.5), shape)  # type: ignore[arg-type]
    values = {"linear": (3.5, 7.0, 0.125), "exponential": (2 * 4**0.25, 9 * 9**-0.25, 0.125), "jump": (8.0, 1.0, 0.5)}
    lam, gamma, _ = values[shape]
    rates = {
        "linear": (3.0, -4.0, 0.25), "jump": (0.0, 0.0, 0.0),
        "exponential": (lam * math.log(4) / 2, -gamma * math.log(9) / 2, 0.25),
    }  # fmt: skip
    assert _listed(process.prescribed(1.5, HERE.controls)) == _near(*values[shape])
    assert _listed(process.rates(1.5, HERE)) == _near(*rates[shape])
    assert _listed(process.prescribed(1.0, HERE.controls)) == _near(2.0, 9.0, 0.0)
    assert _listed(process.prescribed(3.0, HERE.controls)) == _near(8.0, 1.0, 0.5)
    if shape == "jump":
        return
    at = [replace(HERE, controls=process.prescribed(s, HERE.controls)) for s in (1.5, 2.1)]
    assert _listed(process.frame(at[1].controls)) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert process.elapsed(*at) == process.elapsed(*reversed(at)) == pytest.approx(0.6)
    off = process.frame(at[0].controls + controls(0.0, 0.8, 0.05))
    gamma_off = math.log((gamma + 0.8) / gamma) / math.log(1 / 9) if shape == "exponential" else -0.1
    assert _listed(off) == _near(gamma_off, 0.1)


def test_what_a_prescribed_path_leaves_alone_is_its_frame() -> None:
    process = Prescribed((0.0, 1.0), (2.0, 2.0), (1.0, 5.0), (0.25, 0.25), "exponential")
    assert _listed(process.frame(controls(2.5, 3.0, 0.75))) == _near(0.5, 0.5)
    assert _listed(process.rates(0.5, HERE))[0] == 0.0 and float(process.prescribed(0.5, HERE.controls)[0]) == 2.0


def test_the_rates_of_a_grid_are_those_of_its_lines() -> None:
    grid = Grid((0.0, 5.0), (1.0, 1.5, 2.5), (3.0, 2.0), "lam", 0.5)
    found = [_listed(grid.rates(s, HERE)) for s in (0.0, 1.5, 2.0, 3.0, 5.0)]
    assert found == [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [-0.5, 0.0, 0.0]]
    assert _listed(grid.prescribed(4.5, HERE.controls)) == _near(1.25, 2.0, 0.5)
    assert [Grid((0.0, 9.0), (1.0, 2.0), (1.0,) * 5, "lam").node(n)[0] for n in range(10)] == 2 * [0, 1, 1, 0] + [0, 1]


class _Own(IsoFunctional):
    answer: object = None

    def rates(self, s: float, here: SurfacePoint) -> Tensor:
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize("held", [(), ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))])
def test_two_functionals_take_both_multipliers_and_none_takes_none(held: tuple[Weights, ...]) -> None:
    class Holding(Process):
        span = (0.0, 1.0)

        def rates(self, s: float, here: SurfacePoint) -> Tensor:
            return torch.zeros(3)

    Holding.held = held
    process = Holding()
    assert process.free_directions(HERE).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]][: len(held)]
    assert process.prescribed(0.0, HERE.controls) is None and process.divisors(HERE) == {} and not process.by_nodes
    for missing in (lambda: process.frame(HERE.controls), lambda: process.elapsed(HERE, THERE)):
        with pytest.raises(UserError, match="follow needs Holding"):
            missing()


@pytest.mark.parametrize("answer", [torch.zeros(2), torch.zeros(1, 3), [0.0, 0.0, 0.0]])
def test_rates_of_another_shape_are_refused(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    process = _Own((0.0, 1.0))
    monkeypatch.setattr(_Own, "answer", answer)
    with pytest.raises(UserError, match=r"_Own.rates gives .* expected a tensor of shape \(3,\)"):
        process.velocity(0.0, HERE)
    monkeypatch.setattr(_Own, "answer", torch.ones(3, dtype=torch.float32))
    assert process.velocity(0.0, HERE).dtype == torch.float64


def test_a_derivative_at_the_level_of_rounding_is_none() -> None:
    small = torch.full_like(_M, 1e-3)
    eps = torch.finfo(torch.float64).eps
    for matrix, scale in ((small, 1.0), (_M, math.sqrt(0.75**2 + 4 + 16))):
        assert size_of(torch.tensor([101 * eps * scale]).double(), matrix, (0.0, 0.0, 1.0)) > 0
        for size in (99 * eps * scale, 0.0, math.nan):
            with pytest.raises(NumericalFailure) as caught:
                size_of(torch.tensor([size]).double(), matrix, (0.0, 0.0, 1.0))
            assert caught.value.status is Status.DEGENERATE_CONSTRAINT
    assert size_of(torch.tensor([3.0, 4.0]).double(), _M, (0.0, 0.0, -1.0)) == 5.0


@pytest.mark.parametrize(("lam", "gamma", "bad"), [(0.0, 0.0, False), (-1e-9, 1.0, True), (1.0, -1e-9, True)])
def test_no_multiplier_is_negative(lam: float, gamma: float, bad: bool) -> None:
    state = State(torch.zeros(2), controls(lam, gamma, 0.5))
    assert (state.lam, state.gamma, state.data_position) == (lam, gamma, 0.5)
    if bad:
        with pytest.raises(NumericalFailure) as caught:
            state.require_bounds()
        assert caught.value.status is Status.BOUND_REACHED
    else:
        state.require_bounds()


def test_one_number_that_is_not_finite_is_enough() -> None:
    assert State(torch.zeros(2), controls(1.0, 1.0)).finite
    assert not State(torch.tensor([0.0, math.inf]), controls(1.0, 1.0)).finite
    assert not State(torch.zeros(2), controls(math.nan, 1.0)).finite


def test_the_length_of_steps_keeps_to_its_bounds() -> None:
    size = StepSize(0.4, 0.05)
    assert size.value == 0.4 and not size.exhausted
    assert size.rejected(0.06).value == 0.05 and size.rejected(0.02).value == 0.02
    assert size.rejected(0.06).failed == 0.06 and size.rejected(0.06).accepted().failed is None
    assert not size.rejected(0.0501).exhausted and size.rejected(0.05 * (1 + 1e-7)).exhausted
    assert size.rejected(0.4).accepted(1.5).value == pytest.approx(0.3)
    assert size.rejected(0.4).accepted(0.1).value == 0.05 and size.accepted(3.0).value == 0.4
    assert size.target(0.0, (0.0, 2.0), reach=0.0) == pytest.approx(0.0125)
    assert StepSize(0.4, 0.05, 0.1).target(0.35, (0.0, 2.0)) == pytest.approx(0.4)
    assert StepSize(0.4, 0.05, 0.1).target(0.4, (0.0, 2.0)) == pytest.approx(0.5)
    assert StepSize(0.4, 0.05, 0.1).target(1.95, (0.0, 2.0)) == 2.0
    assert size.target(0.8 - 1e-12, (0.0, 2.0)) == pytest.approx(1.2)
    assert size.target(0.0, (0.0, 0.4 * (1 + 1e-10))) == 0.4 * (1 + 1e-10)
