# amaranth: UnusedElaboratable=no

import random
import re

import cocotb
from amaranth import *
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from pyosys import libyosys

from gen.bits import Values
from gen.hw.axi import AxiLite, AxiStream, Top, from_axi, to_axi
from gen.hw.frames import FrameFilter, FrameGuard
from gen.hw.registers import ADDRESS_WIDTH, OFFSETS, Geometry, RegisterFile
from gen.hw.stream import Gather, Split, pipeline
from gen.network import Tensor
from sim.simulator import run

BEATS, BITS = 4, 5
TENSOR = Tensor(1, BEATS, 1, Values(0, 31))


class Core(wiring.Component):
    """An accelerator without a network: what comes in goes out, if its frame is good."""

    def __init__(self):
        super().__init__({
            "s_axis": In(AxiStream(BITS)),
            "m_axis": Out(AxiStream(BITS)),
            "s_axi": In(AxiLite(ADDRESS_WIDTH)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.guard = guard = FrameGuard(BEATS, BITS)
        m.submodules.filter = filter = FrameFilter(BEATS, BITS, depth=2)
        geometry = Geometry(TENSOR, BEATS, BITS)
        m.submodules.registers = registers = RegisterFile(
            version="0.1.0", build=0x12345678, input=geometry, output=geometry)

        m.submodules.gather = gather = Gather(BITS, BEATS)
        m.submodules.split = split = Split(BITS, BEATS)
        pipeline(m, guard.o, gather, split, sink=filter.i)
        connect(m, guard.verdict, filter.verdict)
        connect(m, flipped(self.s_axi), registers.axi)
        m.d.comb += [
            from_axi(self.s_axis, guard.i),
            to_axi(filter.o, self.m_axis),
            registers.events.eq(Cat(
                guard.verdict.valid & guard.verdict.ready,
                filter.o.valid & filter.o.ready & filter.o.p.last,
                self.s_axis.tvalid & ~self.s_axis.tready,
                self.m_axis.tvalid & ~self.m_axis.tready,
                ~self.s_axis.tvalid & self.s_axis.tready,
                guard.short,
                guard.long)),
        ]

        return m


def emit(core, path):
    """Write the Verilog of ``core`` as a top module ``top`` to ``path``."""
    top = Top(core)
    path.with_suffix(".il").write_text(rtlil.convert(top, name="top", emit_src=False))
    design = libyosys.Design()
    for step in (f"read_rtlil {path.with_suffix('.il')}", "proc -nomux -norom", "memory_collect",
                 f"write_verilog -norename -noattr {path}"):
        libyosys.run_pass(step, design)


def test_ports_are_named_as_vivado_infers_them(tmp_path):
    emit(Core(), tmp_path / "top.v")
    (header,) = re.findall(r"module top\((.*?)\);", (tmp_path / "top.v").read_text(), re.DOTALL)
    lite = ("awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready "
            "araddr arprot arvalid arready rdata rresp rvalid rready")
    assert set(re.findall(r"\w+", header)) == {
        "ap_clk", "ap_rst_n",
        *(f"{prefix}_axis_{name}" for prefix in "sm" for name in ("tdata", "tlast", "tvalid", "tready")),
        *(f"s_axi_{name}" for name in lite.split())}
    text = (tmp_path / "top.v").read_text()
    assert re.search(r"input \[7:0\] s_axis_tdata;", text)
    assert re.search(r"output \[7:0\] m_axis_tdata;", text)
    assert re.search(r"output s_axi_arready;", text)


def stalls(seed):
    """Pauses of random length, at random."""
    rng = random.Random(seed)
    while True:
        for pause in (1, 0):
            yield from [pause] * rng.randint(1, 6)


async def start(dut):
    """Interfaces of ``dut``, after a reset."""
    cocotb.start_soon(Clock(dut.ap_clk, 10, unit="ns").start())
    port = {"clock": dut.ap_clk, "reset": dut.ap_rst_n, "reset_active_level": False}
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **port)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **port)
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), **port)
    dut.ap_rst_n.value = 0
    for _ in range(3):
        await RisingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1
    return source, sink, host


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(stall=[False, True])
async def bad_frames_leave_no_trace(dut, stall):
    source, sink, host = await start(dut)
    if stall:
        source.set_pause_generator(stalls(1))
        sink.set_pause_generator(stalls(2))
    rng = random.Random(3)
    lengths = [rng.choice([BEATS, BEATS, 1, 2, BEATS + 1, 2 * BEATS, 13]) for _ in range(100)] + [BEATS]
    frames = [bytes(rng.randrange(32) for _ in range(length)) for length in lengths]
    for frame in frames:
        await source.send(AxiStreamFrame(frame))
    for frame in frames:
        if len(frame) == BEATS:
            assert bytes((await sink.recv()).tdata) == frame
    assert sink.empty()

    async def read(name):
        return await host.read_dword(OFFSETS[name])

    assert await read("FRAMES_IN") == len(frames)
    assert await read("FRAMES_OUT") == lengths.count(BEATS)
    assert await read("SHORT_FRAMES") == sum(length < BEATS for length in lengths)
    assert await read("LONG_FRAMES") == sum(length > BEATS for length in lengths)
    assert await read("ERRORS") == 0b11
    assert (await read("OUTPUT_STALLS") > 0) == stall


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(stall=[False, True])
async def host_reads_and_writes(dut, stall):
    *_, host = await start(dut)
    if stall:
        channels = (host.write_if.aw_channel, host.write_if.w_channel, host.write_if.b_channel,
                    host.read_if.ar_channel, host.read_if.r_channel)
        for seed, channel in enumerate(channels):
            channel.set_pause_generator(stalls(seed))
    for _ in range(20):
        assert await host.read_dword(OFFSETS["IDENTITY"]) == 0x504f5057
        assert await host.read_dword(OFFSETS["BUILD"]) == 0x12345678
        assert (await host.read(0xffc, 4)).resp == AxiResp.SLVERR
        assert (await host.write(OFFSETS["BUILD"], bytes(4))).resp == AxiResp.SLVERR
        assert (await host.write(OFFSETS["CONTROL"], bytes([1, 0, 0, 0]))).resp == AxiResp.OKAY
        assert await host.read_dword(OFFSETS["CYCLES"]) < 200


def test_emitted_verilog(tmp_path):
    emit(Core(), tmp_path / "top.v")
    run([tmp_path / "top.v"], "top", "tests.test_axi", tmp_path)
