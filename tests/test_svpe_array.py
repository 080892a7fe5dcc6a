# amaranth: UnusedElaboratable=no
"""The array, its weights loaded under stalls while it works, against plain integers, clock by clock."""

import itertools
import json
import random
import re
import shutil

import pytest
from amaranth import *
from amaranth.sim import Simulator

from gen.emit import Emitter
from gen.hw.svpe import chain, controls
from gen.hw.svpe.cluster import Cluster
from gen.svpe.shape import Shape
from sim import simulator

from .streams import PERIOD, put

QUICK = "icarus" if shutil.which("iverilog") else "verilator"  # compiles in a moment
KINDS = [*((form, bits) for form in ("svpe", "luts") for bits in range(1, 6)), ("vpe", 16)]


def small(form, bits, chains=3, taps=3, lanes=2, **more):
    return Shape(chains=chains, taps=taps, lanes=lanes, bits=bits, form=form, drains=1, **more)


def codes(shape):
    """Those that a weight can have, the extremes alone where they are many."""
    return [0x8000, 0x7fff, 0, 1, 0xffff, 0x1234] if shape.form == "vpe" else range(1 << shape.code_bits)


def random_weights(shape, count, rng):
    """Codes of so many passes, for each cell and each lane."""
    return [[[rng.choice(codes(shape)) for _ in range(shape.lanes)] for _ in range(shape.chains * shape.taps)]
            for _ in range(count)]


class Pixels:
    """What cells see; whatever has been asked stays so."""

    def __init__(self, shape, rng, values=None):
        low, high = -1 << shape.pixel_bits - 1, (1 << shape.pixel_bits - 1) - 1
        values = values or [low, high, 0, 1, -1, low // 2, high // 2, *(rng.randint(low, high) for _ in range(20))]
        self.seen, self.choose = {}, lambda: rng.choice(values)

    def __getitem__(self, place):
        return self.seen.setdefault(place, self.choose())


def run(shape, weights, *, slots=None, stall=0.0, seed=0, values=None, pauses=(0, 0, 3)):
    """Passes as soon as their weights are there and the one before is through; or some clocks later.

    ``weights`` are codes, for each pass, cell and lane. Returns sums, by pass and slot, the pixels that cells saw, and
    for each clock the inputs and outputs.
    """
    dut, rng = Cluster(shape), random.Random(seed)
    cells, passes = shape.chains * shape.taps, len(weights)
    slots = slots or max(8, cells + shape.taps + 2)  # as many clocks as it takes to load
    delays = [dut.skew * r + t for r in range(shape.chains) for t in range(shape.taps)]
    pixels, slot_at, firsts, sums, log = Pixels(shape, rng, values), {}, set(), {}, []
    words = [sum(code << k * shape.code_bits for k, code in enumerate(word)) for word in itertools.chain(*weights)]

    async def load(ctx):
        for word in words:
            while rng.random() < stall:
                await ctx.tick()
            await put(ctx, dut.weights, word)

    async def work(ctx):
        begun, free = 0, 0
        while len(sums) < passes * slots:
            clock = len(log)
            assert clock < 1000 + 40 * passes * (cells + slots), f"{len(sums)} sums"
            start = begun < passes and ctx.get(dut.loaded) and clock + 2 >= free
            if start:
                first = max(clock + 2 + rng.choice(pauses), free)
                slot_at.update({first + s: (begun, s) for s in range(slots)})
                firsts.add(first)
                begun, free = begun + 1, first + slots
            places = [slot_at.get(clock - delay, (-1, clock)) for delay in delays]
            x = sum((pixels[cell, *place] & (1 << shape.pixel_bits) - 1) << cell * shape.pixel_bits
                    for cell, place in enumerate(places))
            swap = sum((clock + 1 - delay in firsts) << cell for cell, delay in enumerate(delays))
            inputs = {"x": x, "swap": swap, "start": int(start)}
            for name, value in inputs.items():
                ctx.set(getattr(dut, name), value)
            outputs = {}
            if clock - dut.latency in slot_at:
                outputs["sums"] = sums[slot_at[clock - dut.latency]] = ctx.get(dut.sums)
            *_, payload, valid, ready, loaded = await ctx.tick().sample(
                dut.weights.payload, dut.weights.valid, dut.weights.ready, dut.loaded)
            log.append({"inputs": inputs | {"weights__payload": payload, "weights__valid": valid},
                        "outputs": outputs | {"weights__ready": ready, "loaded": loaded}})

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    sim.add_testbench(load)
    sim.add_testbench(work)
    sim.run()
    return sums, pixels, log


def expected(shape, weights, pixels, place, sum_bits):
    """Sums of all lanes, side by side."""
    number, _ = place
    values = [[int(v) for v in shape.weights.decode(word)] for word in weights[number]]
    return sum((sum(pixels[cell, *place] * word[lane] for cell, word in enumerate(values)) & (1 << sum_bits) - 1)
               << lane * sum_bits for lane in range(shape.lanes))


def agrees(shape, weights, **options):
    sums, pixels, _ = run(shape, weights, **options)
    bits = Cluster(shape).sum_bits
    return all(total == expected(shape, weights, pixels, place, bits) for place, total in sums.items())


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize(("form", "bits"), KINDS)
def test_array(form, bits, taps):
    for chains, lanes, pixel_bits, stall in (3, 2, 17, 0), (1, 1, 16, 0.2), (4, 1, 16, 0.5):
        shape = small(form, bits, chains, taps, lanes, pixel_bits=pixel_bits)
        assert agrees(shape, random_weights(shape, 6, random.Random(chains)), stall=stall, seed=taps)


@pytest.mark.parametrize(("form", "bits"), KINDS)
def test_every_weight_of_a_chain(form, bits):
    """Of three cells with all that the others can have; of more than 3 bits, with all that one other can have."""
    shape = small(form, bits, chains=1, lanes=8)
    rows = [row for row in itertools.product(codes(shape), repeat=3) if bits < 4 or row[2] in row[:2]]
    rows += rows[:-len(rows) % 8]
    assert agrees(shape, [[[row[t] for row in rows[k:k + 8]] for t in range(3)] for k in range(0, len(rows), 8)])


@pytest.mark.parametrize(("form", "bits"), KINDS)
@pytest.mark.parametrize("pixel", [-65536, -32768, 65535])
def test_full_scale(form, bits, pixel):
    shape = small(form, bits, chains=2, pixel_bits=17)
    low, high = (int(shape.weights.encode(weight)) for weight in (shape.weights.lo, shape.weights.hi))
    assert agrees(shape, [[[low, high]] * 6, [[high, low]] * 6], values=[pixel])


def test_sums_are_no_wider_than_need_be():
    shape = small("svpe", 4, chains=4, taps=1, lanes=1, pixel_bits=16)
    sums, *_ = run(shape, [[[int(shape.weights.encode(-64))]] * 4], values=[-32768])
    assert set(sums.values()) == {1 << 23} and Cluster(shape).sum_bits == 25


@pytest.mark.parametrize(("form", "bits"), KINDS)
def test_passes_follow_each_other(form, bits):
    """Each begins a clock after the one before ends, although only the shortest time is left to load its weights."""
    shape = small(form, bits, chains=4, taps=2, lanes=1)
    _, _, log = run(shape, random_weights(shape, 5, random.Random(1)), slots=12, pauses=[0])
    clocks = [number for number, clock in enumerate(log) if "sums" in clock["outputs"]]
    assert len(clocks) == clocks[-1] - clocks[0] + 1 == 5 * 12


def in_verilog(shape, folder, edit=lambda text: text):
    """The emitted Verilog, with a model of the DSP, does in each clock what was found in Amaranth's simulator."""
    dut = Cluster(shape)
    weights = random_weights(shape, 4, random.Random(1))
    sums, pixels, log = run(shape, weights, stall=0.2)
    assert all(total == expected(shape, weights, pixels, place, dut.sum_bits) for place, total in sums.items())
    rtl, bench = folder / "rtl", folder / "bench.json"
    rtl.mkdir()
    Emitter(rtl).module(dut, "cluster")
    for path in rtl.glob("*.v"):
        path.write_text(edit(path.read_text()))
    bench.write_text(json.dumps([{side: {name: f"{value:x}" for name, value in ports.items()}
                                  for side, ports in clock.items()} for clock in log]))
    simulator.run(sorted(rtl.glob("*.v")), "cluster", "sim.replay_bench", folder,
                  environment={"POPWEAVE_BENCH": str(bench)}, simulator=QUICK)


@pytest.mark.parametrize(("form", "bits"), KINDS)
@pytest.mark.parametrize("taps", [1, 3])
def test_verilog(form, bits, taps, tmp_path):
    in_verilog(small(form, bits, taps=taps), tmp_path)


@pytest.mark.parametrize("edit", [
    lambda text: text.replace(".OPMODE(9'h195)", ".OPMODE(9'h185)"),  # the sum above is left out
    lambda text: text.replace(".BREG(32'd2)", ".BREG(32'd1)"),
    lambda text: re.sub(r"\.ALUMODE\(.*?\)", ".ALUMODE(4'h0)", text),
])
def test_verilog_with_faults(edit, tmp_path):
    with pytest.raises((RuntimeError, SystemExit)):
        in_verilog(small("svpe", 3), tmp_path, edit)


@pytest.mark.parametrize(("module", "name", "fault"), [
    (controls, "_chosen", lambda constants, index: Const(constants[-1])),
    (chain, "later", lambda m, value, clocks, name: [value] * (clocks + 1)),
    (chain, "_added", lambda a, b, negative: a + (b ^ negative.replicate(len(b)).as_signed())),
])
@pytest.mark.parametrize("form", ["svpe", "luts"])
def test_planted_faults_are_found(form, module, name, fault, monkeypatch):
    shape = small(form, 3)
    weights = random_weights(shape, 6, random.Random(1))
    assert agrees(shape, weights)
    monkeypatch.setattr(module, name, fault)
    assert not agrees(shape, weights)
