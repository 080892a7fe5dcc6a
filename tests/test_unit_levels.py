# amaranth: UnusedElaboratable=no
"""Levels of logic of every kind of unit that a streaming network holds, and of a whole network."""

import numpy as np
import pytest
from amaranth import *

from gen.bits import BIPOLAR, Values
from gen.emit import Emitter
from gen.folding import Folding
from gen.hw.branches import Add, Concat, Fork
from gen.hw.core import Core
from gen.hw.fifo import Fifo
from gen.hw.lookup import Lookup
from gen.hw.matrix_unit import MatrixUnit
from gen.hw.pool import BlockPool, Reduce
from gen.hw.reorder import Reorder
from gen.hw.stream import Gather, Skid, Split
from gen.hw.threshold import Offset, Threshold
from gen.hw.window import Window
from gen.levels import levels
from gen.network import Conv, Pool, Tensor
from gen.network import Lookup as Table
from gen.network import Threshold as Limits

from . import integers, samples

NIBBLE, TOTALS = Values(-8, 7), Values(-300, 300)
ACTIVATIONS = Tensor(32, 32, 64, BIPOLAR)


def conv(tensor, outputs, pads=(1, 1, 1, 1)):
    """A 3x3 convolution of random weights."""
    weights = np.random.default_rng(0).choice([-1, 1], (outputs, tensor.channels, 3, 3)).astype(np.int8)
    return Conv("conv", tensor, weights=weights, pads=pads)


def sign(layer):
    """A threshold for each of the ``layer``'s outputs."""
    limits = np.random.default_rng(1).integers(-40, 40, (len(layer.weights), 1))
    return Limits("sign", layer.output, thresholds=limits, flip=np.zeros(len(limits), bool), values=BIPOLAR)


def matrices():
    """Matrix units: sums in LUTs and in DSP blocks, activations and totals, one position and a whole row."""
    layer, small = conv(ACTIVATIONS, 16), conv(Tensor(4, 4, 16, BIPOLAR), 8)
    yield "matrix", MatrixUnit(layer, Folding(2, 32), threshold=sign(layer), file="matrix")
    yield "matrix_dsp", MatrixUnit(layer, Folding(2, 64, 2, dsp=True), threshold=sign(layer), file="matrix_dsp")
    yield "matrix_totals", MatrixUnit(layer, Folding(2, 16), file="matrix_totals")
    yield "matrix_rows", MatrixUnit(small, Folding(2, 8, 4, 3), threshold=sign(small), file="matrix_rows")


def windows():
    """Windows of one position, of some, of whole rows, with padding flagged and replaced."""
    layer, wide = conv(ACTIVATIONS, 16), conv(Tensor(30, 30, 8, NIBBLE), 8, (0, 0, 0, 0))
    yield "window", Window(layer, simd=16, repeat=8)
    yield "window_pixels", Window(layer, simd=8, pixels=4, given=2, pad_code=0)
    yield "window_rows", Window(layer, simd=16, pixels=32, taps=3, given=32, repeat=4, pad_code=0)
    yield "window_unpadded", Window(wide, simd=4, pixels=2, repeat=2, rows=7)
    pool = Pool("pool", Tensor(15, 15, 8, NIBBLE), kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))
    yield "window_stride", Window(pool, simd=4, pad_code=0)


def pools():
    """Maximum and sum, of windows and of blocks."""
    for kind in ("max", "sum"):
        layer = Pool("pool", Tensor(16, 16, 8, NIBBLE), kernel=(2, 2), stride=(2, 2), kind=kind)
        yield f"block_{kind}", BlockPool(layer, simd=4, given=2)
        yield f"reduce_{kind}", Reduce(layer, simd=4)
    ones = Pool("pool", Tensor(17, 17, 64, BIPOLAR), kernel=(2, 2), stride=(2, 2))
    yield "block_or", BlockPool(ones, simd=16, given=1)


def joints():
    """What is between units, where branches part and where they meet."""
    yield "gather", Gather(8, 12)
    yield "split", Split(8, 12, 2)
    yield "skid", Skid(16)
    yield "fork", Fork(16, 3)
    yield "fifo", Fifo(16, 300)
    yield "reorder", Reorder(8, pixels=8, given=2, folds=10, interval=5)
    yield "add", Add([NIBBLE] * 2, (1, 1), values=Values(-16, 14), lanes=2)
    yield "concat", Concat([NIBBLE] * 3, (1, 1, 1), (8, 16, 24), values=NIBBLE, lanes=4)


def points():
    """What changes numbers one by one."""
    rng = np.random.default_rng(0)
    limits = np.sort(rng.integers(-300, 300, (64, 15)))
    yield "threshold", Threshold(limits, rng.integers(0, 2, 64).astype(bool), source=TOTALS, values=NIBBLE, lanes=2,
                                 file="threshold")
    yield "offset", Offset(rng.integers(-300, 300, 64), 2, source=TOTALS, values=Values(-900, 900), lanes=2,
                           file="offset")
    table = Table("lookup", Tensor(8, 8, 3, Values(0, 255)), table=rng.integers(-8, 8, (1, 256)), values=NIBBLE)
    yield "lookup", Lookup(table, simd=3, file="lookup")


def deep(units, folder):
    """Paths of these units, and of what they hold, that are longer than the rule allows."""
    emitter, ports = Emitter(folder), []
    for name, unit in units:
        emitter.module(unit, name)
        ports.append(f"(* keep *) {name} i_{name} (.clk(clk), .rst(rst));\n")
    (folder / "all.v").write_text(f"module all(input clk, input rst);\n{''.join(ports)}endmodule\n")
    return {name: path for name, path in levels(folder, "all").items() if path.deep}


@pytest.mark.parametrize("kind", [matrices, windows, pools, joints, points])
def test_no_unit_is_deeper_than_the_rule(kind, tmp_path):
    assert not deep(kind(), tmp_path)


def test_a_whole_network(tmp_path):
    """Handshakes through several units."""
    network = integers.random_network(3)
    assert not deep([("network", Core(network, integers.random_foldings(network, 3)))], tmp_path)


def test_a_comparison_behind_a_sum_is_found(tmp_path, monkeypatch):
    """A planted error: a queue compares what it will hold, not what it holds."""
    def compared(m, put, take, depth, name):
        held, some, full, following = Signal(range(depth + 1)), Signal(), Signal(), Signal(range(depth + 1))
        m.d.comb += following.eq(held + put - take)
        m.d.sync += [held.eq(following), some.eq(following != 0), full.eq(following == depth)]
        return some, full, following == depth

    monkeypatch.setattr("gen.hw.fifo.occupancy", compared)
    assert deep([("fifo", dict(joints())["fifo"])], tmp_path)


def test_ready_runs_back_from_window_to_queue_in_time(tmp_path):
    """Through a gather, a pool and a split, in a clock, none of which is deep alone."""
    network = samples.chain("handshakes", 16, 64, "pool", 32, ("dense", 10))
    foldings = {"conv1": Folding(64, 3, dsp=True), "pool2": Folding(simd=8), "conv3": Folding(8, 64)}
    core = Core(network, integers.random_foldings(network, 3) | foldings)
    assert {"pool2_split", "conv3_gather"} <= core.units.keys()
    assert not deep([("network", core)], tmp_path)
