# amaranth: UnusedElaboratable=no
"""Window sizes from tokens, against the hardware's own pace in Amaranth's simulator."""

import numpy as np
import pytest

from gen import buffers
from gen.bits import BIPOLAR, BYTE, Values, pack
from gen.folding import Folding, check, limits, work
from gen.folding import streams as flow
from gen.hw.core import Core
from gen.network import Add, Concat, Conv, Flatten, Lookup, Network, Pool, Tensor, Threshold
from gen.stages import stages

from . import integers, samples, streams


def network(size=12, width=4, pooled=False):
    """Two convolutions without padding: the first gives its rows faster than the second takes them, then pauses.

    With a pool between them, if so wanted.
    """
    rng = np.random.default_rng(5)
    image = Tensor(size, size, 1, BYTE)
    layers = [Lookup("quantise", image, table=(np.arange(256) - 128)[None], values=Values(-128, 127))]
    for name, channels in (("conv1", 1), ("conv2", width)):
        if pooled and name == "conv2":
            layers.append(Pool("pool", layers[-1].output, (2, 2), kernel=(2, 2)))
        weights = (rng.integers(0, 2, (width, channels, 3, 3)) * 2 - 1).astype(np.int8)
        layers.append(Conv(name, layers[-1].output, weights=weights))
        layers.append(Threshold(f"{name}_sign", layers[-1].output, thresholds=np.zeros((width, 1), np.int64),
                                flip=np.zeros(width, bool), values=BIPOLAR))
    layers.append(Flatten("flatten", layers[-1].output))
    layers.append(Conv("dense", layers[-1].output, weights=np.ones((2, layers[-1].output.channels, 1, 1), np.int8)))
    return Network("bursts", tuple(layers), np.ones(2), np.zeros(2))


FOLDINGS = {"quantise": Folding(), "conv1": Folding(4, 1, 10), "conv2": Folding(4, 4, 4), "dense": Folding(1, 4)}


# What takes the most time: whole rows with their pool behind them, what comes after that, or the pixels that come.
WHOLE_ROWS = {
    "rows": ({"input": Folding(simd=3), "conv1": Folding(4, 3, 8, 3), "conv2": Folding(2, 2, 8, 3, dsp=True),
              "pool3": Folding(simd=2, pixels=4), "conv4": Folding(2, 2, 4, 3), "dense5": Folding(2, 2)}, 96),
    "after_the_pool": ({"input": Folding(simd=3), "conv1": Folding(2, 3, 8, 3), "conv2": Folding(4, 2, 8, 3),
                        "pool3": Folding(simd=4, pixels=2), "conv4": Folding(1, 2, 2), "dense5": Folding(4, 1)}, 576),
    "pixels": ({"input": Folding(simd=3), "conv1": Folding(4, 3, 8, 3), "conv2": Folding(4, 2, 8, 3),
                "pool3": Folding(simd=2, pixels=4), "conv4": Folding(4, 4, 4, 3), "dense5": Folding(2, 4)}, 64),
    "one_by_one": ({"input": Folding(simd=3), "conv1": Folding(4, 3, 8), "conv2": Folding(4, 4, 2, dsp=True),
                    "pool3": Folding(simd=1), "conv4": Folding(4, 4, 1), "dense5": Folding(1, 4)}, 288),
}


def pace(net, foldings, frames, monkeypatch, sizes=None):
    """Cycles a frame of the hardware in steady state; infinite if it hangs. ``sizes``: in place of the right ones."""
    if sizes:
        monkeypatch.setattr(buffers, "sizes", lambda *_: sizes)
    core = Core(net, foldings)
    images = [integers.random_image(net, np.random.default_rng(k)) for k in range(frames)]
    lanes = len(core.i.payload) // 8
    payloads = [word for image in images for word in pack(image.reshape(-1, lanes), 8)]
    expected = [v for image in images for v in net.output.values.encode(integers.run(net, image)).tolist()]
    times = []
    try:
        limit = 3 * frames * slowest(net, foldings) + 1000
        assert streams.run(core, payloads, len(expected), limit=limit, times=times) == expected
    except TimeoutError:
        return float("inf")
    scores, half = len(expected) // frames, frames // 2
    return (times[-1] - times[-1 - half * scores]) / half


def slowest(net, foldings):
    return max(flow(net, foldings).cycles.values())


def test_the_hardware_keeps_the_pace_of_its_slowest_layer(monkeypatch):
    net = network()
    assert slowest(net, FOLDINGS) == work(net.layers[3], FOLDINGS["conv2"]) == 144
    assert pace(net, FOLDINGS, 20, monkeypatch) == pytest.approx(144, rel=0.01)


def test_with_the_least_rows_it_does_not(monkeypatch):
    net = network()
    assert buffers.sizes(net, FOLDINGS).rows["conv2"] > buffers.least_rows(net.layers[3])
    assert pace(net, FOLDINGS, 20, monkeypatch, buffers.Sizes({}, {})) > 1.02 * 144


def test_rows_are_those_that_keep_the_modelled_pace():
    """One row less in any window that was enlarged, and the pace is lost."""
    net = network()
    rows = buffers.sizes(net, FOLDINGS).rows
    nodes = buffers._nodes(net, FOLDINGS)
    edges = [edge for node in nodes for edge in node.inputs]
    for node in nodes[1:]:
        node.inputs[0].capacity = rows[node.name] * node.inputs[0].row
    assert buffers._pace(nodes) == pytest.approx(144, rel=0.003)
    for edge in edges:
        if edge.capacity > edge.fewest:
            edge.capacity -= edge.row
            assert buffers._pace(nodes) > 1.003 * 144
            edge.capacity += edge.row


def residual(channels, blocks, dense=False):
    """Blocks of a padded convolution beside a shortcut; a strided one, with a convolution as its shortcut, at last."""
    rng = np.random.default_rng(blocks)
    layers = [Lookup("quantise", Tensor(8, 8, channels, BYTE), table=(np.arange(256) // 32 - 4)[None],
                     values=Values(-4, 3))]

    def conv(name, tensor, size=3, stride=1):
        weights = (rng.integers(0, 2, (channels, tensor.channels, size, size)) * 2 - 1).astype(np.int8)
        product = Conv(f"{name}_conv", tensor, weights=weights, pads=(size // 2,) * 4, stride=(stride,) * 2)
        levels = np.arange(-3, 4)[None].repeat(channels, 0) * size * size
        return product, Threshold(f"{name}_quantise", product.output, thresholds=levels,
                                  flip=np.zeros(channels, bool), values=Values(-4, 3))

    for k in range(blocks):
        last, fork = k == blocks - 1, layers[-1].output
        branch = (conv("last", fork, stride=2), conv("shortcut", fork, 1, 2)) if last else (conv(f"block{k}", fork), ())
        layers.append(Concat(f"join{k}", fork, branch, (1, 1)) if dense else Add(f"join{k}", fork, branch, (1, 1)))
    layers.append(Flatten("flatten", layers[-1].output))
    layers.append(Conv("dense", layers[-1].output, weights=np.ones((2, layers[-1].output.channels, 1, 1), np.int8)))
    return Network("residual", tuple(layers), np.ones(2), np.zeros(2))


def alike(net, channels):
    """Foldings with which convolutions of 3x3 take all the time that there is."""
    return {stage.name: Folding(channels, channels) if isinstance(stage.layer, Conv) and stage.name != "dense" else
            Folding(simd=limits(stage.layer)["simd"]) for stage in stages(net)}


def side_by_side(kind, source, sizes, outputs):
    """Branches of a pixel-wise and a 3x3 layer after ``source`` bits, joined by ``kind``."""
    tensor = Tensor(8, 8, 4, BYTE)
    lookup = Lookup("quantise", tensor, table=(np.arange(256) % (1 << source))[None],
                    values=Values(0, (1 << source) - 1))
    fork, branches = lookup.output, []
    rng = np.random.default_rng(3)
    for k, (size, count) in enumerate(zip(sizes, outputs, strict=True)):
        product = Conv(f"conv{k}", fork, weights=rng.integers(0, 2, (count, 4, size, size)) * 2 - 1,
                       pads=(size // 2,) * 4)
        limits = np.sort(rng.integers(-20, 20, (count, 7)), axis=1)
        branches.append((product, Threshold(f"quantise{k}", product.output, thresholds=limits,
                                            flip=np.zeros(count, bool), values=Values(-4, 3))))
    join = kind("join", fork, tuple(branches), (1,) * len(branches))
    flat = Flatten("flatten", join.output)
    dense = Conv("dense", flat.output, weights=np.ones((2, flat.output.channels, 1, 1), np.int8))
    return Network("side", (lookup, join, flat, dense), np.ones(2), np.zeros(2))


@pytest.mark.parametrize(("kind", "foldings"), [
    (Concat, {"conv0": Folding(8, 4), "conv1": Folding(1, 4), "join": Folding(simd=2)}),  # one gives half as many
    (Concat, {"conv0": Folding(2, 4), "conv1": Folding(4, 4), "join": Folding(simd=4)}),
    (Add, {"conv0": Folding(1, 1), "conv1": Folding(8, 4), "join": Folding(simd=1)}),
    (Add, {"conv0": Folding(8, 4), "conv1": Folding(8, 4, 8), "join": Folding(simd=8)}),
])
def test_pace_of_narrow_branches(kind, foldings, monkeypatch):
    net = side_by_side(kind, 3, (1, 3), (8, 8))
    foldings = foldings | {"quantise": Folding(simd=4), "dense": Folding(2, 16)}
    assert pace(net, foldings, 8, monkeypatch) == pytest.approx(slowest(net, foldings), rel=0.02)


def test_pace_of_a_pixel_a_clock(monkeypatch):
    """A branch of thresholds of many levels alone, and the pixels themselves."""
    lookup = Lookup("quantise", Tensor(8, 8, 1, BYTE), table=np.arange(256)[None] - 128, values=Values(-128, 127))
    limits = np.arange(-127, 128)[None]
    threshold = Threshold("many", lookup.output, thresholds=limits, flip=np.zeros(1, bool), values=Values(-128, 127))
    join = Add("join", lookup.output, ((threshold,), ()), (1, 1))
    flat = Flatten("flatten", join.output)
    dense = Conv("dense", flat.output, weights=np.ones((2, 64, 1, 1), np.int8))
    net = Network("pixels", (lookup, join, flat, dense), np.ones(2), np.zeros(2))
    foldings = {"quantise": Folding(), "many": Folding(), "join": Folding(), "dense": Folding(2, 1)}
    assert pace(net, foldings, 8, monkeypatch) == pytest.approx(64, rel=0.02)


@pytest.mark.parametrize("dense", [False, True])
def test_queues_of_branches_are_as_long_as_need_be(dense, monkeypatch):
    """At full rate as they are, not with one pixel less."""
    net = residual(2, 2, dense)
    foldings = alike(net, 2)
    sizes = buffers.sizes(net, foldings)
    assert max(sizes.queues["join0"]) > 8  # a row of pixels, at least
    assert pace(net, foldings, 8, monkeypatch) == pytest.approx(slowest(net, foldings), rel=0.01)
    for name, queues in sizes.queues.items():
        for k, pixels in enumerate(queues):
            if pixels:
                fewer = sizes.queues | {name: (*queues[:k], pixels - 1, *queues[k + 1:])}
                slower = pace(net, foldings, 8, monkeypatch, buffers.Sizes(sizes.rows, fewer))
                assert slower > 1.005 * slowest(net, foldings)


@pytest.mark.parametrize("name", WHOLE_ROWS)
def test_pace_of_whole_rows_and_block_pools(name, monkeypatch):
    net = samples.chain("rows", 8, 4, 4, "pool", 4, ("dense", 4))
    foldings, expected = WHOLE_ROWS[name]
    check(net, foldings)
    assert slowest(net, foldings) == expected
    assert pace(net, foldings, 10, monkeypatch) == pytest.approx(expected, rel=0.01)


def test_pace_of_whole_rows_without_pads(monkeypatch):
    """Rows that are lost are made up for by rows that are held."""
    net = network()
    foldings = FOLDINGS | {"conv1": Folding(2, 1, 10, 3), "conv2": Folding(2, 1, 8, 3), "dense": Folding(2, 2)}
    check(net, foldings)
    assert slowest(net, foldings) == 8 * 2 * 4 * 3
    assert pace(net, foldings, 12, monkeypatch) == pytest.approx(192, rel=0.01)


def test_pace_where_results_of_many_folds_wait_for_room(monkeypatch):
    """The second convolution needs all that the first gives, which cannot go on before a row is free."""
    net = network(5, 8)
    foldings = {"quantise": Folding(), "conv1": Folding(1, 1, 3), "conv2": Folding(1, 4), "dense": Folding(1, 4)}
    assert slowest(net, foldings) == work(net.layers[1], foldings["conv1"]) == 216
    assert buffers.sizes(net, foldings).rows["conv2"] > buffers.least_rows(net.layers[3])
    assert pace(net, foldings, 20, monkeypatch) == pytest.approx(216, rel=0.01)


def test_pace_of_a_pool_that_keeps_one_fold_of_many(monkeypatch):
    """It passes on results while they come, so that the first convolution waits until the second has a row free."""
    net = network(12, 16, pooled=True)
    foldings = {"quantise": Folding(), "conv1": Folding(2, 1, 10), "pool": Folding(pixels=5),
                "conv2": Folding(4, 1, 3, 3), "dense": Folding(1, 8)}
    check(net, foldings)
    assert slowest(net, foldings) == work(net.layers[1], foldings["conv1"]) == 720
    rows = buffers.sizes(net, foldings).rows
    assert rows["conv2"] == 5
    assert pace(net, foldings, 12, monkeypatch) == pytest.approx(720, rel=0.01)
    assert pace(net, foldings, 12, monkeypatch, buffers.Sizes(rows | {"conv2": 4}, {})) > 1.05 * 720


def test_pace_of_a_pool_that_gives_in_bursts(monkeypatch):
    """What it gives in half of the rows takes longer than these take to come: that is reckoned with, if roughly."""
    net = samples.chain("bursts", 16, 4, 16, "pool", 4, ("dense", 4))
    foldings = {"input": Folding(simd=3), "conv1": Folding(4, 3, 16, 3), "conv2": Folding(16, 4, 2),
                "pool3": Folding(simd=16), "conv4": Folding(4, 1, 8, 3), "dense5": Folding(4, 4)}
    check(net, foldings)
    beats = 8 * 8 * 16
    assert slowest(net, foldings) == 2 * beats
    assert 1.2 * beats < pace(net, foldings, 4, monkeypatch) <= 2 * beats
