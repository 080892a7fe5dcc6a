"""cocotb tests of a whole accelerator on its emitted Verilog, against the golden model's scores.

``$POPWEAVE_BENCH`` names the folder in which :mod:`sim.run` has left ``bench.json`` (see there) and ``frames.npz``.
"""

import json
import logging
import os
import pathlib
import random
from itertools import pairwise
from statistics import median

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from gen.bits import Values
from gen.hw.registers import MAGIC, OFFSETS

FOLDER = pathlib.Path(os.environ["POPWEAVE_BENCH"])
BENCH = json.loads((FOLDER / "bench.json").read_text())
with np.load(FOLDER / "frames.npz") as arrays:
    IMAGES, SCORES = arrays["images"], arrays["scores"]
SCORE = Values(*BENCH["score"])
SCORE_BYTES = -(-SCORE.bits // 8)
PERIOD = 4  # ns


class Bench:
    """The accelerator with a source, a sink and a register port, reset and ready."""

    def __init__(self, dut):
        self.dut, self.pauses = dut, None
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.ap_clk)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.ap_clk)
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.ap_clk)
        for part in (self.source, self.sink, self.registers.write_if, self.registers.read_if):
            part.log.setLevel(logging.WARNING)  # not every pixel of every frame

    @classmethod
    async def start(cls, dut):
        cocotb.start_soon(Clock(dut.ap_clk, PERIOD, unit="ns").start())
        bench = cls(dut)
        await bench.reset()
        return bench

    async def reset(self):
        self.dut.ap_rst_n.value = 0
        await ClockCycles(self.dut.ap_clk, 4)
        self.dut.ap_rst_n.value = 1
        await ClockCycles(self.dut.ap_clk, 4)

    def stall(self, chance, seed=0):
        """Make each side pause in a cycle by ``chance``."""
        rng = random.Random(seed)
        if self.pauses:
            self.pauses.cancel()

        async def pauses():
            while chance:
                self.source.pause, self.sink.pause = rng.random() < chance, rng.random() < chance
                await RisingEdge(self.dut.ap_clk)
            self.source.pause = self.sink.pause = False

        self.pauses = cocotb.start_soon(pauses())

    async def send(self, *images):
        for image in images:
            await self.source.send(image.tobytes())

    async def receive(self, count):
        """Scores of ``count`` frames (or an error after as many cycles as they can possibly take), and their ends."""
        scores, ends = [], []
        for _ in range(count):
            try:
                frame = await with_timeout(self.sink.recv(), BENCH["patience"] * PERIOD, "ns")
            except SimTimeoutError:
                raise AssertionError(f"no result after {BENCH['patience']} cycles: {len(scores)} of {count} "
                                     "frames came") from None
            scores.append(decoded(frame))
            ends.append(frame.sim_time_end // (PERIOD * 1000))
        return np.array(scores), ends

    async def read(self, name):
        return await self.registers.read_dword(OFFSETS[name])


def decoded(frame):
    """Scores of a frame of bytes."""
    words = np.frombuffer(bytes(frame.tdata), np.uint8).reshape(-1, SCORE_BYTES).astype(np.int64)
    codes = (words << 8 * np.arange(SCORE_BYTES)).sum(1)
    scores = SCORE.decode(codes & (1 << SCORE.bits) - 1)
    assert (codes == scores & (1 << 8 * SCORE_BYTES) - 1).all(), "a score is not extended to whole bytes"
    return scores


async def compare(bench, frames, scores):
    """Demand that ``scores`` are those of ``frames``; otherwise find out where the first wrong one went wrong."""
    expected = SCORES[frames]
    wrong = np.flatnonzero((scores != expected).any(1))
    if len(wrong):
        frame = frames[wrong[0]]
        where = await locate(bench, frame)
        raise AssertionError(f"{len(wrong)} of {len(frames)} frames differ; image {frame}: scores "
                             f"{scores[wrong[0]].tolist()}, golden model {expected[wrong[0]].tolist()}; {where}")


async def locate(bench, frame):
    """The first layer, position and channel that differ, by watching the stream after every layer."""
    bench.stall(0)
    await bench.reset()
    core, seen = bench.dut.core.core, {tap["layer"]: [] for tap in BENCH["taps"]}
    ports = [[getattr(core, f"{tap['unit']}__o__{part}") for part in ("valid", "ready", "payload")]
             for tap in BENCH["taps"]]

    async def watch():
        while True:
            await RisingEdge(bench.dut.ap_clk)
            for payloads, (valid, ready, payload) in zip(seen.values(), ports, strict=True):
                if valid.value and ready.value:
                    payloads.append(int(payload.value))

    watcher = cocotb.start_soon(watch())
    await bench.send(IMAGES[frame])
    await bench.receive(1)
    watcher.cancel()
    with np.load(FOLDER / "taps.npz") as golden:
        for tap in BENCH["taps"]:
            values, expected = Values(*tap["values"]), golden[tap["layer"]][frame]
            codes = [word >> k * values.bits & (1 << values.bits) - 1
                     for word in seen[tap["layer"]] for k in range(tap["pixels"] * tap["channels"])]
            # Of a group of positions one group of channels comes after the other.
            groups = np.array(codes[:expected.size]).reshape(
                -1, expected.shape[2] // tap["channels"], tap["pixels"], tap["channels"])
            found = values.decode(groups.swapaxes(1, 2)).reshape(expected.shape)
            if (found != expected).any():
                y, x, channel = np.argwhere(found != expected)[0]
                return (f"first in layer {tap['layer']} at row {y}, column {x}, channel {channel}: "
                        f"{found[y, x, channel]}, golden model {expected[y, x, channel]} "
                        f"({(found != expected).sum()} of {expected.size} values differ there)")
    return "no layer differs when the image comes alone"


@cocotb.test()
async def frames(dut):
    """All images back to back, at full rate."""
    bench = await Bench.start(dut)
    everything = np.arange(len(IMAGES))
    cocotb.start_soon(bench.send(*IMAGES))
    scores, ends = await bench.receive(len(IMAGES))
    await compare(bench, everything, scores)
    between = [b - a for a, b in pairwise(ends)]
    steady = between[len(between) // 2:]
    cycles = median(steady) if steady else None
    (FOLDER / "result.json").write_text(json.dumps(
        {"frames": len(IMAGES), "cycles_per_frame": cycles, "latency_cycles": ends[0], "scores": scores.tolist()}))
    assert await bench.read("FRAMES_OUT") == len(IMAGES)


@cocotb.test()
async def random_stalls(dut):
    """Both sides pause at random."""
    bench = await Bench.start(dut)
    for seed, chance in enumerate((0.1, 0.6)):
        bench.stall(chance, seed)
        chosen = np.arange(2) % len(IMAGES)
        cocotb.start_soon(bench.send(*IMAGES[chosen]))
        scores, _ = await bench.receive(len(chosen))
        await compare(bench, chosen, scores)
    assert await bench.read("OUTPUT_STALLS") > 0


@cocotb.test()
async def reset_in_mid_frame(dut):
    """A reset leaves nothing of the frame that it cuts."""
    bench = await Bench.start(dut)
    cocotb.start_soon(bench.send(*IMAGES[[0, 0]]))
    await ClockCycles(dut.ap_clk, BENCH["cycles"] + BENCH["cycles"] // 2)
    bench.source.clear()
    await bench.reset()
    bench.sink.clear()
    last = np.array([len(IMAGES) - 1])
    await bench.send(IMAGES[last[0]])
    scores, _ = await bench.receive(1)
    await compare(bench, last, scores)


@cocotb.test()
async def bad_frames(dut):
    """Short and long frames are counted and dropped; the good ones around them come through."""
    bench = await Bench.start(dut)
    assert [await bench.read("IDENTITY"), await bench.read("BUILD")] == [MAGIC, BENCH["build"]]
    good = np.arange(2) % len(IMAGES)
    beat = len(dut.s_axis_tdata) // 8
    pixels = IMAGES[0].reshape(-1)
    await bench.send(IMAGES[good[0]], pixels[:beat], np.concatenate([pixels, pixels[:beat]]), IMAGES[good[1]])
    scores, _ = await bench.receive(2)
    await compare(bench, good, scores)
    assert [await bench.read(name) for name in ("SHORT_FRAMES", "LONG_FRAMES", "FRAMES_OUT", "ERRORS")] == [1, 1, 2, 3]
