"""Programs for the array, carried out by its functional model, against the golden model of networks."""

import contextlib
import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from gen import zoo
from gen.bits import Values
from gen.errors import UserError
from gen.importers.qonnx import load
from gen.network import Conv, Flatten, Lookup, Pool, Rescale, Tensor, Threshold
from gen.svpe.compile import compile
from gen.svpe.image import Region
from gen.svpe.mapping import Mapping
from gen.svpe.model import run
from gen.svpe.records import PATTERN, Load, Op, pack, unpack
from gen.svpe.requantise import requantised
from gen.svpe.schedule import Schedule
from gen.svpe.shape import Shape
from gen.svpe.timing import Memory, cycles
from tests import integers

from .svpe_networks import ORDERS, SMALL, Chain, agrees

LARGE = Shape(chains=9, lanes=6, drains=3, chain_words=200, out_depth=300)


# Convolutions of any size


@pytest.mark.parametrize(("kernel", "stride", "pads"), [
    (1, 1, 0), (1, 2, 0), (1, 1, 1), (3, 1, 0), (3, 1, 1), (3, 2, 1), (3, 1, (0, 2, 1, 0)), (3, 3, 2), (5, 1, 2),
    (5, 2, 2), (5, 1, 4), (7, 2, 3), (7, 1, 0), (11, 4, 2), (11, 1, 5), ((3, 1), (2, 1), 0),
    ((2, 4), (1, 3), (0, 1, 1, 3)),
])
@pytest.mark.parametrize("size", [(11, 13, 2), (17, 12, 5)])
def test_convolution(kernel, stride, pads, size):
    chain = Chain(size, seed=len(str((kernel, pads)))).conv(5, kernel, stride, pads).rescale()
    assert agrees(chain.conv(3, 1).network(), LARGE)


@pytest.mark.parametrize("seed", range(25))
def test_arrays_of_any_size(seed):
    rng = np.random.default_rng(seed)
    lanes, chain = int(rng.choice([1, 2, 6])), Chain(rng.integers((4, 4, 1), (14, 14, 6)), seed)
    shape = Shape(chains=int(rng.integers(1, 12)), taps=int(rng.integers(1, 4)), lanes=lanes, drains=int(rng.choice(
        [1, lanes])), bits=int(rng.integers(3, 6)), chain_words=int(rng.integers(20, 60)),
        out_depth=int(rng.integers(40, 100)))
    for _ in range(2):
        kernel = int(rng.integers(1, 4))
        pads = tuple(rng.integers(0, kernel, 4).tolist())
        chain.conv(int(rng.integers(1, 14)), kernel, int(rng.integers(1, 3)), pads).rescale()
    if min(chain.at.shape[:2]) > 1:
        chain.pool(2, int(rng.integers(1, 3)))
    assert agrees(chain.conv(3, 1).network(), shape)


@pytest.mark.parametrize("seed", [2, 8, 17, 21])
def test_random_networks(seed):
    """Nine of ten are refused: uneven thresholds, padding that is not 0, windows that are not square."""
    accepted = 0
    for number in range(40 * seed, 40 * seed + 40):
        rng = np.random.default_rng(number)
        shape = Shape(form="vpe", bits=16, chains=int(rng.integers(1, 9)), taps=int(rng.integers(1, 4)), lanes=4,
                      drains=2, chain_words=16, out_depth=50)
        network = integers.random_network(number)
        with contextlib.suppress(UserError):
            compile(network, shape)
            accepted += 1
            assert agrees(network, shape, seed=number), number
    assert accepted > 1


# What else there is


def test_sums_of_a_block_of_groups_do_not_meet():
    """The ring of accumulators has its head in the middle when a block comes that fills it."""
    chain = Chain((9, 7, 3)).conv(3, 1).rescale().conv(5, 3, pads=1).rescale().conv(8, 3)
    assert agrees(chain.network(), Shape(chains=4, lanes=2, drains=2, chain_words=10, out_depth=126))


def test_rasters_of_more_columns_than_the_hardware_counts():
    wide = Shape(chain_words=1000, out_depth=4096)
    assert "more than the array counts" in refusal(Chain((3, 1025, 1)).conv(1, 3), wide)


def test_joins_of_flattened_branches():
    grown = [lambda side: side.add(Flatten(side.name("flatten"), side.at)) for _ in range(2)]
    chain = start().conv(2, 1).rescale().join("concat", (1, 1), *grown)
    assert "joins branches that end with Flatten" in refusal(chain)


def test_sums_of_two_powers_take_two_chains():
    weights = [0, 1, 2, -4, 3, -3, 5, 6, 7, -7]  # 7 is 8 - 1
    chain = start().conv(5, 3, pads=1, weights=weights).rescale().conv(3, 1, weights=weights)
    assert agrees(chain.network(), Shape(bits=4, chains=5, lanes=4, drains=4, chain_words=80))
    assert "build it with bits=4" in refusal(chain)


def test_several_tiles_and_outputs_that_stay_for_one_load():
    chain = Chain((30, 20, 3)).conv(10, 3, pads=1).rescale().conv(9, 3, pads=1).rescale().conv(2, 1)
    program = compile(chain.network(), SMALL)
    assert sum(record.op == Op.WEIGHTS for record in program.records) > 6
    assert agrees(chain.network(), SMALL)


@pytest.mark.parametrize("shape", [SMALL, replace(SMALL, bits=2), replace(SMALL, form="vpe", bits=16)])
@pytest.mark.parametrize("factors", [(4, 1), (1, 1), (3, -2), (1, 7)])
def test_residual_block(factors, shape):
    weights = [0, 1, -1]
    chain = Chain((9, 7, 3)).conv(6, 3, pads=1, weights=weights).rescale()
    chain.join("add", factors, lambda side: side.conv(6, 3, pads=1, weights=weights).rescale(Values(-32768, 32767)),
               lambda side: side)
    assert agrees(chain.rescale().conv(3, 1, weights=weights).network(), shape)


def test_dense_block():
    """Planes of several scales, signed and unsigned, and planes that are passed on more than once."""
    def growth(side):
        return side.rescale().conv(3, 3, pads=1).rescale(Values(-32768, 32767))

    chain = Chain((8, 9, 2)).conv(5, 3, pads=1).rescale(Values(-32768, 32767))
    for factors in (1, 4), (1, 2), (2, 1):
        chain.join("concat", factors, lambda side: side, growth)
    assert agrees(chain.rescale().pool(2).conv(4, 1).network(), SMALL)


def test_concat_before_convolution_and_threshold():
    chain = Chain((6, 6, 2)).join("concat", (1, 2), lambda side: side, lambda side: side.conv(3, 3, pads=1).rescale())
    assert agrees(chain.conv(4, 3).network(), Shape(bits=4, chains=5, lanes=4, drains=4, chain_words=80))
    chain = Chain((6, 6, 2)).join("concat", (1, 4), lambda side: side, lambda side: side.conv(3, 3, pads=1).rescale())
    assert agrees(chain.threshold(Values(0, 3), falls=True).conv(4, 3).network(), SMALL)
    assert agrees(Chain((6, 6, 2)).join("concat", (1, 4), lambda side: side, lambda side: side).network(), SMALL)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (2, 9), (3, 3), (8, 8)])
def test_sum_pool(kernel, stride):
    chain = Chain((8, 9, 2)).conv(7, 3, pads=1).rescale(Values(0, 255)).pool(kernel, stride, kind="sum")
    assert agrees(chain.network(), SMALL)
    assert agrees(chain.rescale(Values(0, 255)).conv(3, 1).network(), SMALL)


@pytest.mark.parametrize(("kernel", "stride", "pads"), [
    (2, 2, (0, 0, 0, 0)), (3, 2, (0, 0, 0, 0)), (3, 2, (1, 1, 1, 1)), (3, 1, (0, 2, 1, 0)), (2, 3, (0, 0, 0, 0))])
@pytest.mark.parametrize("falls", [False, True])
def test_max_pool(kernel, stride, pads, falls):
    """Of activations, by itself, and of sums, before they are rescaled."""
    chain = Chain((13, 11, 2)).lookup(Values(-20, 20)).conv(5, 3, pads=1).threshold(Values(-4, 3))
    assert agrees(chain.pool(kernel, stride, pads).conv(3, 1).network(), SMALL)
    assert agrees(Chain((13, 11, 2)).pool(kernel, stride, pads).conv(3, 1).network(), SMALL)
    chain = Chain((13, 11, 2)).conv(5, 3, pads=1).pool(kernel, stride, pads).rescale(falls=falls)
    assert agrees(chain.conv(3, 1).network(), SMALL)


def test_window_of_a_whole_map_that_is_not_square():
    chain = Chain((5, 3, 2)).conv(5, 1).rescale()
    pool = Pool("pool", chain.at, (5, 3), (0, 0, 0, 0), (5, 3))
    assert agrees(chain.add(pool).conv(3, 1).network(), SMALL)


def test_flatten():
    chain = Chain((9, 7, 3)).conv(5, 3).rescale()
    assert agrees(chain.add(Flatten("flatten", chain.at)).conv(11, 1).rescale().conv(4, 1).network(), SMALL)


def test_flattened_image():
    chain = Chain((5, 4, 2))
    chain.add(Flatten("flatten", chain.at))
    chain.add(Lookup("lookup", chain.at, np.arange(-128, 128)[None], Values(-128, 127)))
    assert agrees(chain.conv(6, 1).rescale().conv(3, 1).network(), SMALL)


def test_best_classes():
    assert agrees(Chain((1, 1, 9)).lookup(Values(-128, 127)).conv(6, 1).top(3).network(), SMALL)


def test_patterns_are_loaded_again():
    shape = replace(SMALL, chains=2, taps=1, chain_words=100)
    network = Chain((12, 12, 1)).conv(2, 9, pads=3).rescale().conv(2, 9).network()
    records = compile(network, shape).records
    assert sum(record.op == Op.LOAD and record.fields["kind"] == Load.PATTERNS for record in records) > 64
    assert agrees(network, shape)


def test_more_outputs_than_parameters():
    assert agrees(Chain((2, 2, 3)).conv(1100, 1).rescale().conv(2, 2).network(), replace(SMALL, lanes=32, drains=8))


@pytest.mark.parametrize(("name", "shape"), [
    ("tfc", Shape(bits=1)), ("cnv", Shape(bits=1)), ("resnet8", Shape()), ("resnet20", Shape()),
    ("densenet22", Shape()), ("resnet8", Shape(form="vpe", bits=16, chains=12, lanes=16))])
def test_zoo(name, shape):
    assert agrees(load(zoo.find(name)), shape, orders=ORDERS[:1])


# Thresholds


@pytest.mark.parametrize("values", [Values(0, 1), Values(-1, 0), Values(0, 15), Values(-8, 7), Values(-128, 127)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_thresholds_become_a_line(values, flip, step):
    first = np.array([-500, -40, 0, 13, 400])
    thresholds = first[:, None] + (step * np.arange(values.levels - 1) * 1.3 + 0.5).astype(int)
    layer = Threshold("t", Tensor(1, 1, 5, Values(-300, 300)), thresholds, np.full(5, flip), values)
    bounds = np.full((2, 5), [[-300], [300]])
    found, x = requantised(layer, "conv", bounds, values, np.ones(5, int)), np.arange(-300, 301)
    clip = -found.high - 1 if found.signed else 0
    for k in range(5):
        line = (x * found.factor[k] + found.addend[k] >> found.shift[k]).clip(clip, found.high)
        count = (x[:, None] >= thresholds[k]).sum(1)
        assert np.array_equal(line, values.lo + (values.levels - 1 - count if flip else count))


# What is refused


def refusal(chain, shape=SMALL):
    with pytest.raises(UserError) as error:
        compile(chain.network(), shape)
    return str(error.value)


def start(**options):
    return Chain((8, 9, 2), **options)


@pytest.mark.parametrize(("chain", "shape", "message"), [
    (start().conv(2, 3, weights=[8, 1]), SMALL, r"conv\d+: a weight is 8, which .* 3-bit .*: build it with bits=4"),
    (start().conv(2, 3, weights=[11, 1]), SMALL, r"a weight is 11, .*form='vpe', or round with --powers"),
    (start().conv(2, 3), replace(SMALL, bits=1), r"a weight is -4, .*build it with bits=3"),
    (start().pool(2, kind="sum"), replace(SMALL, bits=1), r"pool\d+: takes channels one by one, .*bits=2"),
    (start().conv(2, 3), replace(SMALL, acc_bits=8), r"sums need 1\d bits, .* have 8: build it with acc_bits=1\d"),
    (start().conv(2, 1).rescale().conv(2, 1), replace(SMALL, pixel_bits=16), r"from 0 to 65535 .*pixel_bits=17"),
    (start().conv(2, 3), replace(SMALL, chain_words=4), r"one row .* takes 6 words of the 4 .*chain_words=6"),
    (start().conv(2, 3), replace(SMALL, out_depth=4), r"and 7 accumulators of 4: .*out_depth=7"),
    (start().conv(2, 1).rescale().conv(2, 3).conv(2, 1), SMALL, r"conv\d+: values from .* do not fit the 16 bits"),
    (start().lookup(Values(-100000, 100000)).conv(2, 1), SMALL, r"input: values from -100000 to 100000"),
    (start().conv(2, 1).top(1).conv(2, 1), SMALL, r"top\d+: the array does not compute TopK here; it may stand last"),
    (start().conv(2, 1).lookup(Values(0, 1)), SMALL, r"lookup\d+: .*Lookup here; it may stand first"),
    (Chain((20, 20, 1)).pool(16).conv(2, 1), SMALL, r"pool\d+: a maximum over \(16, 16\) with stride \(16, 16\)"),
    (Chain((2, 1030, 1)).conv(1, 1), replace(SMALL, chain_words=400, out_depth=1100), r"1,023 rows and columns"),
    (start().join("add", (1, 99), lambda side: side, lambda side: side), replace(SMALL, bits=2), r"counts 99 times"),
    (start().conv(2, 1).threshold(Values(-1, 1)).conv(2, 1), SMALL, r"no even steps .* without narrow range"),
])
def test_refusals(chain, shape, message):
    with pytest.raises(UserError, match=message):
        compile(chain.network(), shape)


def test_refused_layers():
    chain = start().lookup(Values(1, 5))
    conv = Conv("conv", chain.at, pads=(1, 0, 0, 0), weights=np.ones((1, 2, 1, 1), int), pad_value=1)
    assert "conv: pads with 1, the array with 0" in refusal(chain.add(conv))
    chain = start().conv(2, 1)
    uneven = Threshold("uneven", chain.at, np.array([[0, 1, 50]] * 2), np.zeros(2, bool), Values(0, 3))
    assert "uneven: the 3 thresholds of channel 0 are no even steps" in refusal(chain.add(uneven).conv(1, 1))
    chain = start().conv(2, 1, weights=[4, -4])
    narrow = Rescale("narrow", chain.at, np.array([1, 1]), np.array([0, 0]), 0, Values(-300, 500))
    assert "narrow: the array clips to 0..high or" in refusal(chain.add(narrow).conv(1, 1))
    for factor, refused in (1 << 22, False), (1 << 23, True):
        chain = Chain((3, 3, 1)).join("concat", (1, 8), lambda side: side, lambda side: side)
        steep = Rescale("steep", chain.at, np.array([1, factor]), np.array([0, 0]), 20, Values(0, 65535))
        chain.add(steep).conv(1, 1)
        assert not refused or "steep: channel 1 is rescaled by" in refusal(chain)
        assert refused or agrees(chain.network(), SMALL)
    chain = start().conv(2, 1).rescale()
    assert "put it before" in refusal(chain.add(Flatten("flatten", chain.at)).threshold().conv(1, 1))
    chain = start().conv(2, 1)
    assert "ends with Flatten" in refusal(chain.add(Flatten("flatten", chain.at)))
    chain = start(seed=2).conv(64, 3).rescale().conv(2, 3).pool(2).rescale(falls=True)
    assert "do not fit the 16 bits" in refusal(chain)


# The programs themselves


NET = Chain((12, 12, 4)).conv(6, 3, pads=1).rescale().conv(6, 3, pads=1).rescale().conv(3, 12).network()
IMAGE = np.random.default_rng(1).integers(0, 256, NET.input.shape, np.uint8)
PROGRAM = compile(NET, SMALL)


def outcome(memory, order=()):
    return PROGRAM.scores(run(memory, SMALL, order)).tolist()


def changed(number, record):
    """Memory with another record in place of one."""
    memory = PROGRAM.memory(IMAGE)
    memory[32 * number:][:32] = np.frombuffer(record.to_bytes(), np.uint8)
    return memory


def test_a_wrong_mask_shows():
    """Every mask matters that lets a pixel through or keeps one out."""
    wanted = outcome(PROGRAM.memory(IMAGE))
    load = next(record for record in PROGRAM.records if record.op == Op.LOAD and record.fields["kind"] == Load.PATTERNS)
    place, tried = load.fields["address"], 0
    for field in "low0", "high0", "low1", "high2", "row_low", "row_high", "base", "lead", "signed", "pitch":
        memory = PROGRAM.memory(IMAGE)
        pattern = unpack(PATTERN, int.from_bytes(memory[place:place + 16].tobytes(), "little"))
        pattern[field] ^= 1
        memory[place:place + 16] = np.frombuffer(pack(PATTERN, pattern).to_bytes(16, "little"), np.uint8)
        tried += outcome(memory) != wanted
    assert tried >= 9  # `signed` does not matter for bytes


def test_wrong_weights_parameters_and_pixels_show():
    wanted, memory = outcome(PROGRAM.memory(IMAGE)), PROGRAM.memory(IMAGE)
    for op, kind in (Op.WEIGHTS, None), (Op.LOAD, Load.PARAMETERS), (Op.LOAD, Load.PIXELS):
        record = next(r for r in PROGRAM.records if r.op == op and r.fields.get("kind") == kind)
        memory = PROGRAM.memory(IMAGE)
        memory[record.fields["address"] + 1] ^= 0x55
        assert outcome(memory) != wanted, op


def test_waits_are_needed():
    """Without one of the things that records wait for, some order goes wrong."""
    wanted = outcome(PROGRAM.memory(IMAGE))

    def differs(memory, order):
        try:
            return outcome(memory, order) != wanted
        except TypeError:  # parameters or patterns that are not there
            return True

    for op, wait in [(Op.LOAD, "after_passes"), (Op.LOAD, "after_drains"), (Op.PASS, "after_loads"),
                     (Op.PASS, "after_drains"), (Op.DRAIN, "after_passes"), (Op.DRAIN, "after_loads")]:
        memory = PROGRAM.memory(IMAGE)
        for number, record in enumerate(PROGRAM.records):
            if record.op == op:
                without = dataclasses.replace(record, **{wait: 0})
                memory[32 * number:][:32] = np.frombuffer(without.to_bytes(), np.uint8)
        assert any(differs(memory, order) for order in ORDERS[1:]), (op, wait)


def test_records_wait_only_for_what_is_before_them():
    number = next(k for k, record in enumerate(PROGRAM.records) if record.op == Op.PASS)
    late = dataclasses.replace(PROGRAM.records[number], after_drains=1)
    with pytest.raises(ValueError, match="PASS, waits for what comes behind it"):
        run(changed(number, late), SMALL)
    with pytest.raises(ValueError, match="records wait for each other"):
        run(changed(number, late), SMALL, ORDERS[1])


def test_no_wait_is_too_old_for_the_counters():
    schedule = Schedule(SMALL)
    for _ in range(40_000):
        schedule.compute(0, rows=1, period=8)
    schedule.load(0, after_passes=3, row_words=1)
    schedule.drain(0, after_loads=1, after_passes=5, lanes=1, rows_out=1, columns_out=1, kernel=1)
    records, _ = schedule.records(lambda address: address, 0)
    drain = next(record for record in records if record.op == Op.DRAIN)
    assert 40_000 - (1 << 15) < drain.after_passes < 40_000


def test_image():
    """Regions one behind the other, and nothing else; the build's id."""
    program = compile(NET, SMALL, build=0x1234)
    assert program.records[0].fields == {"build": 0x1234, "records": len(program.records)}
    places = [record.fields["address"] for record in program.records if "address" in record.fields]
    assert not any(place % 16 for place in places) and min(places) == 32 * len(program.records)
    assert program.source.address == len(program.image) and program.size > program.source.address
    assert max(program.result.address + program.result.size, *places) <= program.size
    assert len(program.owners) == len(program.records) and Region.PROGRAM < Region.WEIGHTS


def test_chunks_waste_no_pass():
    weights = np.zeros((4, 64, 5, 5), int)

    class Step:
        stride, pads, height, width, columns = (1, 1), (2, 2, 2, 2), 27, 27, 27
        inputs = (None,) * 64
    Step.weights = weights
    mapping = Mapping(Step, Shape())
    assert len(mapping.passes) == 27 and mapping.period == 27  # 64 channels of 10 runs, 24 at a time


def test_clocks():
    """No less than the slots; a slow memory costs more; waits and slots make up all clocks."""
    timing, slow = (cycles(PROGRAM, SMALL, memory) for memory in (None, Memory(500, 0.1)))
    slots = sum(r.fields["rows"] * r.fields["columns"] for r in PROGRAM.records if r.op == Op.PASS)
    assert timing.slots == slots < timing.clocks < slow.clocks and 0 < timing.share < 1
    assert timing.clocks == pytest.approx(sum(layer.clocks for layer in timing.layers))
    for layer in timing.layers[:-1]:
        assert layer.slots + sum(layer.waits.values()) == pytest.approx(layer.clocks)
    assert timing.macs == NET.macs and "of the peak" in str(timing) and timing.rate(200e6) > 0


def test_a_large_network_keeps_the_array_busy():
    """AlexNet's convolutions but the first; a 5x5 kernel takes six cells for five weights, 82 % at best."""
    chain = Chain((27, 27, 64)).conv(192, 5, pads=2).rescale().pool(3, 2)
    for outputs in 384, 384, 256:
        chain.conv(outputs, 3, pads=1).rescale()
    network = chain.network()
    shape, other = Shape(), Shape(chains=12, lanes=16, form="vpe", bits=16)
    timing, slower = (cycles(compile(network, kind), kind) for kind in (shape, other))
    assert timing.share > 0.9 and [layer.share > 0.97 for layer in timing.layers] == [False, True, True, True]
    assert slower.clocks / timing.clocks > 2.9
