"""Builds of arrays: ``python -m gen.build --arch svpe``, its files and what it refuses."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import boards
from gen import build as module
from gen.errors import TooLarge
from gen.svpe.shape import Shape

from .svpe_networks import everything

SHAPE = Shape(chains=6, lanes=4, drains=2, chain_words=64, out_depth=96)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small network in place of what is imported, a line in place of all the Verilog, in an empty folder."""
    def emit(plan, out, build_id):
        (out / "top.v").write_text(f"// {build_id:08x}\n")
        return "top", ["top.v"]

    source = tmp_path / "small.onnx"
    source.write_bytes(b"model")
    monkeypatch.setattr(module.zoo, "find", lambda net: source)
    monkeypatch.setattr(module.qonnx, "load", lambda path, *name, **options: everything())
    monkeypatch.setattr(module.ArrayPlan, "emit", emit)
    monkeypatch.chdir(tmp_path)
    return source


def write(shape=SHAPE, **changed):
    with open("shape.json", "w") as file:
        json.dump(asdict(shape) | changed, file)
    return ["--shape", "shape.json"]


def run(*arguments):
    return CliRunner(env={"COLUMNS": "160"}).invoke(module.app, ["--net", "net", "--board", "zcu102", *arguments])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def built(*arguments):
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_writes_everything_and_the_same_in_another_process(tmp_path):
    shape = replace(SHAPE, chains=12, lanes=8, chain_words=128, out_depth=256)
    (tmp_path / "shape.json").write_text(json.dumps(asdict(shape)))
    for seed in "12":
        subprocess.run([sys.executable, "-m", "gen.build", "--net", "resnet8", "--board", "zcu102", "--arch", "svpe",
                        "--shape", tmp_path / "shape.json", "--out", tmp_path / seed, "--quiet"],
                       cwd=Path(module.__file__).parents[1], check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    files, facts = contents(tmp_path / "1"), json.loads((tmp_path / "1/manifest.json").read_text())
    assert contents(tmp_path / "2") == files
    assert {name for name in files if not name.startswith("rtl/")} == {
        "program.bin", "program.json", "shape.json", "registers.md", "manifest.json", "model.onnx.xz",
        "vivado/synth.tcl", "vivado/clock.xdc"}
    assert set(facts["files"]) == set(files) - {"manifest.json"}
    assert f"rtl/{facts['top']}.v" in files and facts["top"] == "svpe3_12x3x8_accelerator"
    assert facts["net"] == "resnet8" and facts["arch"] == "svpe"
    assert int.from_bytes(files["program.bin"][8:12], "little") == int(facts["build_id"], 16)
    assert json.loads(files["shape.json"]) == asdict(shape) == asdict(Shape.load(tmp_path / "1/shape.json"))


def test_built_again(model, tmp_path):
    facts = built(*write())
    folder = tmp_path / facts.pop("folder")
    files = contents(folder)
    assert folder == tmp_path / "rtl_out/net-zcu102-svpe" and json.loads(files["manifest.json"]) == facts
    built("--shape", str(folder / "shape.json"))
    assert contents(folder) == files and [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert built(*write(lanes=6), "--out", str(folder))["build_id"] != facts["build_id"]
    assert contents(folder)["program.bin"] != files["program.bin"]


def test_opened_again(model, tmp_path):
    folder = tmp_path / built(*write())["folder"]
    plan, facts = module.reopen(folder)
    assert plan.shape == SHAPE and plan.arch == facts["arch"] == "svpe"
    assert facts["predicted"]["cycles_per_frame"] == plan.cycles
    plan.program.built(int(facts["build_id"], 16)).write(tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (folder / "program.bin").read_bytes()
    assert module.built("net", "zcu102", arch="svpe").samefile(folder)


def test_hardware_runs_programs_of_other_models(model):
    first = built(*write())
    model.write_bytes(b"another model")
    assert built(*write())["build_id"] == first["build_id"] != built(*write(lanes=6))["build_id"]


def test_best_array_for_the_board_with_a_report(model):
    result = run("--arch", "luts", "--target-fps", "1000")
    assert result.exit_code == 0, result.output
    for text in ("luts", "frames/s at ", "rtl_out/net-zcu102-luts", "make sim NET=net BOARD=zcu102 ARCH=luts"):
        assert text in result.stdout


def test_an_array_where_a_stream_is_too_large(model, monkeypatch):
    def refuse(*arguments):
        raise TooLarge("The stream is too large.")

    monkeypatch.setattr(module, "solve", refuse)
    stream = run("--arch", "stream")
    assert stream.exit_code == 2 and "The stream is too large.\n" in stream.stderr
    facts = built()
    assert facts["arch"] == "svpe" and facts["folder"] == "rtl_out/net-zcu102"
    board = type(boards.find("zcu102"))
    monkeypatch.setattr(board, "budget", replace(board.budget, lut=4000))
    neither = run()
    assert neither.exit_code == 2 and neither.stderr.count("\n") == 1
    assert "Error: The stream is too large. As an array: net: no array for xczu9eg is large enough" in neither.stderr


@pytest.mark.parametrize("text", [
    "{", "[]", "[1]", "4", "null", '"svpe"', '{"chains": "6"}', '{"chains": 6.0}', '{"chains": true}', '{"chains": 0}',
    '{"chains": 1e400}', '{"size": 6}', '{"form": "nonsense"}', '{"form": 3}', '{"form": ["svpe"]}', '{"form": null}',
    '{"form": "vpe"}', '{"bits": 16}', '{"lanes": 6, "drains": 4}', '{"acc_bits": 12}', '{"taps": 4}', "\0", "\ud800",
    "[" * 100000])
def test_files_that_are_no_array(model, tmp_path, text):
    (tmp_path / "shape.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    result = run("--shape", "shape.json")
    assert result.exit_code == 2, result.output
    assert "Error: shape.json: no array (" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "rtl_out").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--arch", "nonsense"], "--arch nonsense: there are stream, svpe, luts, vpe"),
    (["--arch", "svpe", "--folding", "shape.json"], "--folding and --multiplier are for --arch stream"),
    (["--shape", "shape.json", "--folding", "shape.json"], "--folding and --multiplier are for --arch stream"),
    (["--shape", "shape.json", "--arch", "luts"], "shape.json is an array of the form svpe: --arch svpe"),
    (["--shape", "shape.json", "--arch", "stream"], "shape.json is an array of the form svpe"),
    (["--shape", "none.json"], "none.json"),
    (["--shape", "."], "Is a directory"),
    (["--arch", "svpe", "--target-fps", "1e12"], "the fastest array that fits"),
    (["--shape", "shape.json", "--target-fps", "1e12"], "the array of --shape gives 3"),
    (["--shape", "shape.json", "--out", "."], "is no earlier build"),
])
def test_errors_are_one_paragraph(model, tmp_path, arguments, message):
    write()
    before = contents(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("changed", "message"), [
    ({"chain_words": 1}, "build the array with chain_words=6,"), ({"out_depth": 4}, "out_depth=11"),
    ({"bits": 2}, "build it with bits=3"), ({"pixel_bits": 16}, "build an array with pixel_bits=17"),
])
def test_an_array_too_small_for_a_layer(model, tmp_path, changed, message):
    built(*write())
    before = contents(tmp_path / "rtl_out")
    result = run(*write(**changed))
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert contents(tmp_path / "rtl_out") == before


def test_something_of_the_users_is_kept(model, tmp_path):
    folder = tmp_path / built(*write())["folder"]
    (folder / "notes.txt").write_text("mine")
    result = run(*write())
    assert result.exit_code == 2 and "holds notes.txt, which no build has written" in result.stderr
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_is_damaged_is_named(model, tmp_path):
    folder = tmp_path / built(*write())["folder"]
    (folder / "shape.json").write_text("{")
    with pytest.raises(module.UserError, match=r"shape\.json: no array"):
        module.reopen(folder)
