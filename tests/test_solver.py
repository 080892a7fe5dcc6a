from dataclasses import replace
from itertools import product

import pytest

import boards
from gen.cost import cost
from gen.errors import UserError
from gen.folding import Folding, check, cycles
from gen.plan import Plan
from gen.resources import Resources
from gen.solver import _choose, _options, solve, usable
from gen.stages import stages

from .samples import chain, tiny, vgg

BUDGET = boards.find("zcu102").budget
CLOCK = 250e6


def total(network, foldings):
    return sum((cost(stage.layer, foldings[stage.name], stage.threshold) for stage in stages(network)), Resources())


def frame_cycles(network, foldings):
    return max(cycles(stage.layer, foldings[stage.name]) for stage in stages(network))


def test_choice_is_optimal():
    network = chain("small", 4, 4, ("dense", 2))
    options = [_options(stage.layer, stage.threshold, None, 512) for stage in stages(network)]
    for limit, blocks in product((16, 64, 300, 10**6), (0, 1, 2, 4)):
        every = [[(c.lut, c.bram * 2) for c, t in zip(o.costs, o.cycles, strict=True) if t <= limit]
                 for o in options]
        possible = [sum(lut for lut, _ in picks) for picks in product(*every)
                    if sum(used for _, used in picks) <= blocks]
        numbers = _choose(options, limit, blocks)
        if not possible:
            assert numbers is None
        else:
            found = sum(o.costs[n].lut for o, n in zip(options, numbers, strict=True))
            assert found == pytest.approx(min(possible))


def test_highest_rate_fits():
    network = vgg()
    foldings = solve(network, BUDGET, CLOCK)
    check(network, foldings)
    assert set(foldings) == {stage.name for stage in stages(network)}
    assert Plan(network, None, CLOCK, foldings).cost.within(usable(BUDGET))
    assert CLOCK / frame_cycles(network, foldings) > 15_259


@pytest.mark.parametrize("fps", [100, 1_000, 10_000])
def test_target_rate_is_met_with_fewer_luts_than_a_higher_one(fps):
    network = vgg()
    foldings, faster = solve(network, BUDGET, CLOCK, fps), solve(network, BUDGET, CLOCK, 2 * fps)
    assert CLOCK / frame_cycles(network, foldings) >= fps
    assert total(network, foldings).lut < total(network, faster).lut


def test_the_input_stream_is_not_too_wide():
    first = solve(chain("wide", 64, 64, ("dense", 2)), BUDGET, CLOCK)["input"]
    assert first.simd * 8 <= 512


def test_given_foldings_are_kept():
    given = {"conv3": Folding(2, 4, 1)}
    assert solve(tiny(), BUDGET, CLOCK, fixed=given)["conv3"] == given["conv3"]


def test_given_folding_with_too_wide_an_input():
    network = chain("dense", 8, ("dense", 2))
    network = replace(network, layers=(replace(network.layers[0], input=network.layers[1].output),
                                       *network.layers[2:]))
    with pytest.raises(UserError, match="'input': simd 192 makes the input stream 1536 bits wide; 512"):
        solve(network, BUDGET, CLOCK, fixed={"input": Folding(simd=192)})


def test_unreachable_target_names_the_highest():
    network = tiny()
    highest = int(CLOCK / frame_cycles(network, solve(network, BUDGET, CLOCK)))
    with pytest.raises(UserError, match=rf"cannot reach 100,000,000 frames/s .* is {highest:,}$"):
        solve(network, BUDGET, CLOCK, 1e8)
    assert solve(network, BUDGET, CLOCK, highest)


@pytest.mark.parametrize(("small", "name"), [({"bram": 100}, "BRAM"), ({"lut": 500}, "LUT")])
def test_too_large_a_network(small, name):
    with pytest.raises(UserError, match=rf"vgg is too large .* {name}, .* with [\d,]+ {name} would hold it"):
        solve(vgg(), replace(BUDGET, **small), CLOCK)


def test_what_would_hold_it_does():
    with pytest.raises(UserError, match="BRAM") as error:
        solve(vgg(), replace(BUDGET, bram=100), CLOCK)
    enough = int(str(error.value).split("A chip with ")[1].split()[0].replace(",", ""))
    assert solve(vgg(), replace(BUDGET, bram=enough + 1), CLOCK)
