# amaranth: UnusedElaboratable=no
"""Popcounts as emitted Verilog, with the models of LUTs and carry blocks, in simulators, against plain integers."""

import json
import random
import re

import pytest

from bench.area import Popcount
from gen.emit import Emitter

from .simulator import run
from .test_units import QUICK


def in_verilog(simd, folder, carry_bits=8, tool=QUICK, edit=lambda text: text):
    """Run :mod:`sim.replay_bench` on the Verilog after ``edit``: a word a clock, equal and opposite ones among them."""
    unit, rng, ones = Popcount(simd), random.Random(simd), (1 << simd) - 1
    late, rtl, bench = unit.lane.latency + 1, folder / "rtl", folder / "bench.json"
    words = [(0, ones), (ones, ones)] + [(rng.getrandbits(simd), rng.getrandbits(simd)) for _ in range(150)]
    clocks = [{"inputs": {"x": f"{x:x}", "w": f"{w:x}"}, "outputs": {}} for x, w in words]
    for clock, (x, w) in zip(clocks[late:], words, strict=False):
        clock["outputs"] = {"count": f"{simd - (x ^ w).bit_count():x}"}
    bench.write_text(json.dumps(clocks))
    rtl.mkdir()
    Emitter(rtl, carry_bits=carry_bits).module(unit, "popcount")
    for path in rtl.iterdir():
        path.write_text(edit(path.read_text()))
    run(sorted(rtl.iterdir()), "popcount", "sim.replay_bench", folder, environment={"POPWEAVE_BENCH": str(bench)},
        simulator=tool)


@pytest.mark.parametrize("carry_bits", [0, 4, 8])
@pytest.mark.parametrize("simd", [9, 100, 576])
def test_verilog(simd, carry_bits, tmp_path):
    in_verilog(simd, tmp_path, carry_bits)


def test_verilator(tmp_path):
    in_verilog(100, tmp_path, tool="verilator")


@pytest.mark.parametrize(("text", "fault"), [
    ("64'h96696996f99f9009", "64'h96696996f99f9008"), ("64'h6996966996696996", "64'h6996966996696986"),
    (r"\.CI_TOP\(start\[k\+1\]\)", ".CI_TOP(1'b0)"), (r"\.clear\([^)]*\)", ".clear(1'b1)")],
    ids=["xnors", "parity", "carry_in", "two_rows"])
def test_verilog_with_faults(text, fault, tmp_path):
    found = []

    def edit(verilog):
        cells = verilog.replace("`ifdef VERILATOR", "`ifdef WORDS")  # for which Verilator has models of its own
        edited, count = re.subn(text, fault, cells)
        found.append(count)
        return edited

    with pytest.raises((RuntimeError, SystemExit)):
        in_verilog(100, tmp_path, edit=edit)
    assert any(found)
