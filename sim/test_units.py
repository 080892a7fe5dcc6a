# amaranth: UnusedElaboratable=no
"""Every kind of unit, as emitted Verilog under cocotb, against plain integers."""

import json
import shutil

import numpy as np
import pytest
from pylibfst import lib

from gen.bits import BIPOLAR, BYTE, Values, pack
from gen.emit import Emitter
from gen.folding import Folding
from gen.hw.core import Core
from gen.hw.lookup import Lookup
from gen.hw.pool import BlockPool, Reduce
from gen.hw.reorder import Reorder
from gen.hw.rescale import Rescale
from gen.hw.stream import Gather, Split
from gen.hw.threshold import Offset, Threshold
from gen.hw.topk import TopK
from gen.hw.window import Window
from gen.network import Conv, Network, Pool, Tensor
from gen.network import Lookup as LookupLayer
from gen.network import Threshold as ThresholdLayer
from tests import integers
from tests.test_matrix_unit import CASES, TOTALS, in_dsps, prepared
from tests.test_pool import groups
from tests.test_reorder import WIDTH, case
from tests.test_window import NIBBLE, beats, expected, image_rows, sliding

from .saif import toggles
from .simulator import run

RNG = np.random.default_rng(3)
SMALL = Values(-5, 6)


def gather():
    words = RNG.integers(0, 8, 24).tolist()
    return Gather(3, 4), words, pack(np.reshape(words, (-1, 4)), 3)


def split():
    words = RNG.integers(0, 8, (6, 4))
    return Split(3, 4), pack(words, 3), words.reshape(-1).tolist()


def window(pixels, stride):
    layer = Pool("pool", Tensor(5, 6, 4, NIBBLE), kernel=(3, 2), stride=stride, pads=(1, 1, 0, 1))
    frames = RNG.integers(0, 16, (2, *layer.input.shape))
    payloads = pack(frames.reshape(-1, 2), 4)
    results = [word for frame in frames for word in expected(frame, layer, 2, pixels, 2)]
    return Window(layer, simd=2, pixels=pixels, repeat=2, pad_code=5), payloads, results


def window_of_rows(pad_code):
    """Whole rows, of which two positions come at a time; what lies outside is replaced."""
    layer = sliding(Tensor(5, 6, 4, NIBBLE), (3, 2), (1, 2), (1, 1, 0, 1), conv=True)
    frames = RNG.integers(0, 16, (2, *layer.input.shape))
    unit = Window(layer, simd=2, pixels=layer.output.width, taps=2, given=2, repeat=2, pad_code=pad_code)
    rows = [row for frame in frames for row in image_rows(frame, layer, 2, 2)]
    words = [pack(np.full((1, 12), pad_code) if row is None else row[None], 4)[0] for row in rows]
    return unit, [word for frame in frames for word in beats(frame, 2, 2)], words


def whole_rows(dsp):
    """A convolution of whole rows behind its window, which flags what lies above and below the image."""
    rng = np.random.default_rng(0)
    layer = Conv("conv", Tensor(4, 4, 4, BIPOLAR), pads=(1, 1, 1, 1), weights=rng.integers(0, 2, (6, 4, 3, 3)) * 2 - 1)
    sign = ThresholdLayer("sign", layer.output, thresholds=rng.integers(-4, 5, (6, 1)), flip=np.zeros(6, bool),
                          values=BIPOLAR)
    core = Core(Network("rows", (layer, sign), np.ones(6), np.zeros(6)), {"conv": Folding(3, 2, 4, taps=3, dsp=dsp)})
    frames = rng.integers(0, 2, (3, *layer.input.shape)) * 2 - 1
    results = np.stack([integers.follow((layer, sign), frame) for frame in frames])
    return core, pack(BIPOLAR.encode(frames).reshape(-1, 2), 1), BIPOLAR.encode(results).reshape(-1).tolist()


def matrix(source, name, dsp=False):
    """A matrix unit of :mod:`tests.test_matrix_unit`."""
    return prepared(in_dsps(source[name]) if dsp else source[name])


def reorder(pixels, given, folds):
    payloads, results = case(pixels, given, folds, 6)
    return Reorder(WIDTH, pixels=pixels, given=given, folds=folds, interval=pixels // given), payloads, results


def block_pool(shape, kernel, simd, given, values, kind):
    layer = Pool("pool", Tensor(*shape, values), kernel=kernel, stride=kernel, kind=kind)
    unit = BlockPool(layer, simd=simd, given=given)
    frames = RNG.integers(0, values.levels, (3, *shape)) * values.step + values.lo
    results = [word for frame in frames for word in pack(layer.output.values.encode(groups(
        integers.compute(layer, frame), unit.pixels, simd)), layer.output.values.bits)]
    return unit, [word for frame in frames for word in beats(values.encode(frame), given, simd, values.bits)], results


def threshold(values, flipped):
    source = Tensor(1, 1, 6, SMALL)
    layer = integers.random_threshold(np.random.default_rng(values.levels), "threshold", source, flip=flipped)
    levels = np.sort(RNG.integers(-5, 8, (6, values.levels - 1)), axis=1)
    flip = RNG.random(6) < 0.5 if flipped else layer.flip & False
    frames = RNG.integers(-5, 7, (10, 6))
    reached = (frames[:, :, None] >= levels).sum(2)
    result = values.lo + values.step * np.where(flip, values.levels - 1 - reached, reached)
    unit = Threshold(levels, flip, source=SMALL, values=values, lanes=3, file="thresholds")
    return unit, pack(SMALL.encode(frames).reshape(-1, 3), SMALL.bits), pack(
        values.encode(result).reshape(-1, 3), values.bits)


def threshold_of_signs():
    frames = RNG.integers(0, 2, (10, 6))
    unit = Threshold(np.zeros((6, 1)), np.arange(6) % 2 == 1, source=BIPOLAR, values=BIPOLAR, lanes=3,
                     file="thresholds")
    return unit, pack(frames.reshape(-1, 3), 1), pack((frames ^ (np.arange(6) % 2)).reshape(-1, 3), 1)


def recode():
    """Padding outside the range of the data, which must be recoded before the window."""
    weights = (RNG.integers(0, 2, (2, 3, 3, 3)) * 2 - 1).astype(np.int8)
    layer = Conv("conv", Tensor(4, 4, 3, Values(0, 3)), pads=(1, 1, 1, 1), pad_value=-1, weights=weights)
    core = Core(Network("recoded", (layer,), np.ones(2), np.zeros(2)), {"conv": Folding(1, 3, 2)})
    assert "conv_recode" in core.units
    frames = RNG.integers(0, 4, (2, 4, 4, 3))
    results = np.stack([integers.compute(layer, frame) for frame in frames])
    return core, pack(frames.reshape(-1, 3), 2), layer.output.values.encode(results).reshape(-1).tolist()


def rescale(seed):
    layer = integers.random_rescale(np.random.default_rng(seed), "rescale", Tensor(1, 1, 6, SMALL))
    frames = RNG.integers(-5, 7, (10, 6))
    results = integers.compute(layer, frames)
    unit = Rescale(layer.factor, layer.addend, layer.shift, source=SMALL, values=layer.values, lanes=3, file="rescale")
    return unit, pack(SMALL.encode(frames).reshape(-1, 3), SMALL.bits), pack(
        layer.values.encode(results).reshape(-1, 3), layer.values.bits)


def offset():
    offsets, frames, values = RNG.integers(-9, 9, 6), RNG.integers(-5, 7, (8, 6)), Values(-20, 30)
    unit = Offset(offsets, 2, source=SMALL, values=values, lanes=2, file="offsets")
    return unit, pack(SMALL.encode(frames).reshape(-1, 2), SMALL.bits), pack(
        values.encode(2 * frames + offsets).reshape(-1, 2), values.bits)


def reduce(values, kind):
    layer = Pool("pool", Tensor(4, 4, 4, values), kernel=(2, 2), stride=(2, 2), kind=kind)
    taps = RNG.integers(0, values.levels, (12, 4, 2)) * values.step + values.lo
    result = taps.max(1) if kind == "max" else taps.sum(1)
    return (Reduce(layer, simd=2), pack(values.encode(taps).reshape(-1, 2), values.bits),
            pack(layer.output.values.encode(result), layer.output.values.bits))


def lookup():
    layer = LookupLayer("lookup", Tensor(2, 2, 3, BYTE), table=RNG.integers(-8, 8, (3, 256)), values=Values(-8, 7))
    pixels = RNG.integers(0, 256, (8, 3))
    codes = layer.values.encode(np.stack([layer.table[c][pixels[:, c]] for c in range(3)], axis=1))
    return Lookup(layer, simd=1, file="lookup"), pixels.reshape(-1).tolist(), codes.reshape(-1).tolist()


def topk():
    frames = RNG.integers(-5, 7, (6, 9))
    order = np.argsort(-frames, axis=1, kind="stable")[:, :3]
    return TopK(9, 4 + 1, 3), (frames + 5).reshape(-1).tolist(), order.reshape(-1).tolist()


def network(seed):
    """Layers together: a random network with a random folding."""
    net = integers.random_network(seed)
    core = Core(net, integers.random_foldings(net, seed))
    images = [integers.random_image(net, RNG) for _ in range(2)]
    payloads = [w for image in images for w in pack(image.reshape(-1, len(core.i.payload) // 8), 8)]
    scores = np.concatenate([integers.run(net, image) for image in images])
    return core, payloads, net.output.values.encode(scores).tolist()


UNITS = {
    "gather": (gather,), "split": (split,),
    "window": (window, 1, (1, 1)), "window_pixels": (window, 2, (1, 2)),
    "window_rows": (window_of_rows, 5), "whole_rows": (whole_rows, False), "whole_rows_dsp": (whole_rows, True),
    "signs": (matrix, CASES, "flags"), "signs_of_bytes": (matrix, CASES, "bytes"),
    "signs_halves": (matrix, CASES, "halves", True), "signs_folds": (matrix, CASES, "folds", True),
    **{f"{name}_{'dsp' if dsp else 'luts'}": (matrix, CASES, name, dsp) for dsp in (False, True)
       for name in ("row", "row_odd", "row_mostly_outside", "row_outside_is_minus_one", "row_bytes", "row_strided")},
    **{f"totals_{name}": (matrix, TOTALS, name) for name in TOTALS},
    "reorder": (reorder, 4, 1, 3), "reorder_two": (reorder, 6, 2, 1), "reorder_none": (reorder, 3, 3, 2),
    "block_or": (block_pool, (4, 8, 6), (2, 2), 3, 8, BIPOLAR, "max"),
    "block_max": (block_pool, (4, 8, 6), (2, 2), 3, 1, SMALL, "max"),
    "block_left_over": (block_pool, (5, 7, 2), (3, 3), 2, 7, Values(-1, 0), "max"),
    "block_sum": (block_pool, (4, 12, 4), (2, 4), 2, 2, BIPOLAR, "sum"),
    "threshold": (threshold, BIPOLAR, False), "threshold_flipped": (threshold, BIPOLAR, True),
    "threshold_3_levels": (threshold, Values(-1, 1), True), "threshold_8_bits": (threshold, Values(-128, 127), False),
    "threshold_of_signs": (threshold_of_signs,), "recode": (recode,), "offset": (offset,),
    "rescale": (rescale, 1), "rescale_again": (rescale, 2),
    "pool_or": (reduce, BIPOLAR, "max"), "pool_max": (reduce, SMALL, "max"),
    "pool_of_minus_one": (reduce, Values(-1, 0), "max"), "pool_sum": (reduce, SMALL, "sum"),
    "lookup": (lookup,), "topk": (topk,),
    "network_1": (network, 1), "network_2": (network, 2), "network_3": (network, 3),
}


QUICK = "icarus" if shutil.which("iverilog") else "verilator"  # compiles in a moment


def simulate(unit, payloads, results, folder, **options):
    """Emit ``unit`` to ``folder`` and run :mod:`sim.unit_bench` on it."""
    rtl = folder / "rtl"
    rtl.mkdir()
    Emitter(rtl).module(unit, unit.unit_name)
    for memory in rtl.glob("*.mem"):
        memory.rename(folder / memory.name)
    bench = folder / "bench.json"
    bench.write_text(json.dumps({"payloads": [f"{p:x}" for p in payloads], "expected": [f"{p:x}" for p in results]}))
    run(sorted(rtl.glob("*.v")), unit.unit_name, "sim.unit_bench", folder,
        environment={"POPWEAVE_BENCH": str(bench)}, **options)


@pytest.mark.parametrize("name", UNITS)
def test_unit(name, tmp_path):
    make, *arguments = UNITS[name]
    simulate(*make(*arguments), tmp_path, simulator=QUICK)


@pytest.mark.parametrize("tool", ["verilator", pytest.param("icarus", marks=pytest.mark.skipif(
    not shutil.which("iverilog"), reason="Icarus Verilog is not installed"))])
def test_waves(tool, tmp_path):
    simulate(*gather(), tmp_path, waves=True, simulator=tool)
    waves = lib.fstReaderOpen(str(tmp_path / "gather_3x4.fst").encode())
    assert lib.fstReaderGetVarCount(waves) > 10
    assert lib.fstReaderGetEndTime(waves) > 0
    lib.fstReaderClose(waves)


def test_saif(tmp_path):
    simulate(*gather(), tmp_path, saif=True)
    found = toggles(tmp_path / "gather_3x4.saif", "gather_3x4")
    assert {"clk", "rst", "i__valid", "i__payload[2]", "o__payload[11]"} <= found.keys()
    assert found["clk"] > 2 * found["i__payload[0]"] > 0
