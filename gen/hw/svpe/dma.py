# amaranth: UnusedElaboratable=no
"""Masters of the memory bus, AXI4 with 128 bits of data."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...svpe.shape import WORD
from ..fifo import Fifo
from ..frames import Beat
from ..units import add_unit
from .bursts import ADDRESS_BITS, OFFSET_BITS, Bursts, Command

__all__ = ["ADDRESS_BITS", "Axi4", "Axi4Read", "Axi4Write", "Command", "Reader", "Writer", "forwarded"]

_SIZE, _INCREMENTING, _BUFFERABLE = OFFSET_BITS, 1, 0b0011


def _address_channel(name, address_bits):
    return {
        f"{name}id": Out(1),
        f"{name}addr": Out(address_bits),
        f"{name}len": Out(8),
        f"{name}size": Out(3),
        f"{name}burst": Out(2),
        f"{name}cache": Out(4),
        f"{name}prot": Out(3),
        f"{name}valid": Out(1),
        f"{name}ready": In(1),
    }


class Axi4Read(wiring.Signature):
    """The reading half of AXI4, seen from the master, with the one identifier 0; addresses of ``address_bits`` bits."""

    def __init__(self, address_bits=ADDRESS_BITS):
        super().__init__(_address_channel("ar", address_bits) | {
            "rid": In(1),
            "rdata": In(WORD),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        })


class Axi4Write(wiring.Signature):
    """The writing half of AXI4, seen from the master, with the one identifier 0; addresses of ``address_bits`` bits."""

    def __init__(self, address_bits=ADDRESS_BITS):
        super().__init__(_address_channel("aw", address_bits) | {
            "wdata": Out(WORD),
            "wstrb": Out(WORD // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        })


class Axi4(wiring.Signature):
    """Both halves of AXI4, seen from the master."""

    def __init__(self, address_bits=ADDRESS_BITS):
        super().__init__(dict(Axi4Read(address_bits).members.items()) | dict(Axi4Write(address_bits).members.items()))


def forwarded(inner, outer):
    """Statements that lead ``inner``, a half of AXI4 or all of it, to the wires of the same names of ``outer``."""
    return [getattr(outer, name).eq(getattr(inner, name)) if member.flow == Out else
            getattr(inner, name).eq(getattr(outer, name)) for name, member in inner.signature.members.items()]


def _issue(m, axi, name, bursts, allowed):
    """Issue a stream of ``bursts`` on the address channel ``name`` of ``axi``; a new one only while ``allowed``.

    Returns
    -------
    Signal: a burst has been taken from the stream.
    """
    issued = Signal(name=f"{name}_issued")
    wires = {wire: getattr(axi, name + wire) for wire in ("addr", "len", "size", "burst", "cache", "valid", "ready")}
    m.d.comb += [
        issued.eq(bursts.valid & allowed & (~wires["valid"] | wires["ready"])),
        bursts.ready.eq(issued),
        wires["size"].eq(_SIZE), wires["burst"].eq(_INCREMENTING), wires["cache"].eq(_BUFFERABLE),
    ]
    with m.If(wires["ready"]):
        m.d.sync += wires["valid"].eq(0)
    with m.If(issued):
        m.d.sync += [wires["valid"].eq(1), wires["addr"].eq(bursts.p.address), wires["len"].eq(bursts.p.length)]
    return issued


class Reader(wiring.Component):
    """Reads what commands ask for, in order; commands follow each other without a pause.

    Never asks for more than its buffer has room for, so that the bus is never held up. Of a word whose response is
    an error, the data go on as they came. Five clocks and the memory's own from a command to its first word.

    Parameters
    ----------
    depth : int
        Words of the buffer: those that are awaited or not yet taken.
    burst : int
        Most words of a burst: see :class:`Bursts`.
    outstanding : int
        Most bursts that are awaited.
    address_bits : int
        Bits of a byte address.

    Members
    -------
    base : In(address_bits)
        Is added to the address of every command as it is taken.
    command : In(stream.Signature(Command(address_bits)))
    o : Out(stream.Signature(Beat(WORD)))
        The words; ``last`` is that of its command.
    halt : In(1)
        Issue no further burst.
    idle : Out(1)
        No burst is under way: when it is high under ``halt``, a reset does no harm.
    error : Out(1)
        A response was an error; until reset.
    axi : Out(Axi4Read(address_bits))

    Raises
    ------
    ValueError
        ``burst`` cannot be, or is more than the buffer holds.
    """

    def __init__(self, *, depth=512, burst=64, outstanding=32, address_bits=ADDRESS_BITS):
        if depth < burst:
            raise ValueError(f"a buffer of {depth} words has no room for a burst of {burst}")
        self.depth, self.burst, self.outstanding, self.address_bits = depth, burst, outstanding, address_bits
        self.unit_name = f"reader_{depth}_{burst}_{outstanding}_{address_bits}"
        self.bursts = Bursts(burst, address_bits)
        super().__init__({
            "base": In(address_bits),
            "command": In(stream.Signature(Command(address_bits))),
            "o": Out(stream.Signature(Beat(WORD))),
            "halt": In(1),
            "idle": Out(1),
            "error": Out(1),
            "axi": Out(Axi4Read(address_bits)),
        })

    def elaborate(self, platform):
        m = Module()

        axi = self.axi
        bursts = add_unit(m, "bursts", self.bursts, platform)
        lasts = add_unit(m, "lasts", Fifo(1, self.outstanding), platform)  # of each burst that is awaited
        words = add_unit(m, "words", Fifo(WORD + 1, self.depth), platform)
        connect(m, flipped(self.command), bursts.command)
        free = Signal(range(self.depth + 1), init=self.depth)  # words of the buffer that nobody has asked for
        allowed = ~self.halt & lasts.i.ready & (free > bursts.o.p.length)
        issued = _issue(m, axi, "ar", bursts.o, allowed)
        awaited = Signal(range(self.outstanding + 1))  # bursts
        ended = axi.rvalid & axi.rlast
        m.d.comb += [
            bursts.base.eq(self.base),
            lasts.i.payload.eq(bursts.o.p.last), lasts.i.valid.eq(issued), lasts.o.ready.eq(ended),
            axi.rready.eq(1),
            words.i.payload.eq(Cat(axi.rdata, axi.rlast & lasts.o.payload)), words.i.valid.eq(axi.rvalid),
            self.o.payload.eq(words.o.payload), self.o.valid.eq(words.o.valid), words.o.ready.eq(self.o.ready),
            self.idle.eq(awaited == 0),
        ]
        m.d.sync += [
            free.eq(free - Mux(issued, bursts.o.p.length + 1, 0) + (self.o.valid & self.o.ready)),
            awaited.eq(awaited + issued - ended),
            self.error.eq(self.error | (axi.rvalid & axi.rresp[1])),
        ]

        return m


class Writer(wiring.Component):
    """Writes what commands tell, in order; commands follow each other without a pause.

    Data go to the bus as they come, behind the address of their burst, so they ought to come soon after a command.
    Goes on after a response that is an error.

    Parameters
    ----------
    burst : int
        Most words of a burst: see :class:`Bursts`.
    outstanding : int
        Most bursts whose response is awaited.
    address_bits : int
        Bits of a byte address.

    Members
    -------
    base : In(address_bits)
        Is added to the address of every command as it is taken.
    command : In(stream.Signature(Command(address_bits)))
    data : In(stream.Signature(WORD))
        As many words as the commands say.
    completed : Out(1)
        High for a clock when all responses of a command are there: once for each, in order.
    halt : In(1)
        Issue no further burst.
    idle : Out(1)
        No burst is under way: when it is high under ``halt``, a reset does no harm.
    error : Out(1)
        A response was an error; until reset.
    axi : Out(Axi4Write(address_bits))

    Raises
    ------
    ValueError
        ``burst`` cannot be.
    """

    def __init__(self, *, burst=64, outstanding=16, address_bits=ADDRESS_BITS):
        self.burst, self.outstanding, self.address_bits = burst, outstanding, address_bits
        self.unit_name = f"writer_{burst}_{outstanding}_{address_bits}"
        self.bursts = Bursts(burst, address_bits)
        super().__init__({
            "base": In(address_bits),
            "command": In(stream.Signature(Command(address_bits))),
            "data": In(stream.Signature(WORD)),
            "completed": Out(1),
            "halt": In(1),
            "idle": Out(1),
            "error": Out(1),
            "axi": Out(Axi4Write(address_bits)),
        })

    def elaborate(self, platform):
        m = Module()

        axi = self.axi
        bursts = add_unit(m, "bursts", self.bursts, platform)
        lengths = add_unit(m, "lengths", Fifo(8, self.outstanding), platform)  # of bursts whose data are to come
        lasts = add_unit(m, "lasts", Fifo(1, self.outstanding), platform)  # of those and bursts without a response
        connect(m, flipped(self.command), bursts.command)
        issued = _issue(m, axi, "aw", bursts.o, ~self.halt & lasts.i.ready)
        index = Signal(8)  # of a word in its burst
        awaited = Signal(range(self.outstanding + 1))  # bursts
        m.d.comb += [
            bursts.base.eq(self.base),
            lengths.i.payload.eq(bursts.o.p.length), lengths.i.valid.eq(issued),
            lasts.i.payload.eq(bursts.o.p.last), lasts.i.valid.eq(issued),
            axi.wdata.eq(self.data.payload), axi.wstrb.eq(~0), axi.wlast.eq(index == lengths.o.payload),
            axi.wvalid.eq(self.data.valid & lengths.o.valid),
            self.data.ready.eq(axi.wready & lengths.o.valid), lengths.o.ready.eq(axi.wvalid & axi.wready & axi.wlast),
            axi.bready.eq(1), lasts.o.ready.eq(axi.bvalid),
            self.idle.eq(awaited == 0),
        ]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += index.eq(Mux(axi.wlast, 0, index + 1))
        m.d.sync += [
            awaited.eq(awaited + issued - axi.bvalid),
            self.completed.eq(axi.bvalid & lasts.o.payload),
            self.error.eq(self.error | (axi.bvalid & axi.bresp[1])),
        ]

        return m
