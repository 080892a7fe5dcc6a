"""The clock model, against what programs take in RTL simulation: `bench.svpe` and `sim.run` measure it."""

import pytest

from gen import zoo
from gen.importers import qonnx
from gen.svpe.compile import compile
from gen.svpe.shape import Shape
from gen.svpe.timing import SIMULATED, cycles


@pytest.mark.parametrize(("net", "shape", "found"), [
    ("resnet8", Shape(chains=12, lanes=8, drains=4), 21_558),
    ("resnet20", Shape(chains=24, lanes=16, drains=8, chain_words=1024, out_depth=2048), 91_691)])
def test_networks(net, shape, found):
    """They wait for everything: weights, pixels, drains with part of the lanes at a time, each layer for the last."""
    program = compile(qonnx.load(zoo.find(net)), shape)
    assert cycles(program, shape, SIMULATED).clocks == pytest.approx(found, rel=0.01)
