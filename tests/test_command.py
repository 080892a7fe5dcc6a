"""``python -m gen.build`` on what it must refuse, with nothing replaced: one error, status 2, nothing written."""

import json
import lzma
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import boards
from gen import build, zoo
from gen.resources import Resources

from .graphs import END, START, chain, node

TFC = lzma.decompress(Path(zoo.find("tfc")).read_bytes())
UNSUPPORTED = chain(*START, node("Softplus"), node("Erf"), *END).SerializeToString()


def refusal(tmp_path, monkeypatch, *arguments):
    """What the command says on stderr, made one line."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    result = CliRunner(env={"COLUMNS": "400"}).invoke(build.app, ["--board", "zcu102", *arguments])
    assert result.exit_code == 2, result.output
    assert set(tmp_path.rglob("*")) - {tmp_path / "rtl_out"} == before
    assert result.stderr.startswith("Error: ")
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(("name", "content", "message"), [
    ("cut.onnx", TFC[:len(TFC) // 2], r"cut\.onnx"),
    ("text.onnx", b"not a model\n" * 50, r"text\.onnx"),
    ("empty.onnx", b"", r"empty\.onnx"),
    ("cut.onnx.xz", lzma.compress(TFC)[:5000], r"cut\.onnx\.xz"),
    ("pickle.onnx", b"\x80\x04\x95cos\nsystem\n(S'touch owned'\ntR.", r"pickle\.onnx"),
    ("unsupported.onnx", UNSUPPORTED, r"Softplus.*Erf"),
])
def test_files(name, content, message, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(content)
    assert re.search(message, refusal(tmp_path, monkeypatch, "--net", name))


def test_missing_file(tmp_path, monkeypatch):
    assert "none.onnx" in refusal(tmp_path, monkeypatch, "--net", "none.onnx")


def test_unknown_network_lists_those_there_are(tmp_path, monkeypatch):
    assert "bvgg16" in refusal(tmp_path, monkeypatch, "--net", "vgg19")


def test_too_large_names_every_resource(tmp_path, monkeypatch):
    monkeypatch.setattr(type(boards.find("zcu102")), "budget", Resources(lut=1_000, ff=1_000, bram=912, dsp=10))
    message = refusal(tmp_path, monkeypatch, "--net", "tfc")
    assert "too large" in message and " LUT, " in message and " FF, " in message


def test_folding_that_does_not_divide(tmp_path, monkeypatch):
    (tmp_path / "folding.json").write_text(json.dumps({"dense1": {"pe": 3, "simd": 16}}))
    message = refusal(tmp_path, monkeypatch, "--net", "tfc", "--folding", "folding.json")
    assert "'dense1': pe is 3, which does not divide 64; possible are 1, 2, 4" in message


@pytest.mark.parametrize("text", ['{"dense1": {"pe": "4"}}', '{"dense1": {"px": 4}}', '[1]', '{"dense1": 4}', "{",
                                  '{"dense1": {"pe": 4}, "dense1": {"pe": 8}}', '{"dense1": {"pe": true}}'])
def test_folding_files(text, tmp_path, monkeypatch):
    (tmp_path / "folding.json").write_text(text)
    message = refusal(tmp_path, monkeypatch, "--net", "tfc", "--folding", "folding.json")
    assert "folding file folding.json" in message
    assert "unexpected keyword" not in message and "object" not in message.replace("JSON object", "")
