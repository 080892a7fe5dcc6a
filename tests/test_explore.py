"""The trade-off between rate and chip: what it lists is possible, and each entry is worth having."""

import json
from itertools import pairwise

from typer.testing import CliRunner

import boards
from gen.explore import app, limiting, trade_off
from gen.solver import solve, usable

from .samples import chain

BUDGET = boards.find("zcu102").budget


def test_each_design_is_slower_and_smaller_than_the_one_before():
    network = chain("small", 8, 16, "pool", 32, ("dense", 10))
    plans = trade_off(network, BUDGET, 250e6)
    assert len(plans) > 3 and plans[0].foldings == solve(network, BUDGET, 250e6)
    for faster, plan in pairwise(plans):
        assert plan.cycles > faster.cycles and plan.cost.lut < faster.cost.lut
        assert plan.cost.within(usable(BUDGET)) and 0 < limiting(plan.cost, BUDGET)[1] <= 1


def test_command_line(tmp_path):
    arguments = ["--net", "tfc", "--board", "zcu102", "--json", "--plot", str(tmp_path / "plot.png")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    rates = [design["frames_per_second"] for design in json.loads(result.stdout)]
    assert rates == sorted(rates, reverse=True) and len(rates) > 3
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_network():
    result = CliRunner().invoke(app, ["--net", "none", "--board", "zcu102"])
    assert result.exit_code == 2 and "tfc" in result.stderr
