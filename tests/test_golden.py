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
import typer
from PIL import Image
from typer.testing import CliRunner

from gen import golden, zoo
from gen.bits import BYTE, Values
from gen.errors import UserError
from gen.importers.qonnx import load
from gen.network import Conv, Flatten, Network, Pool, Rescale, Tensor, Threshold, TopK
from gen.reference import reference
from tests import integers
from tests.graphs import bipolar, chain, imported, node, signs
from tests.random_networks import random_network
from train.data import datasets
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


# The images that belong to a network


def dense(shape, classes=10, **metadata):
    """A network of one layer that adds up some pixels for each class."""
    flat = Flatten("flat", Tensor(*shape, BYTE)) if shape[:2] != (1, 1) else None
    image = flat.output if flat else Tensor(*shape, BYTE)
    weights = np.random.default_rng(5).integers(0, 2, (classes, image.channels, 1, 1)) * 2 - 1
    layers = [flat] * bool(flat) + [Conv("dense", image, weights=weights)]
    return Network("net", tuple(layers), np.ones(classes), np.zeros(classes), metadata)


@pytest.fixture
def two_images(tmp_path, monkeypatch):
    """CIFAR-10 and MNIST with two test images each."""
    rng = np.random.default_rng(6)
    for name in "cifar10", "mnist":
        monkeypatch.setitem(datasets.DATASETS, name, datasets.DATASETS[name]._replace(counts={"test": 2}))
    for folder in "cifar-10-batches-bin", "MNIST/raw":
        (tmp_path / folder).mkdir(parents=True)
    colours, grey = rng.integers(0, 256, (2, 3073), np.uint8), rng.integers(0, 256, (2, 28, 28), np.uint8)
    colours[:, 0] = 4, 2
    (tmp_path / "cifar-10-batches-bin/test_batch.bin").write_bytes(colours.tobytes())
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + grey.tobytes()
    )
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 1]))
    return tmp_path, colours[:, 1:].reshape(2, 3, 32, 32), grey


@pytest.mark.parametrize(
    "network, wanted",
    [
        (dense((32, 32, 3)), "cifar10"),
        (dense((32, 32, 3), 100), "cifar100"),
        (dense((32, 32, 3), dataset="svhn"), "svhn"),
        (dense((28, 28, 1)), "mnist"),
        (dense((1, 1, 784)), "mnist"),
        (dense((28, 28, 1), dataset="fashion-mnist"), "fashion-mnist"),
        (dense((32, 32, 3), dataset="mnist"), "mnist"),
    ],
)
def test_data_set(network, wanted):
    assert golden.data_set(network) == wanted


def test_data_sets_that_only_the_user_knows():
    with pytest.raises(UserError, match=r"net was trained on 'my/cats', which is none of cifar10, .*--dataset DIR"):
        golden.data_set(dense((32, 32, 3), dataset="my/cats"))
    with pytest.raises(UserError, match=r"net: no data set has images of \(32, 32, 3\) and 7 classes; .*--dataset"):
        golden.data_set(dense((32, 32, 3), 7))


def test_examples(two_images):
    folder, colours, grey = two_images
    images, labels = golden.examples(dense((32, 32, 3)), folder)
    assert np.array_equal(images.transpose(0, 3, 1, 2), colours) and labels.tolist() == [4, 2]
    images, labels = golden.examples(dense((28, 28, 1)), folder)
    assert np.array_equal(images[..., 0], grey) and labels.tolist() == [7, 1]
    ranked = dense((28, 28, 1))
    ranked = replace(ranked, layers=(*ranked.layers, TopK("best", ranked.output, k=3)))
    assert np.array_equal(golden.examples(ranked, folder)[0][..., 0], grey)


def test_examples_for_vectors(two_images):
    folder, colours, grey = two_images
    images = golden.examples(dense((1, 1, 784)), folder)[0]
    assert images.shape == (2, 1, 1, 784) and np.array_equal(images.ravel(), grey.ravel())
    images = golden.examples(dense((1, 1, 3072)), folder)[0]
    assert images.shape == (2, 1, 1, 3072) and np.array_equal(images.ravel(), colours.ravel())
    with pytest.raises(UserError, match="vectors of 785 values"):
        golden.examples(dense((1, 1, 785), dataset="mnist"), folder)


def test_examples_of_another_shape(two_images):
    folder, _, grey = two_images
    network = dense((28, 28, 3), dataset="mnist")
    images, labels = golden.examples(network, folder)
    assert np.array_equal(images, grey[..., None].repeat(3, axis=-1)) and labels.tolist() == [7, 1]
    assert golden.evaluate(network, images, labels, progress=False) in {0, 0.5, 1}
    assert golden.examples(dense((32, 32, 3)), folder, "mnist")[0].shape == (2, 32, 32, 3)
    assert golden.examples(dense((1, 1, 256)), folder, "cifar10")[0].shape == (2, 1, 1, 256)


def test_examples_of_other_classes(two_images):
    with pytest.raises(UserError, match=r"net tells 3 classes apart, but mnist has 10: .*--dataset"):
        golden.examples(dense((28, 28, 1), 3), two_images[0], "mnist")
    images, labels = golden.examples(dense((28, 28, 1), 3, trained="false"), two_images[0], "mnist", count=1)
    assert len(images) == 1 and labels.tolist() == [7]


@pytest.fixture
def pictures(tmp_path):
    """A folder with a test picture of each digit."""
    for name in "0123456789":
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(np.full((40, 30), 25 * int(name), np.uint8)).save(tmp_path / "test" / name / "a.jpg")
    return tmp_path


def test_pictures_by_the_command_line(pictures):
    given = subprocess.run(
        [sys.executable, "-m", "gen.golden", "--net", "tfc", "--dataset", str(pictures)], text=True, capture_output=True
    )
    assert "of 10 test images (golden model)" in given.stdout, given.stderr


def compared(net, pictures):
    """Exit status and output of the comparison with the float graph."""
    app = typer.Typer()
    app.command()(golden._main)
    result = CliRunner().invoke(app, ["--net", net, "--dataset", str(pictures), "--compare"], env={"COLUMNS": "1000"})
    return result.exit_code, result.output


DENSE = node("Sub", 0.5), bipolar(), node("Flatten"), node("MatMul", signs(90, 10))


@pytest.mark.parametrize("classes", [False, True])
def test_compare_with_the_float_graph(classes, pictures):
    model = chain(*DENSE, shape=(1, 3, 6, 5), output=(1, 10))
    if classes:
        model = chain(*DENSE, node("ArgMax", axis=1, keepdims=0), shape=(1, 3, 6, 5), output=(1,))
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"  # a batch that is left open
    onnx.save(model, pictures / "own.onnx")
    status, output = compared(str(pictures / "own.onnx"), pictures)
    assert status == 0 and "10 answers are the same, the largest score error is 0\n" in output, output


def test_compare_finds_what_differs(tmp_path):
    network = imported(chain(*DENSE, shape=(1, 3, 6, 5)), tmp_path)
    images = random_images(network, 5)
    wanted = golden.run(network, images) * network.scale + network.offset
    wanted[2, wanted[2].argmax()] -= 100
    assert golden.compare(network, images, wanted) == (4, 100)


def test_compare_without_the_executor(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "qonnx.core.onnx_exec", None)
    status, output = compared("tfc", pictures)
    assert status == 2 and "pip install -c constraints.txt -e '.[train]'" in output


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
    images = load_images(network.metadata["dataset"], "test", DATA, network.input.shape, count=12)[0]
    wanted = reference(model, images)
    given = golden.run(network, images) * network.scale + network.offset
    # Rescaled activations are within 3/4 of a step of the graph's.
    within = 0.01 if any(isinstance(layer, Rescale) for layer in network.walk()) else 1e-5
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=within)
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
