# amaranth: UnusedElaboratable=no
"""The array: row chains of all lanes, and how their weights get there."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..units import add_unit
from .chain import chain_for
from .controls import Controls

__all__ = ["Cluster", "Lane"]


class Lane(wiring.Component):
    """All chains of one output channel, which add up.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    x : In(chains * taps * pixel_bits)
    swap : In(chains * taps)
        As those of :class:`Cluster`.
    code : In(code_bits)
        A weight.
    first : In(1)
        It is that of a chain's first cell.
    load : In(chains * taps)
        For which cell it is; a clock later than ``code``.
    sum : Out(signed(sum_bits))
    """

    def __init__(self, shape):
        self.shape, self.chains, self.taps = shape, shape.chains, shape.taps
        self.code_bits, self.pixel_bits = shape.code_bits, shape.pixel_bits
        self.unit_name = f"{shape.form}_lane_{self.chains}x{self.taps}x{self.pixel_bits}_{shape.bits}"
        cells = self.chains * self.taps
        super().__init__({
            "x": In(cells * self.pixel_bits), "swap": In(cells), "code": In(self.code_bits), "first": In(1),
            "load": In(cells), "sum": Out(signed(shape.sums.bits))})

    def elaborate(self, platform):
        m = Module()

        layout = Controls(self.shape)
        controls = Signal(layout, reset_less=True)
        decoded = layout.decode(self.code, self.first, controls)
        m.d.sync += [controls[name].eq(value) for name, value in decoded.items()]

        above = Const(0)
        for r in range(self.chains):
            chain = add_unit(m, f"chain{r}", chain_for(self.shape, r == 0), platform)
            m.d.comb += [
                chain.x.eq(self.x.word_select(r, self.taps * self.pixel_bits)),
                chain.swap.eq(self.swap.word_select(r, self.taps)), chain.load.eq(self.load.word_select(r, self.taps)),
                chain.controls.eq(controls), chain.above.eq(above)]
            above = chain.below
        m.d.comb += self.sum.eq(chain.sum)

        return m


class Cluster(wiring.Component):
    """The array: ``lanes`` times ``chains`` times ``taps`` cells, of which every one multiplies and adds each clock.

    A chain works ``skew`` clocks behind the one above it: with the pixel of cell (0, 0) in clock T, that of cell (r, t)
    comes in clock T + skew * r + t, and the sums over all cells are there in clock T + ``latency``.

    While the array works, the weights of the next pass are loaded, which are a word for each cell, in order: cell 0 of
    chain 0, cell 1 of chain 0, and so on. They are taken cell by cell, just before the pixels that they are for come;
    loading goes on once all cells of chain 0 have taken theirs, as it cannot overtake those of other chains.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape

    Members
    -------
    x : In(chains * taps * pixel_bits)
        Pixels, signed; of cell (r, t) item r * taps + t.
    swap : In(chains * taps)
        For each cell, that the next clock's pixel is the first of a pass.
    weights : In(stream.Signature(lanes * code_bits))
    loaded : Out(1)
        All weights of the next pass are there.
    start : In(1)
        They are taken: that pass begins, with its first pixel for cell (0, 0) not before the second clock from now.
    sums : Out(lanes * sum_bits)
        Signed.
    """

    def __init__(self, shape):
        self.shape, self.lanes = shape, shape.lanes
        self.sum_bits = shape.sums.bits
        self.unit_name = f"{Lane(shape).unit_name}_cluster{self.lanes}"
        cells = shape.chains * shape.taps
        super().__init__({
            "x": In(cells * shape.pixel_bits), "swap": In(cells), "weights": In(stream.Signature(shape.word_bits)),
            "loaded": Out(1), "start": In(1), "sums": Out(self.lanes * self.sum_bits)})

    @property
    def skew(self):
        """Clocks from a chain to the next."""
        return self.shape.taps if self.shape.form == "vpe" else 1

    @property
    def latency(self):
        """Clocks from the pixel of cell (0, 0) to the sums."""
        return self.skew * (self.shape.chains - 1) + self.shape.taps + 2

    def elaborate(self, platform):
        m = Module()

        taps, cells = self.shape.taps, self.shape.chains * self.shape.taps
        turn = Signal(cells, init=1)  # whose weights come next
        loading = Signal(init=1)
        code = Signal.like(self.weights.payload, name="code", reset_less=True)
        first = Signal(reset_less=True)
        taken, load = Signal(cells), Signal(cells)
        m.d.comb += self.weights.ready.eq(loading)
        m.d.sync += [code.eq(self.weights.payload), first.eq(turn[::taps].any()), taken.eq(0), load.eq(taken)]
        with m.If(self.weights.valid & loading):
            m.d.sync += [taken.eq(turn), turn.eq(turn.rotate_left(1)), loading.eq(~turn[-1])]
        with m.If(self.swap[taps - 1]):
            m.d.sync += loading.eq(1)
        with m.If(taken[-1]):
            m.d.sync += self.loaded.eq(1)
        with m.If(self.start):
            m.d.sync += self.loaded.eq(0)

        for k in range(self.lanes):
            lane = add_unit(m, f"lane{k}", Lane(self.shape), platform)
            m.d.comb += [
                lane.x.eq(self.x), lane.swap.eq(self.swap), lane.first.eq(first), lane.load.eq(load),
                lane.code.eq(code.word_select(k, self.shape.code_bits)),
                self.sums.word_select(k, self.sum_bits).eq(lane.sum)]

        return m
