"""The importer against the reference executor, and its errors."""

import lzma

import numpy as np
import onnx
import pytest

from gen import golden
from gen.bits import BIPOLAR, Values
from gen.importers.qonnx import load
from gen.network import Conv, Lookup, Pool, Threshold, TopK
from gen.reference import reference
from tests.graphs import END, START, annotate, bipolar, chain, imported, node, quant, signs
from tests.random_networks import random_network


def random_images(shape, count=8, seed=0):
    _, channels, height, width = shape
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)


def scores(network, images):
    return golden.run(network, images) * network.scale + network.offset


def assert_agrees(model, batched, tmp_path, shape):
    images = random_images(shape, 12)
    wanted = reference(batched, images)
    given = scores(imported(model, tmp_path), images).reshape(wanted.shape)
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(150))
def test_random_network_agrees_with_the_reference_executor(seed, tmp_path):
    model, shape = random_network(seed)
    assert_agrees(model, random_network(seed, batch=12)[0], tmp_path, shape)


@pytest.mark.parametrize("seed", range(200, 212))
def test_random_network_with_arg_max_agrees(seed, tmp_path):
    model, shape = random_network(seed, choice=True)
    assert isinstance(imported(model, tmp_path).layers[-1], TopK)
    assert_agrees(model, random_network(seed, batch=12, choice=True)[0], tmp_path, shape)


def test_random_networks_cover_every_kind_of_layer(tmp_path):
    networks = [imported(random_network(seed)[0], tmp_path) for seed in range(60)]
    layers = [layer for network in networks for layer in network.layers]
    convolutions = [layer for layer in layers if isinstance(layer, Conv)]
    assert {type(layer).__name__ for layer in layers} == {"Conv", "Flatten", "Lookup", "Pool", "Threshold"}
    assert {layer.kind for layer in layers if isinstance(layer, Pool)} == {"max", "sum"}
    assert {layer.weight_values.bits for layer in convolutions} >= {1, 2, 3, 8}
    assert any(layer.pad_value for layer in convolutions)
    assert any(layer.flip.any() for layer in layers if isinstance(layer, Threshold))


# One chain for each thing that random networks do not do.
CHAINS = {
    "same upper": (
        *START,
        node("Conv", signs(4, 2, 2, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
        bipolar(),
        node("Flatten"),
        node("MatMul", signs(36, 3)),
    ),
    "same lower": (*START, node("Conv", signs(2, 2, 2, 2), auto_pad="SAME_LOWER"), bipolar(), *END),
    "weights left": (*START, node("Reshape", [1, 60, 1]), node("MatMul", signs(3, 60), ...), node("Flatten")),
    "gemm": (
        *START,
        node("Reshape", [60, 1]),
        node("Gemm", signs(60, 3), np.ones(3), transA=1, alpha=0.5, beta=-2.0),
    ),
    "channels last": (
        *START,
        node("Transpose", perm=[0, 2, 3, 1]),
        node("MatMul", signs(2, 4)),
        bipolar(),
        node("Reshape", [1, -1]),
        node("MatMul", signs(120, 3)),
    ),
    "transposed flatten": (*START, node("Transpose", perm=[0, 3, 1, 2]), *END),
    "reduce mean": (*START, node("Conv", signs(3, 2, 3, 3)), node("ReduceMean", axes=[2, 3], keepdims=0)),
    "mean over nine, thresholds": (
        *START,
        node("AveragePool", kernel_shape=[3, 3]),
        quant(0.125, 3),
        node("Flatten"),
        node("MatMul", signs(24, 3)),
    ),
    "padded average": (
        *START,
        node("AveragePool", kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1),
        *END,
    ),
    "pads of a pad node before an average": (
        *START,
        node("Pad", [0, 0, 1, 0, 0, 0, 0, 1], 0.0),
        node("AveragePool", kernel_shape=[2, 2]),
        *END,
    ),
    "pad node before a maximum": (
        *START,
        node("Pad", [0, 0, 1, 0, 0, 0, 0, 1], -1.0),
        node("MaxPool", kernel_shape=[2, 2]),
        *END,
    ),
    "ceil mode": (
        *START,
        node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Flatten"),
        node("MatMul", signs(18, 3)),
    ),
    "affine before a global average": (
        *START,
        node("Conv", signs(3, 2, 3, 3)),
        node("Mul", 0.25),
        node("Add", 1.0),
        node("GlobalAveragePool"),
        node("Flatten"),
    ),
    "bits from signs": (*START, node("Add", 1.0), node("Mul", 0.5), *END),
    "clip, sign": (
        *START,
        node("Conv", signs(2, 2, 1, 1)),
        node("Clip", -1.0, 1.0),
        node("Add", 0.5),
        node("Sign"),
        *END,
    ),
    "sign with zero": (*START, node("Conv", signs(2, 2, 1, 1)), node("Sign"), *END),
    "power": (
        *START,
        node("Conv", signs(2, 2, 1, 1)),
        node("Pow", 3.0),
        node("Sub", 7.0, ...),
        bipolar(),
        *END,
    ),
    "harmless": (*START, node("Dropout"), node("Cast", to=1), node("Identity"), *END),
    "features of one channel differ": (
        *START,
        node("Flatten"),
        node("Mul", np.linspace(-1, 1, 60)),
        bipolar(),
        node("MatMul", signs(60, 3)),
    ),
    "pixels straight to a convolution": (node("Conv", signs(2, 2, 1, 1)), bipolar(), *END),
    "centred pixels straight to a convolution": (
        node("Mul", 2.0),
        node("Sub", 1.0),
        node("Conv", signs(2, 2, 1, 1)),
        node("Add", -0.001),
        bipolar(),
        *END,
    ),
    "quantised twice": (*START, quant(1.0, 4), *END),
    "scores quantised": (*START, *END, quant(4.0, 4)),
    "falling scores": (*START, *END, node("Neg")),
    "wide accumulator": (
        node("Mul", 1.0),
        quant(1 / 256, 8, signed=0),
        node("Conv", np.arange(-18.0, 18).reshape(2, 2, 3, 3) * 7),
        node("Mul", 1 / 64),
        quant(0.25, 8),
        node("Flatten"),
        node("MatMul", signs(24, 3)),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chain_agrees_with_the_reference_executor(name, tmp_path):
    model = chain(*CHAINS[name], output=(1, 3))
    images = random_images((1, 2, 6, 5))
    wanted = reference(model, images).reshape(len(images), -1)
    np.testing.assert_allclose(scores(imported(model, tmp_path), images), wanted, rtol=1e-5, atol=1e-4)


def test_wide_accumulators_are_sampled_and_bisected(monkeypatch, tmp_path):
    model = chain(*CHAINS["wide accumulator"])
    sampled = imported(model, tmp_path)
    monkeypatch.setattr("gen.importers.signal._GRID", 1 << 30)
    exhaustive = imported(model, tmp_path)
    accumulator = next(layer for layer in sampled.layers if isinstance(layer, Conv))
    assert np.ptp(accumulator.bounds, axis=0).max() > 1 << 14
    for one, other in zip(sampled.layers, exhaustive.layers, strict=True):
        if isinstance(one, Threshold):
            assert np.array_equal(one.thresholds, other.thresholds)


def test_quantiser_that_changes_nothing_costs_no_layer(tmp_path):
    plain, twice = (imported(chain(*START, *extra, *END), tmp_path) for extra in ((), (bipolar(),)))
    assert len(plain.layers) == len(twice.layers)


def test_falling_channel_is_negated_where_a_filter_is_at_hand(tmp_path):
    weights, gain = signs(4, 2, 1, 1), np.array([1.0, -1.0, 0.0, -0.5]).reshape(4, 1, 1)
    tail = (node("Mul", gain), node("Add", 0.25), bipolar(), node("Flatten"), node("MatMul", signs(120, 3)))
    network = imported(chain(*START, node("Conv", weights), *tail), tmp_path)
    conv, threshold = network.layers[1:3]
    assert np.array_equal(conv.weights[:, 0, 0, 0], weights[:, 0, 0, 0] * [1, -1, 1, -1])
    assert not threshold.flip.any()
    assert threshold.thresholds[2, 0] <= conv.bounds[0, 2]
    pool = node("MaxPool", kernel_shape=[2, 2])
    tail = (*tail[:3], node("Flatten"), node("MatMul", signs(80, 3)))
    network = imported(chain(*START, node("Conv", weights), pool, *tail), tmp_path)
    assert network.layers[3].flip.tolist() == [False, True, False, True]


def test_negated_weight_that_leaves_its_type_widens_it(tmp_path):
    model = chain(
        *START,
        node("Conv", np.array([[[[-8.0]], [[7.0]]]])),
        node("Neg"),
        bipolar(),
        node("Flatten"),
        node("MatMul", signs(30, 3)),
    )
    conv = imported(annotate(model, "c3", "INT4"), tmp_path).layers[1]
    assert conv.weights.ravel().tolist() == [8, -7]
    assert 8 in conv.weight_values


def test_weight_types(tmp_path):
    def weight_values(*nodes):
        return next(
            x for x in imported(chain(*START, *nodes), tmp_path).layers if isinstance(x, Conv)
        ).weight_values

    head = node("Flatten")
    assert weight_values(head, node("MatMul", signs(60, 3) * 0.3)) == BIPOLAR
    assert weight_values(head, node("MatMul", (signs(60, 3) > 0) * np.array([0.1, np.pi, 0.7]))) == Values(
        -1, 1
    )
    assert (
        weight_values(head, node("MatMul", signs(60, 3) * 2.0 ** (np.arange(180).reshape(60, 3) % 4))).bits
        == 5
    )


def test_pixels_are_bytes_where_the_model_says_so(tmp_path):
    model = annotate(chain(node("Sub", 128.0), bipolar(), *END), "image", "UINT8")
    (table,) = (layer.table for layer in imported(model, tmp_path).layers if isinstance(layer, Lookup))
    assert table[0, 127:129].tolist() == [-1, 1]


def test_image_of_one_vector(tmp_path):
    network = imported(chain(*START, node("MatMul", signs(7, 3)), shape=("N", 7)), tmp_path)
    assert network.input.shape == (1, 1, 7)


def test_names(tmp_path):
    model = chain(
        *START,
        node("Conv", signs(2, 2, 1, 1)),
        bipolar(),
        node("Conv", signs(2, 2, 1, 1)),
        bipolar(),
        node("Conv", signs(2, 2, 1, 1)),
        bipolar(),
        node("MaxPool", kernel_shape=[2, 2]),
        node("Flatten"),
        node("MatMul", signs(40, 3)),
    )
    for old, new in (("c3", "Module.weight"), ("c5", "conv2_1.weight"), ("c7", "onnx::Conv_12")):
        for tensor in model.graph.initializer:
            tensor.name = new if tensor.name == old else tensor.name
        for item in model.graph.node:
            item.input[:] = [new if name == old else name for name in item.input]
    names = [layer.name for layer in imported(model, tmp_path).layers]
    assert names == [
        "lookup0",
        "conv0",
        "conv0_threshold",
        "conv2_1",
        "conv2_1_threshold",
        "conv1",
        "conv1_threshold",
        "pool0",
        "flatten0",
        "dense0",
    ]


def test_metadata_and_compressed_files(tmp_path):
    model = chain(*START, *END)
    onnx.helper.set_model_props(model, {"dataset": "mnist", "trained": "false"})
    path = tmp_path / "small-net.onnx.xz"
    path.write_bytes(lzma.compress(model.SerializeToString()))
    network = load(path)
    assert (network.name, network.untrained, network.metadata["dataset"]) == ("small-net", True, "mnist")
    assert load(path, "other").name == "other"


def test_top_k(tmp_path):
    network = imported(chain(*START, *END, node("TopK", [2], axis=1), output=(1, 2)), tmp_path)
    images = random_images((1, 2, 6, 5))
    plain = golden.run(imported(chain(*START, *END), tmp_path), images)
    assert np.array_equal(golden.run(network, images), np.argsort(-plain, axis=1, kind="stable")[:, :2])
