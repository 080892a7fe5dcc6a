"""Levels of logic of small Verilog whose depth is known by construction, through hierarchy and memories, too."""

from itertools import pairwise

import pytest
import typer
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen import levels as module
from gen.emit import Emitter
from gen.levels import levels, main
from gen.paths import RULE, Path

GATE = "module gate(input a, b, output y); assign y = a ^ b; endmodule\n"


def gates(count):
    """``count`` gates in a row, in modules of their own so that nothing merges them, from ``a[0]`` to ``y``."""
    wires = [f"w{k}" for k in range(count)]
    cells = "".join(f"gate gate{k}(.a({old}), .b(a[{k}]), .y({new}));\n"
                    for k, (old, new) in enumerate(pairwise(["a[0]", *wires])))
    return f"wire {', '.join(wires)};\n{cells}assign y = {wires[-1]};\n"


def registered(name, body, width=64):
    """Module with a register ``a`` of ``width`` bits before the logic ``body``, and one behind its output ``y``."""
    return (f"module {name}(input clk, input [{width - 1}:0] i, output reg o);\n"
            f"reg [{width - 1}:0] a; wire y;\n{body}always @(posedge clk) begin a <= i; o <= y; end\nendmodule\n")


def adder(bits):
    """Module with a sum between registers."""
    return f"""module add{bits}(input clk, input [{bits - 1}:0] i, j, output reg [{bits}:0] o);
        reg [{bits - 1}:0] a, b;
        always @(posedge clk) begin a <= i; b <= j; o <= a + b; end
        endmodule\n"""


def handshake(count):
    """Module in which readiness runs back through ``count`` instances."""
    units = "".join(f"stage s{k}(clk, r[{k}], v[{k}], r[{k + 1}]);\n" for k in range(count))
    return f"""module shake{count}(input clk, input go, input [{count - 1}:0] v, output reg o);
        wire [{count}:0] r; reg first; assign r[0] = first;
        {units}always @(posedge clk) begin first <= go; o <= r[{count}]; end
        endmodule\n"""


PARTS = f"""{GATE}
    module leaf(input [7:0] a, output y);
    {gates(2)}endmodule
    module pair(input [7:0] a, output y);
    wire m; leaf first(.a(a), .y(m)); leaf second(.a({{a[7:1], m}}), .y(y));
    endmodule
    module source(input clk, input [7:0] i, output reg [7:0] o); always @(posedge clk) o <= i; endmodule
    module sink(input clk, input i, output reg o);
    reg kept; wire y; leaf third(.a({{7'h55, i}}), .y(y)); always @(posedge clk) begin kept <= y; o <= kept; end
    endmodule
    module both(input [7:0] a, input b, output y, z); leaf deep(.a(a), .y(y)); assign z = b; endmodule
    module stage(input clk, input ready, valid, output given);
    reg [3:0] held; assign given = ready & (held == 3 | valid);
    always @(posedge clk) if (given) held <= held + 1;
    endmodule\n"""

UNITS = {
    **{f"row{count}": registered(f"row{count}", gates(count)) for count in (2, 4, 5, 9)},
    **{f"xor{width}": registered(f"xor{width}", "assign y = ^a;\n", width) for width in (6, 7, 36)},
    **{f"add{bits}": adder(bits) for bits in (16, 40, 130)},
    "sums": """module sums(input clk, input [15:0] i, j, k, output reg o);
        reg [15:0] a, b, c; (* keep *) wire [15:0] s = a + b;
        always @(posedge clk) begin a <= i; b <= j; c <= k; o <= s > c; end
        endmodule""",
    "nested": """module nested(input clk, input [7:0] i, output o);
        wire [7:0] a; wire y; source before(clk, i, a); pair logic(a, y); sink behind(clk, y, o);
        endmodule""",
    "apart": """module apart(input clk, input [7:0] i, output reg o, p);
        reg [7:0] a; wire y, z, w; both one(a, a[1], y, z); both two({7'h2a, z}, y, , w);
        always @(posedge clk) begin a <= i; o <= w; p <= z; end
        endmodule""",
    **{f"shake{count}": handshake(count) for count in (2, 6)},
    "lutram": """module lutram(input clk, w, input [4:0] i, input [7:0] d, output reg o);
        (* ram_style = "distributed" *) reg [7:0] words [0:31]; reg [4:0] a;
        always @(posedge clk) begin a <= i; if (w) words[i] <= d; o <= ^words[a]; end
        endmodule""",
    "block": """module block(input clk, w, input [9:0] i, input [31:0] d, output reg o);
        (* ram_style = "block" *) reg [31:0] words [0:1023]; reg [31:0] r;
        always @(posedge clk) begin r <= words[i]; if (w) words[~i] <= d; o <= ^r[5:0]; end
        endmodule""",
    "delay": """module delay(input clk, input i, output reg o);
        reg [7:0] d; always @(posedge clk) begin d <= {d, i}; o <= d[7] ^ i; end
        endmodule""",
}


def deepest(folder, verilog, top="top"):
    """Path of each module of ``verilog``, by name."""
    (folder / "top.v").write_text(verilog)
    return levels(folder, top)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Paths of all units above."""
    instances = "".join(f"(* keep *) {name} i_{name} (.clk(clk));\n" for name in UNITS)
    return deepest(tmp_path_factory.mktemp("levels"),
                   PARTS + "\n".join(UNITS.values()) + f"\nmodule top(input clk);\n{instances}endmodule\n")


@pytest.mark.parametrize("count", [2, 4, 5, 9])
def test_luts_in_a_row(found, count):
    path = found[f"row{count}"]
    assert (path.levels, path.luts, path.chains) == (count, count, 0)
    assert (path.start, path.end) == ("a[0]", "o")
    assert path.through == tuple(f"w{k}" for k in range(count))
    assert path.deep == (count > RULE)


def test_wide_gates_are_trees(found):
    """Of LUTs of six inputs; Yosys does not always find the flattest."""
    assert [found[f"xor{width}"].levels for width in (6, 7)] == [1, 2]
    assert found["xor36"].levels in (2, 3)


@pytest.mark.parametrize("bits", [16, 40, 130])
def test_a_carry_chain_counts_once(found, bits):
    """Both numbers in the LUT of each bit, then one chain, however many cells it takes."""
    path = found[f"add{bits}"]
    assert (path.luts, path.chains) == (1, 1)
    assert bits <= path.bits <= bits + 4
    assert int(path.levels) == 1 + 2 + path.bits // 64


def test_two_sums_are_two_chains(found):
    assert found["sums"].chains == 2
    assert found["sums"].deep
    assert any(name.startswith("s[") for name in found["sums"].through)


def test_paths_through_instances(found):
    """Two LUTs in each of three instances, and the registers, are in five modules."""
    assert [found[name].levels for name in ("gate", "leaf", "pair", "source", "sink", "nested")] == [1, 2, 4, 0, 2, 6]
    nested, pair = found["nested"], found["pair"]
    assert (nested.start, nested.end) == ("before.o[0]", "behind.kept")
    assert "logic.m" in nested.through
    assert (pair.start, pair.end) == ("port a[0]", "port y[0]")
    assert nested.deep and not pair.deep


def test_only_what_leads_there_counts(found):
    """Each output by the input that it depends on, not by the deepest of the module."""
    assert found["apart"].levels == 2


def test_handshakes_add_up(found):
    """Readiness runs back through as many units as pass it on."""
    for count in (2, 6):
        path = found[f"shake{count}"]
        assert path.luts >= count
        assert path.deep == (count == 6)


def test_memory_in_luts_is_a_level(found):
    """Behind the register of the address: the memory, and two LUTs for eight bits."""
    assert (found["lutram"].levels, found["lutram"].chains) == (3, 0)


def test_block_memory_comes_late(found):
    path = found["block"]
    assert (path.levels, path.luts) == (2.5, 1)
    assert path.start.startswith("words")


def test_shift_registers_end_with_a_flip_flop(found):
    path = found["delay"]
    assert (path.levels, path.start) in ((1, "d[7]"), (1, "port i[0]"))


def test_luts_of_two_outputs_and_long_carries(tmp_path):
    """Instantiated cells: each output of a LUT6_2 is behind all inputs, and two CARRY8 in cascade are a chain."""
    path = deepest(tmp_path, """module top(input clk, input [15:0] i, output reg o);
        reg [15:0] a; wire [15:0] s, d, c; wire [15:0] t;
        genvar k;
        generate for (k = 0; k < 16; k = k + 1) begin : g
          LUT6_2 #(.INIT(64'h96696996_0000ff00)) l (.I0(a[k]), .I1(a[15-k]), .I2(a[(k+3)%16]), .I3(a[(k+5)%16]),
            .I4(a[0]), .I5(1'b1), .O6(s[k]), .O5(d[k]));
        end endgenerate
        CARRY8 low (.CI(1'b0), .CI_TOP(1'b0), .DI(d[7:0]), .S(s[7:0]), .O(t[7:0]), .CO(c[7:0]));
        CARRY8 high (.CI(c[7]), .CI_TOP(1'b0), .DI(d[15:8]), .S(s[15:8]), .O(t[15:8]), .CO(c[15:8]));
        always @(posedge clk) begin a <= i; o <= t[15]; end
        endmodule""")["top"]
    assert (path.luts, path.chains, path.bits) == (1, 1, 16)


def test_a_lut_of_two_outputs_is_two_functions(tmp_path):
    """Carries that do not depend on the carry before are no chain of LUTs, however they are wired."""
    path = deepest(tmp_path, """module top(input clk, input [7:0] i, j, output reg [7:0] o);
        reg [7:0] a, b; wire [8:0] c; wire [7:0] y;
        assign c[0] = 0;
        genvar k;
        generate for (k = 0; k < 8; k = k + 1) begin : g
          LUT6_2 #(.INIT(64'h96969696_88888888)) l (.I0(a[k]), .I1(b[k]), .I2(c[k]), .I3(1'b0), .I4(1'b0), .I5(1'b1),
            .O6(y[k]), .O5(c[k+1]));
        end endgenerate
        always @(posedge clk) begin a <= i; b <= j; o <= y; end
        endmodule""")["top"]
    assert (path.levels, path.luts) == (2, 2)


def test_half_a_carry_cell_is_a_chain(tmp_path):
    """A CARRY8 of two halves: what enters the lower one does not leave by the upper one."""
    path = deepest(tmp_path, """module top(input clk, input [8:0] i, output reg o);
        reg [8:0] a; wire [7:0] t;
        CARRY8 #(.CARRY_TYPE("DUAL_CY4")) one (
          .CI(1'b0), .CI_TOP(a[8]), .DI(8'h0), .S(a[7:0]), .O(t), .CO());
        always @(posedge clk) begin a <= i; o <= t[7]; end
        endmodule""")["top"]
    assert (path.chains, path.bits) == (1, 5)


def test_loops_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="loop"):
        deepest(tmp_path, f"{PARTS}module top(input [6:0] a, output y); leaf one(.a({{a, y}}), .y(y)); endmodule\n")


def test_unknown_cells_are_refused(monkeypatch):
    cell = {"type": "IBUF", "connections": {}, "port_directions": {}}
    monkeypatch.setattr(module, "mapped", lambda *arguments: {
        "top": {"ports": {}, "netnames": {}, "cells": {"one": cell}}})
    with pytest.raises(RuntimeError, match="timing of cells IBUF"):
        levels("", "top")


class Accumulator(wiring.Component):
    """A sum of ``terms`` numbers, all in one clock if it is not ``pipelined``: deeper than the rule."""

    def __init__(self, terms, pipelined):
        self.terms, self.pipelined = terms, pipelined
        super().__init__({"x": In(terms * 8), "sum": Out(16)})

    def elaborate(self, platform):
        m = Module()

        words = [self.x.word_select(k, 8) for k in range(self.terms)]
        while len(words) > 1:
            sums = [Signal(16, name=f"sum{len(words)}_{k}", reset_less=True) for k in range(len(words) // 2)]
            domain = m.d.sync if self.pipelined or len(words) == 2 else m.d.comb
            domain += [total.eq(words[2 * k] + words[2 * k + 1]) for k, total in enumerate(sums)]
            words = sums
        m.d.comb += self.sum.eq(words[0])

        return m


def test_a_planted_unit_is_caught(tmp_path):
    for pipelined in (True, False):
        folder = tmp_path / str(pipelined)
        folder.mkdir()
        name = Emitter(folder).module(Accumulator(8, pipelined), "sums")
        path = levels(folder, name)["sums"]
        assert path.deep != pipelined, path


def run(monkeypatch, folder):
    """Exit status of the command on the Verilog in ``folder``."""
    monkeypatch.setattr(module, "built", lambda *arguments: folder)
    with pytest.raises(typer.Exit) as ended:
        main("net", "zcu102", None, None)
    return ended.value.exit_code


def test_command_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl/net_accelerator.v").touch()
    deep, flat = (Path(count, count, 0, 0, "first", "last[3]") for count in (5, 4))
    for paths, status, word in (({"$paramod$12\\one": deep, "two": flat}, 1, "1 of 2 modules are deeper"),
                                ({"two": flat}, 0, "No path is deeper than 4 levels")):
        monkeypatch.setattr(module, "levels", lambda *arguments, paths=paths: paths)
        assert run(monkeypatch, tmp_path) == status
        text = capsys.readouterr().out
        assert word in text and "last[3]" in text
        assert ("one" in text) == (status == 1)


def test_errors_of_yosys_are_told(monkeypatch, capsys, tmp_path):
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl/net_accelerator.v").write_text(
        "module net_accelerator(input a, b, output reg q); always @* if (a) q = b; endmodule\n")
    assert run(monkeypatch, tmp_path) == 1
    assert "t:LDCE t:LDPE" in capsys.readouterr().err
