# amaranth: UnusedElaboratable=no
"""AXI4-Stream and AXI4-Lite, and the flat top module by whose names Vivado's IP packager infers them."""

import enum

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .units import add_unit

__all__ = ["AxiLite", "AxiLiteTarget", "AxiStream", "Response", "Top", "from_axi", "to_axi"]


class Response(enum.IntEnum):
    """What an AXI4-Lite transfer came to: OKAY, or an error of the one addressed."""

    OKAY = 0
    SLVERR = 2


class AxiStream(wiring.Signature):
    """AXI4-Stream, seen from the sender.

    Parameters
    ----------
    width : int
        Bits a beat; ``tdata`` is padded to whole bytes.
    """

    def __init__(self, width):
        super().__init__({
            "tdata": Out(-(-width // 8) * 8),
            "tlast": Out(1),
            "tvalid": Out(1),
            "tready": In(1),
        })


class AxiLite(wiring.Signature):
    """AXI4-Lite with 32 bits of data, seen from the one who asks.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.
    """

    def __init__(self, address_width):
        super().__init__({
            "awaddr": Out(address_width),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_width),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        })


def from_axi(axi, port):
    """Statements that lead an :class:`AxiStream` to a stream of ``Beat``; padding is ignored."""
    return [
        port.p.data.eq(axi.tdata),
        port.p.last.eq(axi.tlast),
        port.valid.eq(axi.tvalid),
        axi.tready.eq(port.ready),
    ]


def to_axi(port, axi):
    """Statements that lead a stream of ``Beat`` to an :class:`AxiStream`; padding repeats a sign."""
    return [
        axi.tdata.eq(port.p.data),
        axi.tlast.eq(port.p.last),
        axi.tvalid.eq(port.valid),
        port.ready.eq(axi.tready),
    ]


class AxiLiteTarget(wiring.Component):
    """The answering end of AXI4-Lite: every access becomes one cycle of a plain register bus.

    Address and data of a write come in any order. A response that is not taken stops further accesses of its
    kind only.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.

    Members
    -------
    axi : In(AxiLite(address_width))
        Where the accesses come from.
    read, write : Out(1)
        High in the first cycle of an access.
    read_address, write_address : Out(address_width - 2)
        Of a 32-bit word.
    read_data : In(32)
        Contents of the word at ``read_address`` in the cycle before.
    write_data : Out(32)
        What to write.
    write_mask : Out(32)
        Which bits to write.
    read_error, write_error : In(1)
        Whether the access is refused.
    """

    unit_name = "axi_lite_target"

    def __init__(self, address_width):
        super().__init__({
            "axi": In(AxiLite(address_width)),
            "read": Out(1),
            "read_address": Out(address_width - 2),
            "read_data": In(32),
            "read_error": In(1),
            "write": Out(1),
            "write_address": Out(address_width - 2),
            "write_data": Out(32),
            "write_mask": Out(32),
            "write_error": In(1),
        })

    def elaborate(self, platform):
        m = Module()

        axi = self.axi

        found = Signal()
        m.d.comb += axi.arready.eq(~self.read & ~found & ~axi.rvalid)
        m.d.sync += [self.read.eq(axi.arvalid & axi.arready), found.eq(self.read)]
        with m.If(axi.arready):
            m.d.sync += self.read_address.eq(axi.araddr[2:])
        with m.If(found):
            m.d.sync += [
                axi.rvalid.eq(1),
                axi.rdata.eq(Mux(self.read_error, 0, self.read_data)),
                axi.rresp.eq(Mux(self.read_error, Response.SLVERR, Response.OKAY)),
            ]
        with m.Elif(axi.rready):
            m.d.sync += axi.rvalid.eq(0)

        addressed, loaded = Signal(), Signal()  # which parts of a write are here
        m.d.comb += [
            axi.awready.eq(~addressed),
            axi.wready.eq(~loaded),
            self.write.eq(addressed & loaded & ~axi.bvalid),
        ]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [addressed.eq(1), self.write_address.eq(axi.awaddr[2:])]
        with m.If(axi.wvalid & axi.wready):
            mask = Cat(bit.replicate(8) for bit in axi.wstrb)
            m.d.sync += [loaded.eq(1), self.write_data.eq(axi.wdata), self.write_mask.eq(mask)]
        with m.If(self.write):
            m.d.sync += [
                addressed.eq(0),
                loaded.eq(0),
                axi.bvalid.eq(1),
                axi.bresp.eq(Mux(self.write_error, Response.SLVERR, Response.OKAY)),
            ]
        with m.Elif(axi.bready):
            m.d.sync += axi.bvalid.eq(0)

        return m


class Top(wiring.Component):
    """A component with AXI interfaces as the outside wants it: flat ports, and clock and reset among them.

    The wires of an interface ``s_axis`` of ``core`` become ports ``s_axis_tdata``, ``s_axis_tvalid``, and so
    on. The reset takes effect one cycle late, from a register of its own, as it goes to many places.

    Parameters
    ----------
    core : Component
        Works in the domain ``sync``.

    Members
    -------
    ap_clk : In(1)
        Clock.
    ap_rst_n : In(1)
        Reset, synchronous, active low.
    """

    def __init__(self, core):
        self.core = core
        super().__init__(
            {"ap_clk": In(1), "ap_rst_n": In(1)} | {name: member for name, member, _ in self._wires()})

    def _wires(self):
        for path, member, value in self.core.signature.flatten(self.core):
            yield "_".join(path), member, value

    def elaborate(self, platform):
        m = Module()

        m.domains.reset = reset = ClockDomain(reset_less=True, local=True)
        m.domains.sync = sync = ClockDomain(local=True)
        reset.clk = sync.clk = self.ap_clk
        sync.rst = Signal(name="rst", init=1)
        m.d.reset += sync.rst.eq(~self.ap_rst_n)

        add_unit(m, "core", self.core, platform)
        for name, member, value in self._wires():
            port = getattr(self, name)
            m.d.comb += value.eq(port) if member.flow == In else port.eq(value)

        return m
