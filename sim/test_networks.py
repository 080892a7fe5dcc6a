# amaranth: UnusedElaboratable=no
"""Whole accelerators, as emitted, against the golden model: planted errors are caught and named."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from gen.bits import BIPOLAR, BYTE, Powers, Values
from gen.build import app as generator
from gen.emit import emit
from gen.folding import Folding, limits
from gen.hw.binary_lane import BinaryLane
from gen.hw.lanes import ShiftLane, lane_for
from gen.network import Conv, Flatten, Lookup, Network, Pool, Rescale, Tensor, Threshold
from gen.stages import stages
from tests import integers
from tests.test_buffers import alike, residual

from .images import frames
from .lint import lint
from .run import app, prepare, simulate

# The second convolution takes whole rows, and has its accumulators in DSPs.
FOLDINGS = {"quantise": Folding(simd=3), "conv1": Folding(2, 3, 4), "conv2": Folding(1, 2, 8, taps=3, dsp=True),
            "pool": Folding(simd=1, pixels=4), "dense": Folding(5, 8)}


def network():
    """Padded binary convolutions, pooling, a dense layer: small, but of every part that bvgg16 has."""
    rng = np.random.default_rng(7)
    image = Tensor(8, 8, 3, BYTE)
    layers = [Lookup("quantise", image, table=(np.arange(256) - 128)[None], values=Values(-128, 127))]

    def add(kind, name, **parameters):
        layers.append(kind(name, layers[-1].output, **parameters))

    def signs(*shape):
        return (rng.integers(0, 2, shape) * 2 - 1).astype(np.int8)

    def sign(name, reach):
        add(Threshold, name, thresholds=rng.integers(-reach, reach, (layers[-1].output.channels, 1)),
            flip=np.zeros(layers[-1].output.channels, bool), values=BIPOLAR)

    add(Conv, "conv1", weights=signs(8, 3, 3, 3), pads=(1, 1, 1, 1))
    sign("sign1", 300)
    add(Conv, "conv2", weights=signs(8, 8, 3, 3), pads=(1, 1, 1, 1))
    sign("sign2", 6)
    add(Pool, "pool", stride=(2, 2))
    add(Flatten, "flatten")
    add(Conv, "dense", weights=signs(10, 128, 1, 1))
    return Network("small", tuple(layers), np.ones(10), np.zeros(10))


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """(folder of the Verilog, folder of the simulation), made once: only memories change between the tests."""
    rtl, folder = (tmp_path_factory.mktemp(name) for name in ("rtl", "sim"))
    net = network()
    emit(net, FOLDINGS, rtl, 0x12345678)
    images, _, source = frames(net, 6)
    assert source == "photographs"
    prepare(net, FOLDINGS, images, folder, build=0x12345678)
    return rtl, folder


def test_right_hardware_passes_at_the_predicted_rate(build):
    result = simulate(*build)
    assert result["frames"] == 6
    assert result["cycles_per_frame"] == pytest.approx(8 * 8 * 4 * 3, rel=0.01)  # conv2


def test_shipped_network_by_the_command_line(tmp_path, monkeypatch):
    monkeypatch.delenv("BNN_DATA", raising=False)
    build = ["--net", "tfc", "--board", "zcu102"]
    assert CliRunner().invoke(generator, [*build, "--out", str(tmp_path / "tfc")]).exit_code == 0
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*build, "--build", str(tmp_path / "tfc"), "--frames", "4"])
    assert result.exit_code == 0, result.output
    assert "bit-exact: 4 frames" in result.output and "14 cycles a frame in steady state" in result.output


def mixed():
    """Powers of two with 16-bit activations, then signs with signs, then signs with small integers."""
    rng = np.random.default_rng(3)
    layers = [Lookup("quantise", Tensor(8, 8, 3, BYTE), table=(np.arange(256) - 128)[None], values=Values(-128, 127))]

    def add(kind, name, **parameters):
        layers.append(kind(name, layers[-1].output, **parameters))

    def conv(name, outputs, values, **parameters):
        tensor = layers[-1].output
        size = 1 if tensor.positions == 1 else 3
        shape = outputs, tensor.channels, size, size
        weights = rng.integers(0, 2, shape) * 2 - 1 if values.bipolar else integers.random_powers(rng, shape, values)
        add(Conv, name, weights=weights, weight_values=values, pads=(size // 2,) * 4)

    def threshold(name, values):
        channels, reach = layers[-1].output.channels, layers[-1].output.values.hi // 8
        limits = np.sort(rng.integers(-reach, reach + 1, (channels, values.levels - 1)), axis=1)
        add(Threshold, name, thresholds=limits, flip=np.zeros(channels, bool), values=values)

    conv("conv1", 8, Powers(3))
    add(Rescale, "rescale1", factor=rng.integers(500, 900, 8), addend=rng.integers(0, 1 << 16, 8), shift=5,
        values=Values(0, 65535))
    conv("conv2", 8, Powers(7))
    threshold("sign2", BIPOLAR)
    conv("conv3", 8, BIPOLAR)
    threshold("threshold3", Values(-4, 3))
    add(Pool, "pool", stride=(2, 2))
    add(Flatten, "flatten")
    conv("dense", 10, BIPOLAR)
    return Network("mixed", tuple(layers), np.ones(10), np.zeros(10))


def test_binary_and_power_of_two_layers_in_one_network(tmp_path):
    net = mixed()
    assert [type(lane_for(layer, 2)) for layer in net.layers if isinstance(layer, Conv)] == [
        ShiftLane, ShiftLane, BinaryLane, BinaryLane]
    foldings = {stage.name: Folding(**{what: whole if what == "simd" else 1
                                       for what, whole in limits(stage.layer).items()}) for stage in stages(net)}
    foldings["dense"] = Folding(1, 8)
    emit(net, foldings, tmp_path / "rtl", 1)
    prepare(net, foldings, frames(net, 6)[0], tmp_path / "sim", build=1)
    result = simulate(tmp_path / "rtl", tmp_path / "sim")
    assert result["frames"] == 6 and result["cycles_per_frame"] == pytest.approx(8 * 8 * 8 * 9, rel=0.01)
    assert lint(tmp_path / "rtl", "mixed_accelerator") == []


def test_branches_at_the_predicted_rate(tmp_path):
    net = residual(4, 3)
    foldings = alike(net, 4)
    emit(net, foldings, tmp_path / "rtl", 1)
    prepare(net, foldings, frames(net, 6)[0], tmp_path / "sim", build=1)
    result = simulate(tmp_path / "rtl", tmp_path / "sim")
    assert result["frames"] == 6 and result["cycles_per_frame"] == pytest.approx(8 * 8 * 9, rel=0.01)


def flip(bit):
    """Something that flips this bit of the middle word of a ``.mem`` file, and returns how to undo it."""
    def plant(path):
        text = path.read_text()
        lines = text.splitlines()
        middle = len(lines) // 2
        lines[middle] = f"{int(lines[middle], 16) ^ 1 << bit:0{len(lines[middle])}x}"
        path.write_text("\n".join(lines) + "\n")
        return lambda: path.write_text(text)
    return plant


def edited(pattern, text):
    """Something that edits Verilog at one place at least, and returns how to undo it."""
    def plant(path):
        verilog = path.read_text()
        changed, count = re.subn(pattern, text, verilog, count=1)
        assert count, f"{path.name} has changed: plant the error elsewhere"
        path.write_text(changed)
        return lambda: path.write_text(verilog)
    return plant


@pytest.mark.parametrize(("file", "plant", "layer"), [
    ("small_conv1_matrix.mem", flip(0), "sign1"),
    ("small_conv2_matrix.mem", flip(0), "sign2"),
    ("small_dense_matrix.mem", flip(0), "dense"),
    ("small_conv1_matrix_starts.mem", flip(8), "sign1"),
    ("small_conv2_matrix_starts.mem", flip(0), "sign2"),
    ("small_quantise_lookup.mem", flip(0), "quantise"),
    # The last tap of the first position reads the column beside its own.
    ("small_window_8x8x3b8_k3x3*.v", edited(r"(= tap3\[1\] \? bank)1", r"\g<1>2"), "sign1"),
    # The first columns of whole rows are always of the first channels.
    ("small_window_8x8x8b1_k3x3*.v", edited(r"(read_addr\(\{ slot, )group", r"\g<1>2'h0"), "sign2"),
    ("small_dsp_accumulator_*.v", edited(r"\.RND\(48'h\w*", ".RND(48'h1"), "sign2"),
    # Blocks begin with what the ones above them came to.
    ("small_block_max_pool_*.v", edited(r"row \? (\\before \[0\] ): 1'h0", r"\g<1>"), "pool"),
])
def test_planted_errors_are_caught_and_named(build, capfd, file, plant, layer):
    rtl, folder = build
    (path,) = rtl.glob(file)
    undo = plant(path)
    try:
        with pytest.raises((RuntimeError, SystemExit)):
            simulate(rtl, folder, only="frames")
    finally:
        undo()
    assert re.search(rf"first in layer {layer} at row \d+, column \d+, channel \d+: -?\d+, golden model -?\d+",
                     capfd.readouterr().out)
