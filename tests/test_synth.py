"""What Yosys does not accept ends with its words, at the command line, too."""

import pytest
import typer

from gen import synth
from gen.synth import main, synthesise


def refuse(*arguments):
    raise RuntimeError("Yosys: ERROR [no]")


def test_command_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(synth, "compare", refuse)
    monkeypatch.setattr(synth, "built", lambda *arguments: tmp_path)
    monkeypatch.setattr(synth, "reopen", lambda folder: (None, None))
    with pytest.raises(typer.Exit):
        main("net", "zcu102", None, None)
    assert capsys.readouterr().err == "Failed: Yosys: ERROR [no]\n"


def test_unknown_architecture(capsys, tmp_path):
    with pytest.raises(typer.Exit):
        main("tfc", "zcu102", tmp_path / "none", "nonsense")
    assert "--arch nonsense: there are stream, svpe, luts, vpe" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_errors_of_yosys_are_told(tmp_path):
    (tmp_path / "top.v").write_text("module top(input a, b, output reg q); always @* if (a) q = b; endmodule\n")
    with pytest.raises(RuntimeError, match="t:LDCE t:LDPE"):
        synthesise(tmp_path, "top")
