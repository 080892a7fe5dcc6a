# amaranth: UnusedElaboratable=no
"""Accumulators as emitted Verilog, with the model of the DSP, against sums of plain integers."""

import json
import random
import re

import pytest

from gen.emit import Emitter
from gen.hw.accumulator import DspAccumulator, LutAccumulator
from tests.test_accumulator import random_windows, script, totals_of

from .simulator import run
from .test_units import QUICK


def in_verilog(form, bits, beats, folder, middle=True, tool=QUICK, edit=lambda text: text):
    """Run :mod:`sim.replay_bench` with windows of at most ``beats`` beats on the Verilog, after ``edit``."""
    totals, rng = totals_of(form, bits, beats, middle), random.Random(bits)
    dut = form(bits, totals)
    clocks = script(dut, random_windows(form, rng, bits, beats, totals, count=150), rng)
    rtl, bench = folder / "rtl", folder / "bench.json"
    rtl.mkdir()
    Emitter(rtl).module(dut, "accumulator")
    (path,) = rtl.glob("*.v")
    verilog = path.read_text()
    path.write_text(edit(verilog))
    bench.write_text(json.dumps([{side: {name: f"{value:x}" for name, value in ports.items()}
                                  for side, ports in clock.items()} for clock in clocks]))
    run([path], "accumulator", "sim.replay_bench", folder, environment={"POPWEAVE_BENCH": str(bench)},
        simulator=tool)


@pytest.mark.parametrize("form", [DspAccumulator, LutAccumulator])
@pytest.mark.parametrize(("bits", "beats", "middle"), [(1, 1, False), (7, 36, False), (7, 36, True), (10, 1, True)])
def test_verilog(form, bits, beats, middle, tmp_path):
    in_verilog(form, bits, beats, tmp_path, middle)


def test_verilator(tmp_path):
    in_verilog(DspAccumulator, 9, 4, tmp_path, tool="verilator")


def replaced(pattern, text):
    """Edit that must find something to replace."""
    def edit(verilog):
        edited, count = re.subn(pattern, text, verilog)
        assert count == 1
        return edited
    return edit


@pytest.mark.parametrize("edit", [
    replaced(r"\.RND\(48'h\w*", ".RND(48'h1"),
    replaced(r'\.AMULTSEL\("AD"\)', '.AMULTSEL("A")'),
    replaced(r"\.OPMODEREG\(32'd1\)", ".OPMODEREG(32'd0)"),
    replaced(r"\.INMODE\(5'h04\)", ".INMODE(5'h00)"),
    replaced(r"\.D\(", ".D(27'd1 | "),
    replaced(r"\.CEP\(step\)", ".CEP(1'b1)"),
], ids=["rnd", "no_pre_adder", "first_early", "without_d", "rows", "always_steps"])
def test_verilog_with_faults(edit, tmp_path):
    with pytest.raises((RuntimeError, SystemExit)):
        in_verilog(DspAccumulator, 7, 9, tmp_path, edit=edit)
