"""The golden model against plain loops, the reference executor, and published scores."""

import lzma
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from gen import golden, zoo
from gen.bits import BYTE, Values
from gen.errors import UserError
from gen.importers.qonnx import load
from gen.network import Conv, Network, Pool, Tensor, Threshold
from tests import integers
from tests.graphs import imported
from tests.random_networks import random_network
from tests.reference import reference
from train.data import load as load_images

DATA = os.environ.get("BNN_DATA")
MODELS = os.environ.get("POPWEAVE_MODELS")
needs_data = pytest.mark.skipif(not DATA, reason="BNN_DATA, the folder with MNIST and CIFAR-10, is not set")


def random_images(network, count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *network.input.shape), np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_every_layer_agrees_with_plain_loops(seed, tmp_path):
    network = imported(random_network(seed)[0], tmp_path)
    images = random_images(network, 3)
    taps = {}
    scores = golden.run(network, images, taps)
    assert list(taps) == [layer.name for layer in network.layers]
    for number, image in enumerate(images):
        values = image
        for layer in network.layers:
            values = integers.compute(layer, values)
            assert np.array_equal(taps[layer.name][number], values), layer.name
        assert np.array_equal(scores[number], values.ravel())


def test_sums_beyond_float32_are_exact():
    image = Tensor(3, 3, 512, BYTE)
    weights = np.random.default_rng(0).integers(100, 128, (4, 512, 3, 3))
    conv = Conv(
        "conv", image, weights=weights, weight_values=Values(-128, 127), pads=(1, 1, 1, 1), pad_value=255
    )
    pool = Pool("pool", conv.output, kernel=(3, 3), kind="sum")
    step = Threshold("step", pool.output, np.full((4, 1), 9 * 255 * 5), np.zeros(4, bool), Values(0, 1))
    network = Network("large", (conv, pool, step), np.ones(4), np.zeros(4))
    images = random_images(network, 2)
    taps = {}
    golden.run(network, images, taps)
    assert taps["pool"].min() > 1 << 24
    assert np.array_equal(taps["pool"][1], integers.compute(pool, integers.compute(conv, images[1])))


def test_batches_do_not_matter(monkeypatch, tmp_path):
    network = imported(random_network(3)[0], tmp_path)
    images = random_images(network, 11)
    taps, small_taps = {}, {}
    scores = golden.run(network, images, taps)
    monkeypatch.setattr(golden, "_BATCH_VALUES", 1)
    monkeypatch.setattr(golden, "_COLUMN_VALUES", 1)
    assert np.array_equal(golden.run(network, images, small_taps), scores)
    assert all(np.array_equal(small_taps[name], taps[name]) for name in taps)
    assert golden.run(network, images[:0]).shape == (0, scores.shape[1])


def layer_changes(network, images, wrong):
    """Whether the layer of the same name puts out something else once ``wrong`` has taken its place."""
    taps, wrong_taps = {}, {}
    golden.run(network, images, taps)
    layers = tuple(wrong if layer.name == wrong.name else layer for layer in network.layers)
    layers = layers[: layers.index(wrong) + 1]
    golden.run(replace(network, layers=layers), images, wrong_taps)
    return not np.array_equal(taps[wrong.name], wrong_taps[wrong.name])


@pytest.mark.parametrize("seed", range(6))
def test_a_wrong_weight_shows(seed, tmp_path):
    network = imported(random_network(seed)[0], tmp_path)
    images = random_images(network, 20)
    conv = next(layer for layer in network.layers if isinstance(layer, Conv))

    def with_another(index):
        weights = conv.weights.copy()
        weights.flat[index] += 1
        return replace(conv, weights=weights)

    # A tap of the filter may meet nothing but padding or zeros; not all of them do.
    assert any(layer_changes(network, images, with_another(index)) for index in range(conv.fan_in))


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_wrong_threshold_shows(seed, tmp_path):
    network = imported(random_network(seed)[0], tmp_path)
    images = random_images(network, 20)
    place = next(place for place, layer in enumerate(network.layers) if isinstance(layer, Threshold))
    threshold, taps = network.layers[place], {}
    golden.run(network, images, taps)
    greatest = taps[network.layers[place - 1].name][..., 0].max()
    thresholds = threshold.thresholds.copy()
    thresholds[0, -1] = greatest if thresholds[0, -1] > greatest else greatest + 1
    assert layer_changes(network, images, replace(threshold, thresholds=thresholds))


def test_evaluate_counts_right_answers(tmp_path):
    network = imported(random_network(5)[0], tmp_path)
    images = random_images(network, 230)
    best = np.argmax(golden.run(network, images) * network.scale + network.offset, axis=1)
    labels = np.where(np.arange(230) < 23, best, -1)
    assert golden.evaluate(network, images, labels, progress=False) == pytest.approx(0.1)


def test_images_that_do_not_fit_are_refused(tmp_path):
    network = imported(random_network(0)[0], tmp_path)
    with pytest.raises(UserError, match=r"net takes uint8 images"):
        golden.run(network, random_images(network, 2).astype(float))
    with pytest.raises(UserError, match=r"net takes uint8 images"):
        golden.run(network, random_images(network, 2)[:, 1:])


def test_zoo_finds_names_and_paths(tmp_path):
    path = tmp_path / "mine.onnx"
    path.touch()
    assert zoo.find(str(path)) == path
    assert [zoo.find(name).name.split(".")[0] for name in zoo.names()] == zoo.names()
    with pytest.raises(UserError, match="tfc"):
        zoo.find("nonsense")


@needs_data
@pytest.mark.parametrize("name", zoo.names())
def test_zoo_network_agrees_with_the_reference_executor_on_real_images(name):
    path = zoo.find(name)
    content = path.read_bytes()
    model = onnx.load_model_from_string(lzma.decompress(content) if path.suffix == ".xz" else content)
    network = load(path)
    images = load_images(network.metadata["dataset"], "test", DATA)[0][:12]
    wanted = np.concatenate([reference(model, image[None]) for image in images])
    given = golden.run(network, images) * network.scale + network.offset
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)
    assert np.array_equal(given.argmax(1), wanted.argmax(1))


@needs_data
@pytest.mark.skipif(not MODELS, reason="POPWEAVE_MODELS, the folder with TFC_1W1A.onnx, is not set")
def test_foreign_network_agrees_on_all_of_mnist():
    network = load(Path(MODELS) / "TFC_1W1A.onnx")
    wanted = np.load(Path(MODELS) / "TFC_1W1A_test_logits.npy")
    images, labels = load_images("mnist", "test", DATA)
    given = golden.run(network, images) * network.scale + network.offset
    assert np.array_equal(given.argmax(1), wanted.argmax(1))
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)
    assert golden.evaluate(network, images, labels, progress=False) == 0.9296


@needs_data
def test_command_line():
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "gen.golden", "--data", DATA, *arguments], text=True, capture_output=True
        )

    given = run("--net", "tfc", "--images", "50")
    assert given.returncode == 0
    assert "of 50 test images (golden model)" in given.stdout
    given = run("--net", "nonsense")
    assert given.returncode == 2
    assert "the zoo has" in given.stderr
