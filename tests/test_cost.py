# amaranth: UnusedElaboratable=no
"""The cost model against the hardware: sizes that it derives, and what Yosys makes of some units."""

import json
import random
from dataclasses import replace

import pytest

from gen import cost
from gen.calibrate import Shuffle, sample
from gen.folding import Folding
from gen.hw.accelerator import Accelerator
from gen.hw.matrix_unit import MatrixUnit
from gen.plan import Plan
from gen.synth import measure

from .samples import chain, top1
from .unit_sizes import FILE, SAMPLES, named_units


def close(model, truth, slack):
    """Within 10 %, or ``slack`` of what is too small to matter."""
    return abs(model - truth) <= max(0.1 * truth, slack)


@pytest.fixture(scope="module")
def accelerator():
    """A small network with everything in it, and its plan."""
    network = top1(chain("whole", 8, 16, "pool", 32, ("dense", 10)))
    foldings = {"input": Folding(simd=3), "conv1": Folding(4, 3, 2), "pool2": Folding(simd=8),
                "conv3": Folding(8, 16, 4, 3, dsp=True), "dense4": Folding(2, 16), "top1": Folding()}
    return Accelerator(network, foldings, 1), Plan(network, None, 250e6, foldings)


@pytest.fixture(scope="module")
def synthesised(accelerator):
    """(name, predicted, measured) of every unit, in one run of Yosys."""
    cases = [*named_units(), ("accelerator", accelerator[0], accelerator[1].cost)]
    return [(name, expected, found) for (name, _, expected), found
            in zip(cases, measure([unit for _, unit, _ in cases]), strict=True)]


def test_units_within_10_percent_of_yosys(synthesised):
    off = [(name, what, getattr(expected, what), getattr(found, what))
           for name, expected, found in synthesised
           for what, slack in [("lut", 16), ("ff", 16), ("bram", 0.5), ("dsp", 0)]
           if not close(getattr(expected, what), getattr(found, what), slack)]
    assert not off


def test_no_unit_has_grown(synthesised):
    sizes = json.loads(FILE.read_text())
    grown = [(name, what, getattr(found, what), sizes[name][what]) for name, _, found in synthesised
             if name in sizes for what in ("lut", "ff", "bram", "dsp")
             if getattr(found, what) > 1.03 * sizes[name][what] + 1]
    assert not grown and len(synthesised) == len(sizes) + 1


@pytest.mark.parametrize("seed", range(40))
def test_sizes_are_those_of_the_hardware(seed):
    one = sample(seed)
    if isinstance(one, Shuffle):
        assert cost.shuffle_depth(one.pixels // one.given, one.folds, one.interval) == one.units["reorder"].depth
        return
    assert cost.dsp_accumulators(one.stage, one.folding) or not one.folding.dsp
    for unit in one.units.values():
        if isinstance(unit, MatrixUnit):
            assert cost.queue_depth(unit.beats, unit.latency) == unit.queue_depth
            assert cost.matrix_latency(one.stage, one.folding) == unit.latency


def test_more_parallel_costs_more():
    picks = random.Random(1)
    for one in SAMPLES[:4]:
        wider = replace(one.folding, pe=one.folding.pe * picks.choice([2, 4]))
        assert cost.cost(one.stage, wider, one.taken).lut > cost.cost(one.stage, one.folding, one.taken).lut


@pytest.mark.parametrize(("given", "taken", "names"), [
    (4, 4, []), (4, 8, ["gather"]), (8, 4, ["split"]), (4, 6, ["gather", "buffer", "split"])])
def test_converters(given, taken, names):
    assert list(cost.converters(8, given, taken)) == names
