"""Finished sums to activations, with parameters that are exchanged from one group of channels to the next."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..counters import select
from .later import later
from .parameters import Entry

__all__ = ["SMALLEST", "Mode", "Rescaler"]

SMALLEST = -1 << 31  # what a position outside the map counts as
_PIECE = 17  # bits of a sum that a DSP block multiplies, besides a sign


class Mode(data.StructLayout):
    """What becomes of a rescaled sum.

    Members
    -------
    raw
        It stays as it is, of 32 bits.
    signed, high
        Otherwise it is clipped to 0 .. ``high``, or, if signed, to ``-high - 1`` .. ``high``.
    bipolar
        It becomes 1, or -1 if it is negative.
    inside
        It counts.
    """

    def __init__(self):
        super().__init__({"raw": 1, "signed": 1, "high": 16, "bipolar": 1, "inside": 1})


class Rescaler(wiring.Component):
    """``(sum * factor + addend) >> shift`` of one lane, clipped: a result a clock.

    The product is a chain of DSP blocks, each for some bits of the sum a clock after those for the lower bits.

    Parameters
    ----------
    acc_bits : int
        Of a sum.

    Members
    -------
    sum : In(signed(acc_bits))
    load : In(1)
        Keep ``entry`` until it is wanted.
    entry : In(Entry)
        Parameters.
    swap : In(swaps)
        Bit k, k clocks after a sum: from that sum on the parameters are those kept.
    mode : In(Mode)
        Of a sum, :attr:`mode_latency` clocks after it.
    result : Out(signed(32))
        :attr:`latency` clocks after its sum.
    """

    def __init__(self, acc_bits):
        self.acc_bits = acc_bits
        self.pieces = max(1, -(-(acc_bits - 1) // _PIECE))
        self.unit_name = f"rescaler_{acc_bits}"
        super().__init__({
            "sum": In(signed(acc_bits)), "load": In(1), "entry": In(Entry()), "swap": In(self.swaps),
            "mode": In(Mode()), "result": Out(signed(32))})

    @property
    def swaps(self):
        """Clocks over which a sum meets its parameters."""
        return self.pieces + 5

    @property
    def mode_latency(self):
        """Clocks from a sum to its mode."""
        return self.pieces + 6

    @property
    def latency(self):
        """Clocks from a sum to its result."""
        return self.pieces + 8

    def elaborate(self, platform):
        m = Module()

        kept = Signal(Entry(), reset_less=True)
        with m.If(self.load):
            m.d.sync += kept.eq(self.entry)

        def register(value, name):
            return later(m, value, 1, name, reset_less=True)[-1]

        def parameter(value, clock, name):
            """What is kept, for the sum that came ``clock + 1`` clocks ago."""
            result = Signal.like(value, name=name, reset_less=True)
            with m.If(self.swap[clock]):
                m.d.sync += result.eq(value)
            return result

        factors = [parameter(kept.factor, number, f"factor{number}") for number in range(self.pieces)]
        addend = parameter(kept.addend, self.pieces + 1, "addend")
        total = register((self._product(m, factors) + addend)[:64].as_signed(), "total")
        for clock, low in enumerate((4, 2, 0), self.pieces + 2):
            amount = parameter(kept.shift[low:low + 2], clock, f"shift{low}")
            total = register(select([total >> (k << low) for k in range(4)], amount), f"shifted{low}").as_signed()
        value = register(Mux(self.mode.raw, total[:32], _saturated(total)).as_signed(), "value")
        mode = register(self.mode, "clip")
        m.d.sync += self.result.eq(Mux(mode.inside, Mux(mode.raw, value, _clipped(value, mode)), SMALLEST))

        return m

    def _product(self, m, factors):
        """The sum times the factor, of which there is a copy for each piece."""
        lows, partial = [], Const(0)
        for number, factor in enumerate(factors):
            piece, left = self.sum[number * _PIECE:], self.pieces - 1 - number
            piece = piece[:_PIECE] if left else piece.as_signed()
            piece = later(m, piece, number + 1, f"piece{number}_", reset_less=True)[-1]
            product = later(m, piece * factor, 1, f"product{number}_", reset_less=True)[-1]
            above = Signal(signed(48), name=f"partial{number}", reset_less=True)
            m.d.sync += above.eq(product + partial)
            if left:
                lows.append(later(m, above[:_PIECE], left, f"low{number}_", reset_less=True)[-1])
            partial = above >> _PIECE
        return Cat(*lows, above).as_signed()


def _saturated(total):
    """32 bits that say what clipping has to know of ``total``: beyond 17 bits it is beyond every bound."""
    sign = total[-1]
    fits = total[16:] == sign.replicate(len(total) - 16)
    return Cat(Mux(fits, total[:16], ~sign.replicate(16)), sign.replicate(16))


def _clipped(value, mode):
    """``value``, which is of 17 bits, within its bounds, or its sign."""
    negative = value[-1]
    size = value[:16] ^ negative.replicate(16)  # of a negative one less 1, so that both are bounded alike
    size = Mux(size > mode.high, mode.high, size)
    bounded = Mux(negative, Mux(mode.signed, ~Cat(size, C(0, 1)), 0), size)
    return Mux(mode.bipolar, Mux(negative, -1, 1), bounded.as_signed())
