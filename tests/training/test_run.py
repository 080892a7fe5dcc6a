"""The command line of training."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from gen.importers import qonnx
from tests.training.samples import TINY, arrays
from train import checkpoints, classes, data, export, loop, prune, run


def invoke(*arguments):
    """Run the command line; return its exit status and all it printed."""
    app = typer.Typer()
    app.command()(run.main)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "1000"})
    return result.exit_code, result.output


def test_command_line_trains_and_ships(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: arrays(200))
    recipe = tmp_path / "short.toml"
    recipe.write_text("epochs = 1\nbatch = 20\n")
    arguments = ["--net", "tiny", "--out", str(tmp_path), "--recipe", str(recipe)]
    assert invoke(*arguments)[0] == 0
    first = (tmp_path / "tiny.onnx.xz").read_bytes()
    status, output = invoke(*arguments)
    assert status == 0 and "% of 200 test images" in output
    report = json.loads((tmp_path / "tiny.json").read_text())
    assert report["disagreements"] == 0 and report["accuracy"] == report["golden_accuracy"]
    assert report["recipe"]["batch"] == 20 and report["layers"] == TINY.layers and len(report["curve"]) == 1
    assert np.trace(report["confusion"]) * 100 / 200 == report["golden_accuracy"]
    assert np.sum(report["confusion"], 1).tolist() == [20] * 10
    assert report["same_answers"] == 200 and 0 <= report["largest_error"] < 1e-4
    assert "golden model: 200 answers are the same, the largest score error is " in " ".join(output.split())
    assert (tmp_path / "tiny.onnx.xz").read_bytes() == first

    assert invoke("--net", "tiny", "--out", str(tmp_path / "c"), "--calibrate-only")[0] == 0
    model = export.unpack(tmp_path / "c" / "tiny.onnx.xz")
    assert {p.key: p.value for p in model.metadata_props} == {
        "dataset": "cifar10", "trained": "false", "classes": json.dumps(data.DATASETS["cifar10"].classes)}


def test_untrained_with_other_classes_and_few_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *arguments: arrays(200 if arguments[1] == "train" else 20))
    (tmp_path / "own.toml").write_text("epochs = 1\nquantiser = 'pow2'\ndense_inputs = 3\n")
    arguments = "--net", "tiny", "--recipe", str(tmp_path / "own.toml"), "--out", str(tmp_path), "--classes", "12"
    assert "--classes: what is trained learns the classes of its data set" in invoke(*arguments)[1]
    assert invoke(*arguments, "--calibrate-only")[0] == 0
    report = json.loads((tmp_path / "tiny.json").read_text())
    assert report["classes"] is None and "--classes 12" in report["command"]
    assert report["recipe"]["dense_inputs"] == 3 and report["tested"] == 20 and report["confusion"] is None
    network = qonnx.load(tmp_path / "tiny.onnx.xz")
    assert classes.names(network) == [str(number) for number in range(12)]
    *convs, first, second = (layer.weights for layer in network.layers if hasattr(layer, "weights"))
    assert [len(weights) for weights in (first, second)] == [32, 12]
    for weights in first, second:
        assert np.count_nonzero(weights, axis=(1, 2, 3)).max() == 3
    assert min(np.count_nonzero(weights) / weights.size for weights in convs) > 0.5


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--net", "vgg"], "no network 'vgg'"),
        (["--net", "tfc"], "give --data DIR"),
        (["--net", "tfc", "--device", "toaster"], "toaster"),
        (["--net", "tfc", "--epochs", "0"], "epochs is 0, not in 1 to"),
        (["--net", "tfc", "--recipe", "quick", "--bits", "3"], "not for quantiser ste; choose --recipe powers"),
        (["--net", "tfc", "--quantiser", "magic"], "no quantiser 'magic'; there are ste, staged"),
        (["--net", "tbqnn", "--bits", "6"], "bits is 6, not in 1 to 5"),
        (["--net", "alexnet"], "alexnet has no data set of its own: --dataset NAME, or the folder of your pictures"),
        (["--net", "tfc", "--recipe", "none"], "no recipe 'none' (No such file or directory); there are best, digits,"),
    ],
)
def test_command_line_errors(arguments, complaint, tmp_path, monkeypatch):
    monkeypatch.delenv("BNN_DATA", raising=False)
    status, output = invoke(*arguments, "--out", str(tmp_path))
    assert status == 2 and complaint in output


@pytest.mark.parametrize(("text", "words"), [
    ("teacher = 'teacher'", "teacher and distil go together"),
    ("ema = 0.9\nfreeze = 1", "layers that freeze have no moving average"),
])
def test_settings_that_do_not_go_together(text, words, tmp_path):
    (tmp_path / "own.toml").write_text(f"epochs = 1\n{text}\n")
    status, output = invoke("--net", "tfc", "--recipe", str(tmp_path / "own.toml"))
    assert status == 2 and words in output


def test_runs_on_other_images_have_other_folders(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda dataset, *_: arrays(200 if dataset == "cifar10" else 300))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("epochs = 1\nbatch = 20\n")
    for arguments in ((), ("--dataset", "svhn"), ("--calibrate-only",)):
        assert invoke("--net", "tiny", "--recipe", "own.toml", *arguments)[0] == 0
    trained = {path.name: json.loads((path / "tiny.json").read_text()) for path in (tmp_path / "runs").iterdir()}
    assert {name: report["tested"] for name, report in trained.items()} == {
        "tiny-own-1": 200, "tiny-own-svhn-1": 300, "tiny-own-calibrated-1": 200}
    assert trained["tiny-own-1"]["validation"] is not None and trained["tiny-own-calibrated-1"]["validation"] is None


def test_a_teacher_is_trained_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: arrays(300))
    (tmp_path / "teacher.toml").write_text("epochs = 5\nbatch = 20\nrate = 0.002\nquantiser = 'real'\n")
    (tmp_path / "own.toml").write_text(
        f"epochs = 2\nbatch = 20\ndistil = 0.5\nteacher = '{tmp_path / 'teacher.toml'}'\n")
    arguments = "--net", "tiny", "--recipe", str(tmp_path / "own.toml"), "--batch", "15", "--out", str(tmp_path / "run")
    status, output = invoke(*arguments)
    assert status == 0
    assert checkpoints.read(tmp_path / "run" / "teacher" / "checkpoint.pt", "cpu")[1].batch == 15
    taught = float(re.search(r"tiny's teacher: (\S+) % of the validation images", output)[1])
    assert taught > 80


def test_power_of_two_weights_start_from_full_precision(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: arrays(300))
    (tmp_path / "full.toml").write_text("epochs = 4\nbatch = 20\nrate = 0.002\nquantiser = 'real'\n")
    (tmp_path / "own.toml").write_text(
        f"epochs = 2\nbatch = 20\nrate = 0.002\nquantiser = 'pow2'\nstart = '{tmp_path / 'full.toml'}'\n")
    arguments = "--net", "tiny", "--recipe", str(tmp_path / "own.toml"), "--bits", "4", "--out"
    status, output = invoke(*arguments, str(tmp_path / "run"))
    assert status == 0 and float(re.search(r"tiny's start: (\S+) % of the validation images", output)[1]) > 80
    report = json.loads((tmp_path / "run" / "tiny.json").read_text())
    assert report["recipe"]["bits"] == 4 and "--bits 4" in report["command"] and report["trained"]
    assert report["accuracy"] == report["golden_accuracy"] > 50
    assert report["same_answers"] == 300 and 0 < report["largest_error"] < 0.01  # activations are in fixed point

    # The same start again, by name, and nothing learnt: direct rounding.
    status, _ = invoke(*arguments, str(tmp_path / "rounded"), "--start", str(tmp_path / "run" / "start"),
                       "--calibrate-only")
    report = json.loads((tmp_path / "rounded" / "tiny.json").read_text())
    assert status == 0 and report["trained"] and report["epochs"] == 0 and report["accuracy"] is not None

    # What started elsewhere does not go on here.
    started = *arguments, str(tmp_path / "other"), "--start"
    assert invoke(*started, str(tmp_path / "run" / "start"))[0] == 0
    shutil.copytree(tmp_path / "run" / "start", tmp_path / "start")
    state = torch.load(tmp_path / "start" / "checkpoint.pt", weights_only=True)
    torch.save(state | {"note": "another"}, tmp_path / "start" / "checkpoint.pt")
    status, output = invoke(*started, str(tmp_path / "start"))
    assert status == 2 and "was made by another recipe (start " in output


def test_pruned_network_is_exported_smaller(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: arrays(200))
    monkeypatch.setattr(prune, "STEP", 2)
    (tmp_path / "own.toml").write_text("epochs = 3\nbatch = 20\nkeep = 0.5\n")
    status, _ = invoke("--net", "tiny", "--recipe", str(tmp_path / "own.toml"), "--out", str(tmp_path))
    report = json.loads((tmp_path / "tiny.json").read_text())
    assert status == 0 and report["layers"] == "4C3 4C3 MP2 8C3 MP4 16 10" and report["disagreements"] == 0
    network = qonnx.load(tmp_path / "tiny.onnx.xz")
    assert sum(layer.weights.size for layer in network.layers if hasattr(layer, "weights")) == sum(
        (3 * 4 * 9, 4 * 4 * 9, 4 * 8 * 9, 8 * 16 * 16, 16 * 10))


def test_out_of_memory_says_what_fits(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: arrays(400))

    def greedy(pixels, *rest, scale=loop.scale):
        if len(pixels) > 30:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return scale(pixels, *rest)

    monkeypatch.setattr(loop, "scale", greedy)
    arguments = "--net", "tiny", "--recipe", "quick", "--out", str(tmp_path), "--epochs", "1"
    status, output = invoke(*arguments)
    assert status == 2 and "out of memory with 100 images a step; 25 fit: --batch 25" in output
    assert not (tmp_path / "checkpoint.pt").exists()


def test_other_data_sets(tmp_path, monkeypatch, tiny):
    for split, count in ("train", 40), ("test", 10):
        images, labels = arrays(count)
        for k, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / "own" / split / ("left" if label < 5 else "right")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((40, 40)).save(folder / f"{k}.png")
    arguments = "--net", "tiny", "--recipe", "quick", "--out", str(tmp_path), "--epochs", "1", "--batch", "18"
    status, output = invoke(*arguments, "--dataset", str(tmp_path / "own"))
    assert status == 0 and "of 10 test images" in output
    report = json.loads((tmp_path / "tiny.json").read_text())
    assert report["dataset"] == "pictures in own" and report["classes"] == ["left", "right"]
    assert str(tmp_path) not in json.dumps(report).replace(str(tmp_path / "quick"), "")
