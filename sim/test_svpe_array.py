# amaranth: UnusedElaboratable=no
"""Whole arrays, as emitted, run programs as the models do; planted faults are caught and named by the layer."""

import re
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
    layer, inputs, outputs = one_layer(network, "conv2", images(network, 2))
    assert layer.layers[0].name == [layer.name for layer in network.layers if isinstance(layer, Conv)][1]
    prepare(compile(layer, SHAPE).built(BUILD), SHAPE, inputs, outputs, tmp_path, top=f"{SHAPE.label}_accelerator",
            build=BUILD, cycles=20_000)
    simulate(build[0], tmp_path, tool=QUICK, only="frames")


@pytest.mark.parametrize(("module", "right", "wrong", "layer"), [
    ("chain_3x17_3_24.v", r"OPMODE\(9'h195\)", "OPMODE(9'h185)", 0),  # what the chains above add up to is left out
    ("packer.v", r"\$signed\(result\) > \$signed\(largest\)", "1'h1", 3),  # the last of a window for the maximum
    ("row_chain_3x17_64_1.v", r"item \+ pattern\[22:18\]", "item + 1'h1", 4),  # every pixel for every other one
])
def test_planted_faults_are_caught_and_named(build, capfd, module, right, wrong, layer):
    rtl, folder = build
    (path,) = rtl.glob(f"*{module}")
    text = path.read_text()
    changed, count = re.subn(right, wrong, text)
    assert count == 1, "the Verilog has changed: plant the fault elsewhere"
    path.write_text(changed)
    try:
        with pytest.raises((RuntimeError, SystemExit)):
            simulate(rtl, folder, only="frames", tool=QUICK)
    finally:
        path.write_text(text)
    name = compile(everything(), SHAPE).layers[layer].name
    assert f"bytes behind where {name} begins to store" in capfd.readouterr().out


def test_verilog_is_clean(build):
    assert lint(build[0], f"{SHAPE.label}_accelerator") == []


def test_loops_are_found(build, tmp_path):
    rtl = shutil.copytree(build[0], tmp_path / "rtl")
    (path,) = rtl.glob("*_pass_unit_*.v")
    path.write_text(path.read_text().replace("endmodule", "wire l; (* keep *) reg f; assign l = ~l | f;\nendmodule"))
    assert any(line.startswith("yosys") for line in lint(rtl, f"{SHAPE.label}_accelerator"))
