# amaranth: UnusedElaboratable=no
"""Weights that are powers of two, and activations of many bits: codes, import, and how far from the float graph."""

import numpy as np
import pytest

from gen import golden
from gen.bits import BIPOLAR, Powers, Values, pack
from gen.errors import UserError
from gen.hw.lanes import MultiplyLane, ShiftLane, lane_for
from gen.hw.rescale import Rescale as RescaleUnit
from gen.importers import qonnx
from gen.importers.rescaling import _OFF
from gen.network import Conv, Rescale, Tensor
from gen.reference import reference

from . import streams
from .graphs import bipolar, chain, imported, node, quant, signs
from .integers import random_powers
from .test_core import check

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("count", range(1, 16))
def test_codes(count):
    powers = Powers(count)
    weights = np.array([0, *(sign << k for k in range(count) for sign in (1, -1))])
    codes = powers.encode(weights)
    assert powers.decode(codes).tolist() == weights.tolist() and len(set(codes.tolist())) == 2 * count + 1
    assert codes.max() < 1 << powers.bits and all(int(w) in powers for w in weights)
    assert 3 not in powers and 1 << count not in powers
    assert pack([codes], powers.bits)[0].bit_length() <= powers.bits * len(codes)


def test_bits_are_those_of_the_paper():
    assert [Powers(2 ** (n - 1) - 1).bits for n in (2, 3, 4, 5)] == [2, 3, 4, 5]


def test_fewest_powers():
    assert Powers.holding(np.array([0, 1, -4])) == Powers(3)
    assert Powers.holding(np.array([1, 3])) is None and Powers.holding(np.zeros(3, int)) is None


def test_sums_of_two_powers():
    found = Powers.holding(np.array([0, 1, -3, 6, 7]), 2)
    assert found == Powers(4, 2) and found.bits == 8 and str(found) == "sums of 2 4-bit powers"
    assert Powers.holding(np.array([1, 3, 6]), 2) == Powers(3, 2)  # 7 is 8 - 1, but 3 is 2 + 1
    assert Powers.holding(np.array([11]), 2) is None and 11 not in found and 5 in found and 0 in found
    weights = np.array([w for w in range(-64, 65) if Powers.holding([w], 2)])
    assert Powers(7, 2).decode(Powers(7, 2).encode(weights)).tolist() == weights.tolist()


@pytest.mark.parametrize(("bits", "kind"), [(16, Powers(4, 2)), (4, Values(-8, 7))])
def test_two_shifts_where_a_multiplier_would_be_large(bits, kind, tmp_path):
    """Weights of APoT: sums of two powers, times a scale."""
    weights = np.float32(RNG.choice([0, 1, 2, 3, 4, 6, -1, -2, -5, -7], (60, 3)))
    weights[0, 0] = 7
    model = chain(node("Mul", 2.0), node("Sub", 1.0), quant(2.0 ** (1 - bits), bits), node("Flatten"),
                  node("MatMul", 0.3 * weights))
    found = imported(model, tmp_path)
    assert found.layers[-1].weight_values == kind
    images = RNG.integers(0, 256, (20, 6, 5, 2), np.uint8)
    wanted = reference(model, images)
    given = golden.run(found, images) * found.scale + found.offset
    np.testing.assert_allclose(given, wanted.reshape(given.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_rounding_to_the_nearest_power(bits, tmp_path):
    count = 2 ** (bits - 1) - 1
    weights = RNG.normal(0, 0.1, (60, 3)).astype(np.float32)
    weights[:2, 0] = 0.45, 2.0**-count  # which gives all powers that there are
    model = chain(node("Mul", 2.0), node("Sub", 1.0), quant(1 / 8, 4), node("Flatten"), node("MatMul", weights))
    with pytest.raises(UserError, match=r"MatMul_4 .*the nearest to \S+ is \S+\).*--powers n"):
        imported(model, tmp_path)
    (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
    found = qonnx.load(tmp_path / "float.onnx", powers=bits)
    assert found.layers[-1].weight_values == Powers(count)
    grid = np.array([0.0, *(sign * 2.0 ** (-1 - k) for k in range(count) for sign in (1, -1))])
    nearest = grid[np.abs(weights[..., None] - grid).argmin(-1)]
    order = np.arange(60).reshape(2, 6, 5).transpose(1, 2, 0).ravel()  # the stream has channels last
    np.testing.assert_array_equal(found.layers[-1].weights[:, :, 0, 0] * 2.0**-count, nearest[order].T)


def test_only_weights_that_are_no_powers_are_rounded(tmp_path):
    ternary = np.float32(0.3 * RNG.integers(-1, 2, (60, 4)))
    bias = np.float32([[0.3, 0.7, -1.1]])
    model = chain(node("Mul", 2.0), node("Sub", 1.0), quant(1 / 8, 4), node("Flatten"), node("MatMul", ternary),
                  node("Relu"), quant(1 / 2, 4, signed=0), node("Gemm", np.float32(RNG.normal(0, 1, (4, 3))), bias))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    found = qonnx.load(tmp_path / "net.onnx", powers=5)
    first, last = (layer for layer in found.layers if isinstance(layer, Conv))
    assert first.weight_values == Powers(1) and isinstance(last.weight_values, Powers)
    np.testing.assert_allclose(found.offset, bias[0], rtol=1e-6)


def test_too_many_powers(tmp_path):
    weights = np.float32(2.0 ** -RNG.integers(0, 18, (60, 3)))
    weights[:2, 0] = 1, 2.0**-17
    model = chain(node("Mul", 2.0), node("Sub", 1.0), quant(1 / 8, 4), node("Flatten"), node("MatMul", weights))
    with pytest.raises(UserError, match=r"MatMul_4 .*up to 15 powers of two.*--powers n"):
        imported(model, tmp_path)


def test_multipliers_in_place_of_shifts(tmp_path):
    (tmp_path / "net.onnx").write_bytes(network(3).SerializeToString())
    shifted, multiplied = (qonnx.load(tmp_path / "net.onnx", multiplier=kind) for kind in (None, "dsp"))
    images = RNG.integers(0, 256, (4, 8, 6, 2), np.uint8)
    assert (golden.run(shifted, images) == golden.run(multiplied, images)).all()
    for network_, kind in ((shifted, ShiftLane), (multiplied, MultiplyLane)):
        for layer in network_.walk():
            if isinstance(layer, Conv):
                assert isinstance(lane_for(layer, 2), kind)
    check(multiplied, 1, lambda images: golden.run(shifted, np.array(images, np.uint8)))


def powers(count, *shape):
    """Random weights as floats of which the largest is 1."""
    weights = random_powers(RNG, shape, Powers(count))
    weights.flat[:2] = 1, 1 << count - 1  # all of them, whatever chance brings
    return (weights / 2.0 ** (count - 1)).astype(np.float32)


def block(count, outputs, inputs, bits=16):
    """Convolution, BatchNormalization, Relu and a quantiser, as n-BQ-NN has them."""
    norm = (RNG.uniform(-1, 1.5, outputs), RNG.normal(0, 0.3, outputs), RNG.normal(0, 1, outputs),
            RNG.uniform(1, 9, outputs))
    return (node("Conv", powers(count, outputs, inputs, 3, 3), pads=[1, 1, 1, 1]),
            node("BatchNormalization", *(np.float32(part) for part in norm)), node("Relu"),
            quant(2.0 ** (2 - bits), bits, signed=0))


def network(count, bits=16):
    """A small n-BQ-NN."""
    return chain(*block(count, 6, 2, bits), node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
                 *block(count, 8, 6, bits), node("GlobalAveragePool"), node("Flatten"),
                 node("MatMul", powers(count, 8, 3)), shape=(1, 2, 8, 6))


@pytest.mark.parametrize("count", [1, 3, 7, 15])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_golden_model_is_near_the_float_graph(count, bits, tmp_path):
    model = network(count, bits)
    found = imported(model, tmp_path)
    assert [layer.weight_values for layer in found.layers if isinstance(layer, Conv)] == [Powers(count)] * 3
    assert sum(isinstance(layer, Rescale) for layer in found.layers) == 2
    images = RNG.integers(0, 256, (40, 8, 6, 2), np.uint8)
    wanted = reference(model, images)
    given = golden.run(found, images) * found.scale + found.offset
    # An activation is off by a step at most; the sums of products that follow add up to some tens of weights.
    np.testing.assert_allclose(given, wanted.reshape(given.shape), atol=60 * 2.0 ** (2 - bits))
    clear = np.diff(np.sort(wanted.reshape(given.shape), axis=1)[:, -2:])[:, 0] > 120 * 2.0 ** (2 - bits)
    assert (clear.any() or bits < 16) and (given.argmax(1) == wanted.reshape(given.shape).argmax(1))[clear].all()


def test_rescaling_is_within_its_bound(tmp_path):
    """Against the graph's own line, evaluated in double precision."""
    found = imported(network(3), tmp_path)
    for layer in found.layers:
        if isinstance(layer, Rescale):
            sums = np.arange(layer.input.values.lo, layer.input.values.hi + 1, 97)
            exact = np.clip((sums[:, None] * layer.factor + layer.addend) / 2.0**layer.shift - 0.5,
                            layer.values.lo, layer.values.hi)
            rounded = np.clip((sums[:, None] * layer.factor + layer.addend) >> layer.shift,
                              layer.values.lo, layer.values.hi)
            assert np.abs(rounded - exact).max() <= 0.5 and _OFF <= 0.25


def test_rescaling_to_a_range_that_is_not_filled():
    """Sums that need fewer bits than the activations: the lanes stay apart."""
    source, values = Values(-8, 7), Values(-3, 60)
    unit = RescaleUnit([1, 1], [0, 0], 0, source=source, values=values, lanes=2, file="few")
    x = RNG.integers(-8, 8, (20, 2))
    found = streams.run(unit, pack(source.encode(x), source.bits), 20)
    assert found == pack(values.encode(x.clip(-3, 60)), values.bits)


@pytest.mark.parametrize(("values", "weights", "lane"), [
    (Values(0, 255), Powers(3), ShiftLane), (Values(0, 255), Values(-8, 7), MultiplyLane)])
def test_lanes_by_weights(values, weights, lane):
    layer = Conv("conv", Tensor(1, 1, 4, values), weights=np.ones((2, 4, 1, 1), int), weight_values=weights)
    assert isinstance(lane_for(layer, 2), lane)


def test_sums_are_as_wide_as_the_weights_make_them():
    weights = np.zeros((2, 64, 1, 1), int)
    weights[:, :2] = 4
    layer = Conv("conv", Tensor(1, 1, 64, Values(0, 255)), weights=weights, weight_values=Powers(3))
    assert lane_for(layer, 8).total(layer) == Values(0, 2 * 4 * 255)


def test_integers_stay_integers_where_powers_take_more_bits(tmp_path):
    start = node("Mul", 2.0), node("Sub", 1.0)
    few = np.float32(RNG.choice([-2, -1, 0, 1], (60, 3)))
    model = chain(*start, quant(1 / 8, 4), node("Flatten"), node("MatMul", few))
    assert imported(model, tmp_path).layers[-1].weight_values == Powers(2)
    signs_only = chain(*start, bipolar(), node("Flatten"), node("MatMul", few))
    assert imported(signs_only, tmp_path).layers[-1].weight_values.bits == 3  # with signs, 0 is no activation
    plain = chain(*start, quant(1 / 8, 4), node("Flatten"), node("MatMul", signs(60, 3)))
    assert imported(plain, tmp_path).layers[-1].weight_values == BIPOLAR
