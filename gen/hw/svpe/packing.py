# amaranth: UnusedElaboratable=no
"""Results to memory words, and these to the memory in bursts."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...svpe.shape import WORD, WORD_PIXELS
from ..counters import select
from ..frames import VerdictQueue
from ..memory import Queue
from ..units import add_unit
from .dma import Command
from .windows import BLOCK_WORDS, BLOCKS, Block

__all__ = ["Packer", "Sender"]

_UNANSWERED = 32  # commands that can be under way


class Packer(wiring.Component):
    """Results of one lane: the maximum of each window, packed into memory words, and what room there is for these.

    All ports but ``result`` and ``word`` are shared by the lanes.

    Members
    -------
    result : In(signed(32))
    first : In(1)
        It is the first of its window.
    wide : In(1)
        Results are 32 bits, not 16; in the next clock, as the following ones.
    clear : In(1)
        The word begins anew.
    insert : In(8)
        Into which sixteenths of 128 bits the maximum goes.
    keep : In(1)
        Write the word, which is then complete; a clock after ``insert``.
    target : In(range(BLOCKS * BLOCK_WORDS))
        Where to.
    place : In(range(BLOCKS * BLOCK_WORDS))
        What to read.
    word : Out(128)
        That word, at once.
    """

    unit_name = "packer"

    def __init__(self):
        place = range(BLOCKS * BLOCK_WORDS)
        super().__init__({
            "result": In(signed(32)), "first": In(1), "wide": In(1), "clear": In(1), "insert": In(WORD_PIXELS),
            "keep": In(1), "target": In(place), "place": In(place), "word": Out(WORD)})

    def elaborate(self, platform):
        m = Module()

        m.submodules.words = words = Queue(WORD, BLOCKS * BLOCK_WORDS, "words")
        largest = Signal(signed(32), reset_less=True)
        word = Signal(WORD, reset_less=True)
        with m.If(self.first | (self.result > largest)):
            m.d.sync += largest.eq(self.result)
        for k in range(WORD_PIXELS):
            part = largest[:16] if k % 2 == 0 else Mux(self.wide, largest[16:], largest[:16])
            with m.If(self.insert[k]):
                m.d.sync += word.word_select(k, 16).eq(part)
            with m.Elif(self.clear):
                m.d.sync += word.word_select(k, 16).eq(0)
        m.d.comb += [
            words.write.en.eq(self.keep), words.write.addr.eq(self.target), words.write.data.eq(word),
            words.read.addr.eq(self.place), self.word.eq(words.read.data),
        ]

        return m


class Sender(wiring.Component):
    """Store blocks of words, lane after lane, a word a clock.

    Parameters
    ----------
    drains : int
        Lanes.

    Members
    -------
    block : In(Block(drains))
    begin : In(1)
        The words of ``block`` are being computed.
    ready : In(1)
        Those of the oldest block of which they were not are there.
    place : Out(range(BLOCKS * BLOCK_WORDS))
        Word to be read of every lane.
    words : In(drains * 128)
        Those words, at once.
    command : Out(stream.Signature(Command()))
        Where words go.
    data : Out(stream.Signature(128))
        The words of all commands.
    sent : Out(1)
        High for a clock when a block's words have been read.
    completed : In(1)
        High for a clock when a command has been carried out.
    done : Out(1)
        High for a clock when all of a record have.
    """

    def __init__(self, drains):
        self.drains = drains
        self.unit_name = "sender"
        super().__init__({
            "block": In(Block(drains)), "begin": In(1), "ready": In(1),
            "place": Out(range(BLOCKS * BLOCK_WORDS)), "words": In(drains * WORD),
            "command": Out(stream.Signature(Command())), "data": Out(stream.Signature(WORD)),
            "sent": Out(1), "completed": In(1), "done": Out(1)})

    def elaborate(self, platform):
        m = Module()

        layout = Block(self.drains)
        m.submodules.blocks = blocks = Queue(layout.size, BLOCKS, "blocks")
        marks = add_unit(m, "marks", VerdictQueue(_UNANSWERED), platform)
        block = layout(blocks.read.data)
        newest, oldest = Signal(range(BLOCKS)), Signal(range(BLOCKS))
        ready = Signal(range(BLOCKS + 1))
        lane, word = Signal(range(self.drains)), Signal(range(BLOCK_WORDS))
        beyond, address = Signal(32), Signal(32)  # of the next lane; of this one
        first, last, go = (Signal(name=name) for name in ("first", "last", "go"))
        m.d.comb += [
            blocks.write.en.eq(self.begin), blocks.write.addr.eq(newest), blocks.write.data.eq(self.block),
            blocks.read.addr.eq(oldest),
            self.place.eq(Cat(word, oldest)),
            address.eq(Mux(lane == 0, block.address, beyond)),
            first.eq(word == 0), last.eq(word == block.words - 1),
            go.eq((ready != 0) & (~self.data.valid | self.data.ready)
                  & (~first | ((~self.command.valid | self.command.ready) & marks.i.ready))),
            marks.i.valid.eq(go & first), marks.i.payload.eq(block.final & (lane == block.lanes - 1)),
            marks.o.ready.eq(self.completed),
            self.sent.eq(go & last & (lane == block.lanes - 1)),
        ]
        m.d.sync += [
            ready.eq(ready + self.ready - self.sent),
            newest.eq(newest + self.begin), oldest.eq(oldest + self.sent),
            self.done.eq(self.completed & marks.o.payload),
        ]
        with m.If(self.command.ready):
            m.d.sync += self.command.valid.eq(0)
        with m.If(self.data.ready):
            m.d.sync += self.data.valid.eq(0)
        with m.If(go):
            words = [self.words.word_select(k, WORD) for k in range(self.drains)]
            m.d.sync += [self.data.valid.eq(1), self.data.payload.eq(select(words, lane)),
                         word.eq(Mux(last, 0, word + 1))]
        with m.If(go & first):
            m.d.sync += [self.command.valid.eq(1), self.command.p.address.eq(address),
                         self.command.p.words.eq(block.words), beyond.eq(address + block.stride)]
        with m.If(go & last):
            m.d.sync += lane.eq(Mux(self.sent, 0, lane + 1))

        return m
