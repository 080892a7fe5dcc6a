# amaranth: UnusedElaboratable=no
"""The XNOR-popcount lane: a binary dot product in few LUTs."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values

__all__ = ["XnorLane"]


def _sum3(a, b, c):
    """Sum of three one- or two-bit numbers as plain logic: each result bit is one six-input LUT."""
    low = [x[0] for x in (a, b, c)]
    ones = low[0] ^ low[1] ^ low[2]
    carry = low[0] & low[1] | low[0] & low[2] | low[1] & low[2]
    if max(map(len, (a, b, c))) == 1:
        return Cat(ones, carry)
    high = [x[1] if len(x) > 1 else Const(0, 1) for x in (a, b, c)]
    twos = high[0] ^ high[1] ^ high[2]
    fours = high[0] & high[1] | high[0] & high[2] | high[1] & high[2]
    return Cat(ones, twos ^ carry, fours ^ (twos & carry), fours & twos & carry)


class XnorLane(wiring.Component):
    """Binary weights and activations: agreements of ``x`` and ``w`` are counted.

    Reading bits as signs (1 is +1, 0 is -1), the dot product is ``2 * count - simd``. Two levels of three-to-one sums
    come first, each result bit one LUT6 (the first absorbs the XNOR), then an adder tree. A word outside the image
    must add half its length: ``pad`` resets the last register to that. For an odd ``simd`` counts are then kept in
    halves, to stay exact.

    Parameters
    ----------
    simd : int
        Number of bits in each vector.
    pad : bool
        Whether there is a ``pad`` input.

    Members
    -------
    x, w : In(simd)
        Activations and weights.
    pad : In(1)
        This word lies outside the image.
    sum : Out
        Count (or twice the count), ``latency`` clocks later.
    """

    def __init__(self, simd, pad=False):
        self.simd, self.pads = simd, pad
        self.halves = pad and simd % 2 == 1
        self.unit_name = f"xnor_popcount_{simd}" + "_pad" * pad
        super().__init__({"x": In(simd), "w": In(simd), "sum": Out(range((simd << self.halves) + 1))}
                         | ({"pad": In(1)} if pad else {}))

    @property
    def radices(self):
        """Terms that each level of the tree adds; a register follows every second level and the last."""
        radices, reach = [3], 3
        while reach < self.simd:
            radices.append(3 if len(radices) < 2 else 2)
            reach *= radices[-1]
        return radices

    @property
    def latency(self):
        """Clocks from the vectors to the sum."""
        return (len(self.radices) + 1) // 2

    @property
    def gain(self):
        """Dot product per unit of ``sum``."""
        return 1 if self.halves else 2

    def offsets(self, rows):
        """Dot product of each row of weights where ``sum`` totals 0."""
        return [-len(row) for row in rows]

    def total(self, length):
        """Values that the sum over a row of ``length`` weights takes."""
        return Values(0, length << self.halves)

    def elaborate(self, platform):
        m = Module()

        agree = Signal(self.simd)
        m.d.comb += agree.eq(~(self.x ^ self.w))

        terms, reach = list(agree), 1
        for number, radix in enumerate(self.radices):
            reach *= radix
            groups = [terms[k:k + radix] for k in range(0, len(terms), radix)]
            terms = [Signal(range(min(reach, self.simd) + 1), name=f"sum{number}_{k}", reset_less=True)
                     for k in range(len(groups))]
            clocked = number % 2 or number == len(self.radices) - 1
            domain = m.d.sync if clocked else m.d.comb
            for total, group in zip(terms, groups, strict=True):
                domain += total.eq(_sum3(*group, *[Const(0, 1)] * (3 - len(group))) if radix == 3
                                   else sum(group[1:], group[0]))
        count = terms[0]
        if self.pads:
            half = self.pad
            for k in range(self.latency):
                if k == self.latency - 1:
                    with m.If(half):
                        m.d.sync += count.eq(self.simd // 2)
                delayed = Signal(name=f"pad{k}", reset_less=True)
                m.d.sync += delayed.eq(half)
                half = delayed
        m.d.comb += self.sum.eq(Cat(half, count) if self.halves else count)

        return m
