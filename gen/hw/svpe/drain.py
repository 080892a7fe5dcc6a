# amaranth: UnusedElaboratable=no
"""Finished sums to feature maps in memory: rescale, pool, pack, store."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...svpe.records import LAYOUTS, Op
from ...svpe.shape import WORD, WORD_PIXELS
from ..units import add_unit
from .dma import Command
from .later import later
from .packing import Packer, Sender
from .parameters import Parameters, ParametersWrite
from .rescaler import Rescaler
from .windows import BLOCK_WORDS, BLOCKS, Windows

__all__ = ["Drain"]


class Drain(wiring.Component):
    """Carry out DRAIN records, one window position of ``shape.drains`` lanes a clock.

    A lane's tile is its ``rows_out`` rows of ``columns_out`` results, 16 bits each or, raw, 32, every row padded with
    zeros to whole words. Results are maxima over windows, each of which has to have a position within the map.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    read_latency : int
        Of :class:`gen.hw.svpe.accumulate.Accumulators`.

    Members
    -------
    i : In(stream.Signature)
        Records, as :data:`gen.svpe.records.LAYOUTS` has them; taken when their last sum is read.
    parameters : In(ParametersWrite())
        Not of a record that has begun.
    read_address, read_group : Out
        Finished sums to be read.
    finished : In(shape.drains * shape.acc_bits)
        These, ``read_latency`` clocks later.
    command : Out(stream.Signature(Command()))
        Where words go, and how many, :data:`BLOCK_WORDS` at most; addresses are those of the record.
    data : Out(stream.Signature(128))
        The words.
    completed : In(1)
        High for a clock when a command has been carried out.
    done : Out(1)
        High for a clock when all of a record have.
    """

    def __init__(self, shape, read_latency):
        self.shape, self.read_latency = shape, read_latency
        self.unit_name = "drain"
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(dict(LAYOUTS[Op.DRAIN])))),
            "parameters": In(ParametersWrite()),
            "read_address": Out(range(shape.out_depth)),
            "read_group": Out(range(max(2, shape.lanes // shape.drains))),
            "finished": In(shape.drains * shape.acc_bits),
            "command": Out(stream.Signature(Command())),
            "data": Out(stream.Signature(WORD)),
            "completed": In(1),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        drains = self.shape.drains
        windows = add_unit(m, "windows", Windows(self.shape), platform)
        parameters = add_unit(m, "parameters", Parameters(drains), platform)
        sender = add_unit(m, "sender", Sender(drains), platform)
        connect(m, flipped(self.i), windows.i)
        connect(m, flipped(self.parameters), parameters.write)
        connect(m, sender.command, flipped(self.command))
        connect(m, sender.data, flipped(self.data))
        m.d.comb += [
            parameters.wanted.eq(windows.wanted), parameters.index.eq(windows.index),
            parameters.plain.eq(windows.plain), parameters.start.eq(windows.start),
            windows.loaded.eq(parameters.loaded), windows.sent.eq(sender.sent),
            self.read_address.eq(windows.address), self.read_group.eq(windows.group),
            sender.block.eq(windows.block), sender.begin.eq(windows.step.close),
            sender.completed.eq(self.completed), self.done.eq(sender.done),
        ]
        rescalers = [add_unit(m, f"rescaler{lane}", Rescaler(self.shape.acc_bits), platform) for lane in range(drains)]
        packers = [add_unit(m, f"packer{lane}", Packer(), platform) for lane in range(drains)]
        steps = later(m, windows.step, self.read_latency + rescalers[0].latency + 2, "step")
        arrived = steps[self.read_latency:]
        swaps = Cat(step.swap for step in arrived[:rescalers[0].swaps])
        m.d.comb += parameters.taken.eq(swaps[-1])
        for lane, (rescaler, packer) in enumerate(zip(rescalers, packers, strict=True)):
            m.d.comb += [
                rescaler.sum.eq(self.finished.word_select(lane, self.shape.acc_bits)),
                rescaler.load.eq(parameters.load[lane]), rescaler.entry.eq(parameters.entry),
                rescaler.swap.eq(swaps), rescaler.mode.eq(arrived[rescaler.mode_latency].mode),
                packer.result.eq(rescaler.result),
            ]
        self._pack(m, steps[-3:], packers, sender)

        return m

    def _pack(self, m, steps, packers, sender):
        """Lead results to words: ``steps`` are those of the results, and the same one and two clocks later."""
        result, largest, word = steps
        where = Signal(WORD_PIXELS)  # of the word the result would go to
        insert, clear = Signal.like(where), Signal()
        target = Signal(range(BLOCKS * BLOCK_WORDS))
        m.d.comb += where.eq(Mux(result.mode.raw, 0b11 << (result.slot << 1), 1 << result.slot))
        m.d.sync += [insert.eq(Mux(result.last, where, 0)), clear.eq(result.last & (result.slot == 0))]
        with m.If(word.close):
            m.d.sync += target.eq((target | BLOCK_WORDS - 1) + 1)
        with m.Elif(word.full):
            m.d.sync += target.eq(target + 1)
        m.d.comb += [sender.ready.eq(word.close),
                     sender.words.eq(Cat(packer.word for packer in packers))]
        for packer in packers:
            m.d.comb += [
                packer.first.eq(result.first), packer.wide.eq(largest.mode.raw), packer.clear.eq(clear),
                packer.insert.eq(insert), packer.keep.eq(word.full), packer.target.eq(target),
                packer.place.eq(sender.place),
            ]
