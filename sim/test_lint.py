# amaranth: UnusedElaboratable=no
"""Three tools accept what is emitted, and would not accept planted faults."""

import pytest

from gen.emit import emit
from tests import integers
from tests.graphs import chain, imported
from tests.test_joins import GRAPHS

from .lint import lint

NETWORKS = range(5, 13)


@pytest.mark.parametrize("seed", NETWORKS)
def test_emitted_verilog_is_clean(seed, tmp_path):
    network = integers.random_network(seed)
    top, _ = emit(network, integers.random_foldings(network, seed), tmp_path, 1)
    assert lint(tmp_path, top) == []


@pytest.mark.parametrize("graph", ["both branches", "dense"])
def test_emitted_branches_are_clean(graph, tmp_path):
    network = imported(chain(*GRAPHS[graph]), tmp_path)
    top, _ = emit(network, integers.random_foldings(network, 1), tmp_path / "rtl", 1)
    assert lint(tmp_path / "rtl", top) == []


@pytest.mark.parametrize(("statement", "tool"), [
    ("always @* if (i__valid) fault = o__ready;", "yosys"),  # a latch
    ("wire loop; assign loop = ~loop | i__valid; always @* fault = loop;", "yosys"),
    ("wire nothing; always @* fault = nothing;", "verilator"),
    ("always @* fault = i__valid; assign i__valid_ = missing;", "slang"),
])
def test_planted_faults_are_found(statement, tool, tmp_path):
    network = integers.random_network(5)
    top, _ = emit(network, integers.random_foldings(network, 5), tmp_path, 1)
    (path,) = tmp_path.glob("*_core.v")
    text = path.read_text()
    path.write_text(text.replace("endmodule", f"(* keep *) reg fault; {statement}\nendmodule"))
    complaints = lint(tmp_path, top)
    assert any(line.startswith(tool) for line in complaints), complaints
