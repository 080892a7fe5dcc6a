# amaranth: UnusedElaboratable=no
"""Whole arrays, as emitted, run programs as the models do; planted faults are caught and named by the layer."""

import shutil

import numpy as np
import pytest

from gen import golden
from gen.emit import emit_top
from gen.hw.svpe.accelerator import Accelerator
from gen.network import Conv
from gen.svpe.compile import compile
from gen.svpe.shape import Shape
from tests.svpe_networks import everything

from .array import one_layer, prepare, simulate
from .lint import lint

QUICK = "icarus" if shutil.which("iverilog") else "verilator"  # compiles in a moment
SHAPE = Shape(chains=6, lanes=4, drains=2, chain_words=64, out_depth=96)
BUILD = 0x12345678


def images(network, count):
    return np.random.default_rng(1).integers(0, 256, (count, *network.input.shape), np.uint8)


def emitted(shape, folder):
    """Name of the top module of the array that is written to ``folder``."""
    return emit_top(Accelerator(shape, BUILD), shape.label, folder)[0]


def prepared(network, shape, folder, top, count=2):
    """Write what the bench reads, for random images."""
    inputs = images(network, count)
    prepare(compile(network, shape).built(BUILD), shape, inputs, golden.run(network, inputs), folder, top=top,
            build=BUILD, cycles=20_000)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """(folder of the Verilog, folder of the simulation)."""
    rtl, folder = (tmp_path_factory.mktemp(name) for name in ("rtl", "sim"))
    prepared(everything(), SHAPE, folder, emitted(SHAPE, rtl))
    return rtl, folder


def test_frames_stalls_errors_and_mistakes(build):
    result = simulate(*build, tool=QUICK)
    assert 1000 < result["events"]["pass_cycles"] < result["cycles_per_frame"] < 20_000


@pytest.mark.parametrize(("form", "bits"), [("luts", 3), ("vpe", 16)])
def test_other_cells(form, bits, tmp_path):
    shape = Shape(chains=5, lanes=3, drains=1, form=form, bits=bits, chain_words=64, out_depth=96)
    prepared(everything(), shape, tmp_path / "sim", emitted(shape, tmp_path / "rtl"), 1)
    simulate(tmp_path / "rtl", tmp_path / "sim", tool=QUICK, only="frames|stalls")


def test_one_layer(build, tmp_path):
    network = everything()
    name = [layer.name for layer in network.layers if isinstance(layer, Conv)][1]
    layer, inputs, outputs = one_layer(network, name, images(network, 2))
    prepare(compile(layer, SHAPE).built(BUILD), SHAPE, inputs, outputs, tmp_path, top=f"{SHAPE.label}_accelerator",
            build=BUILD, cycles=20_000)
    simulate(build[0], tmp_path, tool=QUICK, only="frames")


def test_verilog_is_clean(build):
    assert lint(build[0], f"{SHAPE.label}_accelerator") == []
