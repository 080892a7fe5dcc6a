# amaranth: UnusedElaboratable=no
"""The cost model against the hardware: sizes that it derives, and what Yosys makes of some units."""

import random
from dataclasses import replace

import numpy as np
import pytest

from gen import cost
from gen.bits import BIPOLAR, Values
from gen.calibrate import predicted, sample
from gen.folding import Folding
from gen.hw.accelerator import Accelerator
from gen.hw.matrix_unit import MatrixUnit
from gen.network import Conv, Pool, Tensor, Threshold
from gen.plan import Plan
from gen.synth import measure

from .samples import chain, top1

RNG = np.random.default_rng(1)


def conv(name, size, channels, outputs, *, kernel=3, values=BIPOLAR):
    weights = RNG.choice([-1, 1], (outputs, channels, kernel, kernel))
    return Conv(name, Tensor(size, size, channels, values), pads=(kernel // 2,) * 4, weights=weights)


def sign(layer):
    outputs = layer.output.channels
    limits = RNG.integers(layer.output.values.lo // 2, layer.output.values.hi // 2, (outputs, 1))
    return Threshold("sign", layer.output, limits, np.zeros(outputs, bool), BIPOLAR)


def close(model, truth, slack):
    """Within 15 %, or ``slack`` of what is too small to matter."""
    return abs(model - truth) <= max(0.15 * truth, slack)


FIRST, MIDDLE, DENSE = (conv("first", 32, 3, 64, values=Values(-128, 127)), conv("middle", 16, 64, 64),
                        conv("dense", 1, 512, 256, kernel=1))
LAYERS = [
    (FIRST, Folding(4, 3, 2), sign(FIRST)),
    (MIDDLE, Folding(4, 16, 4), sign(MIDDLE)),
    (DENSE, Folding(2, 32, 1), sign(DENSE)),
    (conv("scores", 1, 256, 10, kernel=1), Folding(1, 16, 1), None),
    (Pool("pool", Tensor(32, 32, 64, BIPOLAR), (2, 2)), Folding(simd=16), None),
]


@pytest.fixture(scope="module")
def accelerator():
    """A small network with everything in it, and its plan."""
    network = top1(chain("whole", 8, 16, "pool", 32, ("dense", 10)))
    foldings = {"input": Folding(simd=3), "conv1": Folding(4, 3, 2), "pool2": Folding(simd=8),
                "conv3": Folding(8, 16, 2), "dense4": Folding(2, 16), "top1": Folding()}
    return Accelerator(network, foldings, 1), Plan(network, None, 250e6, foldings)


@pytest.fixture(scope="module")
def synthesised(accelerator):
    """(name, predicted, measured) of every unit, in one run of Yosys."""
    cases = [(f"{layer.name} {kind}", expected, unit)
             for layer, folding, threshold in LAYERS
             for unit, kind, expected in predicted(layer, folding, threshold)]
    cases.append(("accelerator", accelerator[1].cost, accelerator[0]))
    return [(name, expected, found) for (name, expected, _), found
            in zip(cases, measure([unit for _, _, unit in cases]), strict=True)]


def test_units_within_15_percent_of_yosys(synthesised):
    off = [(name, what, getattr(expected, what), getattr(found, what))
           for name, expected, found in synthesised
           for what, slack in [("lut", 16), ("ff", 16), ("bram", 0.5), ("dsp", 0)]
           if not close(getattr(expected, what), getattr(found, what), slack)]
    assert not off


@pytest.mark.parametrize("seed", range(20))
def test_sizes_are_those_of_the_hardware(seed):
    layer, folding, _ = sample(seed)
    if isinstance(layer, Conv):
        unit = MatrixUnit(layer, pe=folding.pe, simd=folding.simd, pixels=folding.pixels, file="weights")
        assert cost.queue_depth(unit.folds, unit.beats, folding.pixels, unit.latency) == unit.queue_depth
        assert cost._lane(layer, folding.simd)[1].latency == unit.lane.latency


def test_more_parallel_costs_more():
    picks = random.Random(1)
    for layer, folding, threshold in LAYERS[:3]:
        pe = picks.choice([2, 4])
        wider = replace(folding, pe=folding.pe * pe)
        assert cost.cost(layer, wider, threshold).lut > cost.cost(layer, folding, threshold).lut


@pytest.mark.parametrize(("given", "taken", "names"), [
    (4, 4, []), (4, 8, ["gather"]), (8, 4, ["split"]), (4, 6, ["gather", "buffer", "split"])])
def test_converters(given, taken, names):
    assert list(cost.converters(8, given, taken)) == names
