import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gen import build as module
from gen import folding
from gen import plan as planning
from gen.errors import UserError
from gen.folding import Folding

from .samples import tiny


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model file, with importer and emitter replaced by stand-ins that need no tools."""
    source = tmp_path / "tiny.onnx"
    source.write_bytes(b"model")

    def emit(network, foldings, out, build_id, carry_bits):
        (out / f"{network.name}.v").write_text(f"// {build_id:08x}\n")
        (out / "conv1_weights.mem").write_text("0\n")
        return network.name, [f"{network.name}.v", "conv1_weights.mem"]

    monkeypatch.setattr(module.zoo, "find", lambda net: source)
    monkeypatch.setattr(module.qonnx, "load", lambda path, **options: tiny())
    monkeypatch.setattr(planning, "emit", emit)
    monkeypatch.chdir(tmp_path)
    return source


def run(*arguments):
    runner = CliRunner(env={"COLUMNS": "160"})
    return runner.invoke(module.app, ["--net", "tiny", "--board", "zcu102", *arguments])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writes_everything(model, tmp_path):
    folder, facts = module.build("tiny", "zcu102")
    assert folder.as_posix() == "rtl_out/tiny-zcu102"
    files = contents(tmp_path / folder)
    assert set(files) == {"rtl/tiny.v", "rtl/conv1_weights.mem", "vivado/synth.tcl", "vivado/clock.xdc",
                          "registers.md", "manifest.json", "folding.json", "model.onnx.xz"}
    assert set(facts["files"]) == set(files) - {"manifest.json"}
    assert json.loads(files["manifest.json"]) == facts
    assert files["rtl/tiny.v"].decode() == f"// {facts['build_id']}\n"
    assert lzma.decompress(files["model.onnx.xz"]) == model.read_bytes()
    assert [path.name for path in (tmp_path / "rtl_out").iterdir()] == ["tiny-zcu102"]


def test_same_input_gives_same_bytes(model):
    first = contents(module.build("tiny", "zcu102")[0])
    assert contents(module.build("tiny", "zcu102")[0]) == first


def test_build_id_tells_builds_apart(model):
    ids = [module.build("tiny", "zcu102")[1]["build_id"],
           module.build("tiny", "zcu102", foldings={"conv3": Folding()})[1]["build_id"]]
    model.write_bytes(b"another model")
    ids.append(module.build("tiny", "zcu102")[1]["build_id"])
    assert len(set(ids)) == 3


def test_compressed_model_is_copied(model, monkeypatch, tmp_path):
    compressed = tmp_path / "tiny.onnx.xz"
    compressed.write_bytes(lzma.compress(b"model", preset=1))
    monkeypatch.setattr(module.zoo, "find", lambda net: compressed)
    folder, _ = module.build("tiny", "zcu102")
    assert (folder / "model.onnx.xz").read_bytes() == compressed.read_bytes()


def test_failure_leaves_the_earlier_build(model, monkeypatch, tmp_path):
    before = contents(module.build("tiny", "zcu102")[0])

    def fail(network, foldings, out, build_id, carry_bits):
        (out / "half.v").write_text("")
        raise UserError("no")

    monkeypatch.setattr(planning, "emit", fail)
    with pytest.raises(UserError):
        module.build("tiny", "zcu102")
    assert contents(tmp_path / "rtl_out/tiny-zcu102") == before
    assert len(list((tmp_path / "rtl_out").iterdir())) == 1


def test_a_build_with_something_of_the_users_is_kept(model, tmp_path):
    folder, _ = module.build("tiny", "zcu102")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"tiny-zcu102 exists, and holds notes.txt, which no build has written"):
        module.build("tiny", "zcu102")
    assert (folder / "notes.txt").exists()


def test_a_link_to_a_folder_stays_a_link(model, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    module.build("tiny", "zcu102", out=tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "manifest.json").exists()


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {"manifest.json": "[]"}, {"manifest.json": "{"}])
def test_other_folders_are_not_touched(model, tmp_path, content):
    out = tmp_path / "mine"
    out.mkdir()
    for name, text in content.items():
        (out / name).write_text(text)
    with pytest.raises(UserError, match="mine exists, and is no earlier build"):
        module.build("tiny", "zcu102", out=out)
    assert {path.name: path.read_text() for path in out.iterdir()} == content


def test_report(model):
    result = run()
    assert result.exit_code == 0
    for text in ("import the model", "choose the folding", "generate the Verilog", "conv1",
                 "Predicted (cost model)", "frames/s at 250 MHz; the bottleneck is ", "of   274,080",
                 "rtl_out/tiny-zcu102", "make sim NET=tiny BOARD=zcu102"):
        assert text in result.stdout


def test_untrained_models_are_called_so(model, monkeypatch):
    network = tiny()
    network.metadata["trained"] = "false"
    monkeypatch.setattr(module.qonnx, "load", lambda path, **options: network)
    assert "UNTRAINED" in run().stdout


def test_json_is_all_there_is(model):
    facts = json.loads(run("--json", "--clock-mhz", "300").stdout)
    assert facts["folder"] == "rtl_out/tiny-zcu102"
    assert facts["clock_hz"] == 300e6
    assert facts["predicted"]["frames_per_second"] > 0


def test_quiet(model):
    assert run("--quiet").output == ""


def test_written_foldings_can_be_given_back(model):
    folder, facts = module.build("tiny", "zcu102", target_fps=1000)
    result = run("--json", "--folding", str(folder / "folding.json"))
    assert json.loads(result.stdout)["predicted"] == facts["predicted"]
    assert folding.load(folder / "folding.json")["conv1"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--board", "zcu999"], "Error: no board named 'zcu999'; there are: "),
    (["--target-fps", "1e12"], "cannot reach 1,000,000,000,000 frames/s"),
    (["--folding", "none.json"], "none.json: No such file"),
    (["--out", "."], "is no earlier build"),
    (["--out", "/proc/none"], "/proc"),
])
def test_errors_are_one_paragraph(model, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--target-fps", "-1"], ["--clock-mhz", "0"], ["--speed", "1"]])
def test_usage_errors(model, arguments):
    assert run(*arguments).exit_code == 2


def test_the_command_gives_the_same_bytes_in_another_process(tmp_path):
    root = Path(module.__file__).parents[1]
    for seed in "12":
        subprocess.run([sys.executable, "-m", "gen.build", "--net", "tfc", "--board", "zcu102", "--target-fps", "10000",
                        "--out", tmp_path / seed, "--quiet"],
                       cwd=root, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    first, second = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert "rtl/tfc_accelerator.v" in first
    assert first == second
