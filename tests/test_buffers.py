# amaranth: UnusedElaboratable=no
"""Window sizes from tokens, against the hardware's own pace in Amaranth's simulator."""

import numpy as np
import pytest

from gen import buffers
from gen.bits import BIPOLAR, BYTE, Values, pack
from gen.folding import Folding, cycles
from gen.hw.core import Core
from gen.network import Conv, Flatten, Lookup, Network, Tensor, Threshold

from . import integers, streams


def network():
    """Two convolutions without padding: the first gives its rows faster than the second takes them, then pauses."""
    rng = np.random.default_rng(5)
    layers = [Lookup("quantise", Tensor(12, 12, 1, BYTE), table=(np.arange(256) - 128)[None], values=Values(-128, 127))]
    for name, channels in (("conv1", 1), ("conv2", 4)):
        weights = (rng.integers(0, 2, (4, channels, 3, 3)) * 2 - 1).astype(np.int8)
        layers.append(Conv(name, layers[-1].output, weights=weights))
        layers.append(Threshold(f"{name}_sign", layers[-1].output, thresholds=np.zeros((4, 1), np.int64),
                                flip=np.zeros(4, bool), values=BIPOLAR))
    layers.append(Flatten("flatten", layers[-1].output))
    layers.append(Conv("dense", layers[-1].output, weights=np.ones((2, 256, 1, 1), np.int8)))
    return Network("bursts", tuple(layers), np.ones(2), np.zeros(2))


FOLDINGS = {"quantise": Folding(), "conv1": Folding(4, 1, 10), "conv2": Folding(4, 4, 4), "dense": Folding(1, 4)}


def last_result(net, frames):
    """Whether ``frames`` frames come at the pace of the slowest layer, once the pipeline is full."""
    images = [integers.random_image(net, np.random.default_rng(k)) for k in range(frames)]
    slowest = max(cycles(layer, FOLDINGS[layer.name]) for layer in net.layers if layer.name in FOLDINGS)
    assert slowest == cycles(net.layers[3], FOLDINGS["conv2"]) == 144
    payloads = [word for image in images for word in pack(image.reshape(-1, 1), 8)]
    expected = [v for image in images for v in net.output.values.encode(integers.run(net, image)).tolist()]
    limit = 350 + int(1.01 * slowest * frames)  # the first 350 cycles fill the pipeline
    assert streams.run(Core(net, FOLDINGS), payloads, len(expected), limit=limit) == expected


def test_the_hardware_keeps_the_pace_of_its_slowest_layer():
    last_result(network(), 40)


def test_with_the_least_rows_it_does_not(monkeypatch):
    net = network()
    assert buffers.rows(net, FOLDINGS)["conv2"] > buffers.least_rows(net.layers[3])
    monkeypatch.setattr(buffers, "rows", lambda *_: {})
    with pytest.raises(TimeoutError):
        last_result(net, 40)


def test_rows_are_those_that_keep_the_modelled_pace():
    """One row less in any window that was enlarged, and the pace is lost."""
    net = network()
    rows = buffers.rows(net, FOLDINGS)
    stages = buffers._stages(net, FOLDINGS)
    for stage in stages[1:]:
        stage.rows = rows[stage.name]
    assert buffers._pace(stages) == pytest.approx(144, rel=0.003)
    for stage in stages[1:]:
        if stage.rows > max(stage.needs) + 1:
            stage.rows -= 1
            assert buffers._pace(stages) > 1.003 * 144
            stage.rows += 1
