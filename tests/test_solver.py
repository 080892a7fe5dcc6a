from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import boards
from gen.errors import UserError
from gen.folding import Folding, check, streams
from gen.network import Concat, Network
from gen.plan import Plan
from gen.program import PRICES
from gen.solver import Space, _Graph, solve, usable
from gen.stages import stages

from .samples import chain, tiny, vgg

BUDGET = boards.find("zcu102").budget
CLOCK = 250e6
AMPLE = 1e9, 1e9, 1e9


def middle():
    return chain("middle", 16, 16, 32, "pool", 64, 64, "pool", ("dense", 128), ("dense", 10))


def branched():
    """Binary layers of which two are passed by: both ways' channels go on."""
    plain = chain("plain", 4, 4, 4, ("dense", 2))
    lookup, first, sign, second, second_sign, flatten, dense = plain.layers
    join = Concat("both", sign.output, branches=((second, second_sign), ()), factors=(1, 1))
    flatten = replace(flatten, input=join.output)
    weights = np.random.default_rng(0).choice([-1, 1], (2, flatten.output.channels, 1, 1))
    return Network("branched", (lookup, first, sign, join, flatten, replace(
        dense, input=flatten.output, weights=weights)), plain.scale, plain.offset)


def frame_cycles(network, foldings):
    return max(streams(network, foldings).cycles.values())


def thinned(space, rng, count):
    """The space's stages with but ``count`` options each, picked at random."""
    nodes = []
    for node in space.nodes:
        picks = np.sort(rng.permutation(len(node.foldings))[:count])
        nodes.append(replace(node, foldings=[node.foldings[k] for k in picks], uses=node.uses[picks],
                             cycles=node.cycles[picks], putting=node.putting[picks] if node.puts else node.putting,
                             looking=node.looking[picks] if node.looks else node.looking))
    return nodes


def taken(nodes, links, numbers):
    """(uses, cycles a frame) of one option a stage, all that is between included."""
    pairs = [(link, nodes[link.source].putting[numbers[link.source]], nodes[link.sink].looking[numbers[link.sink]])
             for link in links]
    uses = sum(node.uses[number] for node, number in zip(nodes, numbers, strict=True))
    return (uses + sum(link.uses[put, look] for link, put, look in pairs),
            max(*(node.cycles[number] for node, number in zip(nodes, numbers, strict=True)),
                *(link.cycles[put, look] for link, put, look in pairs)))


def brute_force(nodes, links):
    """(uses, cycles) of every possible choice."""
    return [taken(nodes, links, numbers) for numbers in product(*(range(len(node.foldings)) for node in nodes))]


def agrees(nodes, links, every):
    """Whether the program finds the cheapest of ``every`` choice, for several rates and rooms."""
    uses, cycles = np.array([one for one, _ in every]), np.array([time for _, time in every])
    times = np.unique(cycles[np.isfinite(cycles)])
    for time in times[[0, len(times) // 3, -1]]:
        for part in (0.0, 0.3, 1.0):
            room = AMPLE[0], *np.quantile(uses[:, 1:], part, axis=0)
            fits = uses[(cycles <= time) & (uses[:, 1:] <= room[1:]).all(1)] @ PRICES
            numbers = _Graph(nodes, links, time).cheapest(room)
            if (numbers is None) != (not len(fits)):
                return False
            if numbers and abs(taken(nodes, links, numbers)[0] @ PRICES - fits.min()) > 0.5:
                return False
    return True


@pytest.mark.parametrize("seed", range(6))
def test_choice_is_optimal(seed):
    space, rng = Space(chain("small", 4, 4, "pool", ("dense", 2)), BUDGET, CLOCK), np.random.default_rng(seed)
    nodes = thinned(space, rng, 7)
    every = brute_force(nodes, space.links)
    assert agrees(nodes, space.links, every)


def test_a_program_that_forgets_what_is_between_is_caught():
    space, rng = Space(chain("small", 4, 4, "pool", ("dense", 2)), BUDGET, CLOCK), np.random.default_rng(0)
    nodes = thinned(space, rng, 7)
    free = [replace(link, uses=link.uses * 0) for link in space.links]
    assert not agrees(nodes, free, brute_force(nodes, space.links))


def test_choice_is_optimal_where_branches_meet():
    space, rng = Space(branched(), BUDGET, CLOCK), np.random.default_rng(0)
    nodes = thinned(space, rng, 4)
    assert agrees(nodes, space.links, brute_force(nodes, space.links))


@pytest.mark.parametrize("network", [tiny(), branched(), middle()], ids=lambda network: network.name)
@pytest.mark.parametrize("slower", [0, 5])
def test_program_prices_what_the_plan_does(network, slower):
    space = Space(network, BUDGET, CLOCK)
    graph = _Graph(space.nodes, space.links, space.times[slower])
    numbers = graph.cheapest((space.room.lut, 2 * space.room.bram, space.room.dsp))
    uses, cycles = taken(space.nodes, space.links, numbers)
    plan = space._plan(numbers)
    assert cycles <= space.times[slower] and plan.cycles <= space.times[slower]
    assert uses[2] == plan.cost.dsp
    known = sum(cost.lut for name, cost in plan.units.items() if not name.endswith(("fork", "fifo")))
    assert abs(uses[0] - known) <= max(0.03 * known, 20)  # windows hold more


def test_highest_rate_fits():
    network = vgg()
    foldings = solve(network, BUDGET, CLOCK)
    check(network, foldings)
    assert set(foldings) == {stage.name for stage in stages(network)}
    assert Plan(network, None, CLOCK, foldings).cost.within(usable(BUDGET))
    assert CLOCK / frame_cycles(network, foldings) > 54_000


@pytest.mark.parametrize("fps", [10_000, 50_000])
def test_target_rate_is_met_with_fewer_luts_than_a_higher_one(fps):
    network = middle()
    foldings, faster = solve(network, BUDGET, CLOCK, fps), solve(network, BUDGET, CLOCK, 5 * fps)
    assert CLOCK / frame_cycles(network, foldings) >= fps
    luts, more = (Plan(network, None, CLOCK, chosen).cost.lut for chosen in (foldings, faster))
    assert luts < more


def test_a_chip_without_dsps_and_block_memories_has_a_solution_in_luts():
    network = tiny()
    with_all = Space(network, BUDGET, CLOCK).cheapest(10_000)
    none = Space(network, replace(BUDGET, bram=0, dsp=0), CLOCK).cheapest(10_000)
    assert none.cost.dsp == none.cost.bram == 0 and none.cost.lut > with_all.cost.lut


def test_the_input_stream_is_not_too_wide():
    first = solve(chain("wide", 64, 64, ("dense", 2)), BUDGET, CLOCK)["input"]
    assert first.simd * 8 <= 512


def test_given_foldings_are_kept():
    given = {"conv3": Folding(2, 4, 1, dsp=True, memory="distributed"), "conv1": Folding(4, 3, 8, 3)}
    found = solve(tiny(), BUDGET, CLOCK, fixed=given)
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(("name", "folding", "message"), [
    ("conv1", Folding(2, 3, memory="paper"), r"'conv1': memory is 'paper'; possible are '', 'distributed', 'block'"),
    ("pool2", Folding(memory="block"), "'pool2': memory is 'block'; possible are ''"),
    ("dense4", Folding(dsp=True), "'dense4': no two of its sums, thresholds included, fit a DSP")])
def test_impossible_accumulators_and_memories(name, folding, message):
    with pytest.raises(UserError, match=message):
        solve(tiny(), BUDGET, CLOCK, fixed={name: folding})


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


def test_too_large_a_network_and_what_would_hold_it():
    with pytest.raises(UserError, match=r"middle is too large .* LUT, .* with [\d,]+ LUT would hold it") as error:
        solve(middle(), replace(BUDGET, lut=1000), CLOCK)
    enough = int(str(error.value).split("A chip with ")[1].split()[0].replace(",", ""))
    assert solve(middle(), replace(BUDGET, lut=1.01 * enough), CLOCK)
