"""What Yosys does not accept ends with its words."""

import pytest

from gen.synth import synthesise


def test_errors_of_yosys_are_told(tmp_path):
    (tmp_path / "top.v").write_text("module top(input a, b, output reg q); always @* if (a) q = b; endmodule\n")
    with pytest.raises(RuntimeError, match="t:LDCE t:LDPE"):
        synthesise(tmp_path, "top")
