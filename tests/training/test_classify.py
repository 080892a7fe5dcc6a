"""Photographs classified on the command line: the answer, the picture, and what is refused."""

import json
import lzma
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage
from PIL import Image
from typer.testing import CliRunner

from gen import golden, zoo
from gen.bits import BYTE
from gen.importers import qonnx
from gen.network import Conv, Network, Tensor
from tests.samples import tiny, top1
from train import classes, classify
from train.data import pictures
from train.figures import SOFTWARE

DATA = Path(skimage.__file__).parent / "data"
CAT, ROCKET = DATA / "chelsea.png", DATA / "rocket.jpg"


@pytest.fixture
def shipped(monkeypatch):
    """Have a network imported whatever is asked for, and return how to choose it."""
    return lambda network: monkeypatch.setattr(qonnx, "load", lambda path: network)


def dense(channels, outputs=10):
    """Take vectors."""
    weights = np.random.default_rng(1).choice([-1, 1], (outputs, channels, 1, 1))
    layer = Conv("dense", Tensor(1, 1, channels, BYTE), weights=weights)
    return Network("dense", (layer,), np.full(outputs, 1e-3), np.zeros(outputs))


def _invoke(arguments, out):
    app = classify.typer.Typer()
    app.command()(classify.main)
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [*map(str, arguments), "--out", str(out)])


def call(*arguments, out):
    result = _invoke(arguments, out)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments, out):
    """What the command says when it refuses, having written nothing."""
    before = set(out.parent.rglob("*"))
    result = _invoke(arguments, out)
    assert result.exit_code == 2, result.output
    assert set(out.parent.rglob("*")) == before
    assert result.stderr.startswith("Error: ")
    return result.stderr


def test_photographs(tmp_path):
    said = call(CAT, ROCKET, "--net", "cnv", out=tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["chelsea-cnv.png", "rocket-cnv.png"]
    for path in (tmp_path / "new").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.size == (1800, 690) and image.info["Software"] == SOFTWARE
    network = qonnx.load(zoo.find("cnv"))
    scores = golden.run(network, pictures.read(CAT, (32, 32, 3))[None])[0] * network.scale + network.offset
    softmax = np.exp(scores) / np.exp(scores).sum()
    table = re.findall(r"(\d) +(\w+) +([\d.]+) %", said)[: classify.TOP]
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    best = np.argsort(-scores)[: classify.TOP]
    assert table == [(str(k), names[i], f"{100 * softmax[i]:.1f}") for k, i in enumerate(best, 1)]
    assert "golden model" in said and "UNTRAINED" not in said


def test_untrained_is_called_so(tmp_path):
    assert "UNTRAINED" in call(CAT, "--net", "densenet22", out=tmp_path)


def test_frame_is_what_the_network_sees():
    photograph, image = np.zeros((300, 451, 3)), np.zeros((32, 32, 3))
    frame = classify._frame(photograph, image)
    assert (frame.get_width(), frame.get_height(), *frame.get_xy()) == (300, 300, 75, -0.5)
    frame = classify._frame(photograph.transpose(1, 0, 2), np.zeros((20, 40, 1)))
    assert (frame.get_width(), frame.get_height(), *frame.get_xy()) == (300, 150, -0.5, 150)


def test_photograph_is_turned_and_whole(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.new("RGB", (1801, 100), "red").save(tmp_path / "wide.jpg", exif=exif)
    assert classify._photograph(tmp_path / "wide.jpg").shape == (900, 50, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3)])
def test_odd_photographs(size, tmp_path, shipped):
    shipped(tiny())
    Image.new("RGB", size, "green").save(tmp_path / "odd.png")
    call(tmp_path / "odd.png", "--net", "tfc", out=tmp_path)


@pytest.mark.parametrize(("channels", "shape"), [(784, (28, 28, 1)), (768, (16, 16, 3))])
def test_vectors(channels, shape, tmp_path, shipped):
    network = dense(channels)
    shipped(network)
    said = call(CAT, "--net", "tfc", out=tmp_path)
    vector = pictures.read(CAT, shape).transpose(2, 0, 1).reshape(1, 1, 1, channels)
    best = golden.run(network, vector).argmax()
    assert re.search(r"1 +(\d)", said)[1] == str(best)


def test_classes_without_scores(tmp_path, shipped):
    network = tiny()
    shipped(top1(network))
    said = call(CAT, "--net", "tfc", out=tmp_path)
    best = golden.run(network, pictures.read(CAT, (8, 8, 3))[None]).argmax()
    assert re.search(r"1 +(\d)", said)[1] == str(best)
    assert "there are no probabilities" in said and "%" not in said
    assert (tmp_path / "chelsea-tiny.png").exists()


def test_many_classes(tmp_path, shipped):
    shipped(dense(784, 100))
    call(CAT, "--net", "tfc", out=tmp_path)


@pytest.mark.parametrize("names", [
    [str(k) for k in range(10)],
    ["\x1b[2J", "[bold]x[/]", "[/]", "猫", "$\\frac{$", "", "\ud800", "\u202eabc", "🐱" * 300, "a\nb"],
])
def test_any_names(names, tmp_path, shipped):
    shipped(replace(tiny(), metadata={"classes": json.dumps(names)}))
    said = call(CAT, "--net", "tfc", out=tmp_path)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", said)
    assert len(classes.names(replace(tiny(), metadata={"classes": json.dumps(names)}))) == 10


def test_names_of_the_model_file_come_first():
    network = replace(tiny(), metadata={"dataset": "cifar10"})
    assert classes.names(network)[3] == "cat"
    assert classes.names(replace(top1(network), metadata=network.metadata))[3] == "cat"
    assert classes.names(tiny())[3] == "3"
    told = {"dataset": "cifar10", "classes": json.dumps([f"c{k}" for k in range(10)])}
    assert classes.names(replace(tiny(), metadata=told))[3] == "c3"


@pytest.mark.parametrize("told", ["", "[]", '["a"]', "7", "{}", "[" * 100_000, json.dumps([1] * 10)])
def test_names_that_are_none(told, tmp_path, shipped):
    shipped(replace(tiny(), metadata={"classes": told}))
    message = refusal(CAT, "--net", "tfc", out=tmp_path)
    assert "tiny: the metadata key classes has to be a JSON list of 10 names" in message


def test_names_in_a_model_file(tmp_path):
    model = onnx.load_from_string(lzma.decompress(zoo.find("tfc").read_bytes()))
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, metadata | {"classes": json.dumps([f"number {k}" for k in range(10)])})
    onnx.save(model, tmp_path / "mine.onnx")
    assert "number " in call(CAT, "--net", tmp_path / "mine.onnx", out=tmp_path)
    assert (tmp_path / "chelsea-mine.png").exists()


def test_written_again(tmp_path, shipped):
    shipped(tiny())
    call(CAT, "--net", "tfc", out=tmp_path)
    before = (tmp_path / "chelsea-tiny.png").read_bytes()
    call(CAT, "--net", "tfc", out=tmp_path)
    assert (tmp_path / "chelsea-tiny.png").read_bytes() == before


@pytest.mark.parametrize("foreign", [b"a picture", CAT.read_bytes(), b""])
def test_only_our_own_is_overwritten(foreign, tmp_path, shipped):
    shipped(tiny())
    (tmp_path / "chelsea-tiny.png").write_bytes(foreign)
    assert "was not written by this command" in refusal(CAT, ROCKET, "--net", "tfc", out=tmp_path)
    assert (tmp_path / "chelsea-tiny.png").read_bytes() == foreign


def test_two_photographs_of_one_name(tmp_path, shipped):
    shipped(tiny())
    (tmp_path / "a").mkdir()
    other = tmp_path / "a" / "chelsea.jpg"
    other.write_bytes(ROCKET.read_bytes())
    message = refusal(CAT, other, "--net", "tfc", out=tmp_path)
    assert f"{CAT} and {other} would both become" in message


def test_folder_that_cannot_be_written(tmp_path, shipped):
    shipped(tiny())
    (tmp_path / "file").write_text("mine")
    message = refusal(CAT, "--net", "tfc", out=tmp_path / "file" / "out")
    assert "cannot be written" in message and "name another folder" in message
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        assert "cannot be written" in refusal(CAT, "--net", "tfc", out=tmp_path / "locked")


@pytest.mark.parametrize("content", [b"", b"no picture", CAT.read_bytes()[:20_000], None])
def test_broken_photographs(content, tmp_path, shipped):
    shipped(tiny())
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    assert "broken.png" in refusal(CAT, tmp_path / "broken.png", "--net", "tfc", out=tmp_path)


def test_unknown_network(tmp_path):
    assert "the zoo has alexnet, bvgg16" in refusal(CAT, "--net", "[red]vgg19", out=tmp_path)


def test_network_of_no_pictures(tmp_path, shipped):
    shipped(dense(77))
    assert "dense takes vectors of 77 values" in refusal(CAT, "--net", "tfc", out=tmp_path)
