"""The best array for a network and a board."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import boards
from gen.bits import BYTE, Powers
from gen.errors import UserError
from gen.network import Conv, Network, Tensor
from gen.resources import Resources
from gen.solver import usable
from gen.svpe.solver import solve

from .svpe_networks import Chain, agrees, everything

BOARD = boards.find("zcu102")
CLOCK = 250e6


def with_budget(**small):
    return SimpleNamespace(
        device=BOARD.device, dsp_column=BOARD.dsp_column, budget=replace(BOARD.budget, **small))


@pytest.mark.parametrize("form", ["svpe", "luts", "vpe"])
def test_the_best_fits_the_board_and_computes_the_network(form):
    plan = solve(everything(), BOARD, CLOCK, form)
    assert plan.shape.form == plan.arch == form
    assert plan.cost.within(usable(BOARD.budget))
    assert agrees(everything(), plan.shape, orders=[()])


@pytest.mark.parametrize("form", ["svpe", "vpe"])
def test_a_target_takes_fewer_luts(form):
    fastest = solve(everything(), BOARD, CLOCK, form)
    plan = solve(everything(), BOARD, CLOCK, form, fastest.rate / 4)
    assert fastest.rate > plan.rate >= fastest.rate / 4 and plan.cost.lut < 0.7 * fastest.cost.lut


def test_the_highest_rate_is_a_target_that_can_be_met():
    fastest = solve(everything(), BOARD, CLOCK)
    assert solve(everything(), BOARD, CLOCK, target_fps=fastest.rate * 0.9999).cycles == fastest.cycles
    with pytest.raises(UserError, match=f"gives {fastest.rate:,.1f} frames/s"):
        solve(everything(), BOARD, CLOCK, target_fps=fastest.rate * 1.001)


def test_a_small_board_gets_a_small_array():
    board = with_budget(lut=30000)
    plan = solve(everything(), board, CLOCK)
    assert plan.cost.within(usable(board.budget)) and plan.cycles > solve(everything(), BOARD, CLOCK).cycles


def test_arithmetic_is_no_wider_than_the_network():
    assert solve(everything(), BOARD, CLOCK).shape.pixel_bits == 17
    signs = Conv("signs", Tensor(8, 8, 3, BYTE), weights=np.ones((8, 3, 3, 3), int))
    plan = solve(Network("signs", (signs,), np.ones(8), np.zeros(8)), BOARD, CLOCK)
    assert plan.shape.bits == 1 and plan.shape.pixel_bits == 9 and plan.shape.acc_bits == 35


def test_same_plan_every_time():
    assert solve(everything(), BOARD, CLOCK).shape == solve(everything(), BOARD, CLOCK).shape


@pytest.mark.parametrize(("board", "target", "message"), [
    (BOARD, 1e9, r"1e\+09 frames/s: the fastest array that fits xczu9eg gives [\d,.]+ frames/s at 250 MHz"),
    (with_budget(lut=5000), None, "net: no array for xczu9eg is large enough for every layer"),
    (with_budget(bram=0), None, "no array for xczu9eg"),
    (with_budget(dsp=10), None, "no array for xczu9eg"),
])
def test_what_no_array_does(board, target, message):
    with pytest.raises(UserError, match=message):
        solve(everything(), board, CLOCK, target_fps=target)


def test_with_few_dsps_there_are_some_for_the_drain():
    assert solve(everything(), with_budget(dsp=60), CLOCK, "luts").cost.dsp < 60


def test_weights_that_shifts_cannot_make():
    with pytest.raises(UserError, match="form='vpe', or round with --powers"):
        solve(Chain((8, 8, 3)).conv(4, 3, weights=[11]).network(), BOARD, CLOCK)


def test_weights_of_two_powers_need_the_bits_of_one():
    layers = [replace(layer, weight_values=Powers(3, 2)) if isinstance(layer, Conv) else layer
              for layer in Chain((8, 8, 3)).conv(4, 3, weights=[3, 5]).network().layers]
    network = Network("net", tuple(layers), np.ones(4), np.zeros(4))
    assert solve(network, BOARD, CLOCK).shape.bits == 3


def test_what_is_told_of_a_plan_is_json():
    plan = solve(everything(), BOARD, CLOCK)
    assert json.loads(json.dumps(plan.interface))["program"] == "program.bin"
    told = json.loads(json.dumps(plan.layers))
    assert {"layer", "macs", "cycles", "share_of_peak", "waits"} == set(told[0])
    assert sum(layer["cycles"] for layer in told) == pytest.approx(plan.cycles, rel=0.1)
    assert json.loads(json.dumps(plan.identity(None)))[0]["lanes"] == plan.shape.lanes
    assert plan.cost == sum(plan.units.values(), Resources())
