# amaranth: UnusedElaboratable=no
"""The lane of binary weights: a dot product whose every product is an XNOR, in few LUTs."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values
from .popcount import Plan, compressed

__all__ = ["BinaryLane"]


class BinaryLane(wiring.Component):
    """Binary weights and integer activations, among them binary ones: agreements of ``x`` and ``w`` are added up.

    Of binary activations (1 is +1, 0 is -1) the dot product is ``2 * count - simd``. An activation of more bits comes
    as its distance from the least of as many bits (its sign bit, if it has one, inverted): where ``w`` is 0 it is taken
    from the greatest number of as many bits, which makes it the XNOR of all its bits. So all that is added is positive.

    A product outside the image must add a half to a binary lane's count: ``missing`` ones always do, the others while
    ``pad`` says so. Where that leaves halves, they are counted in, to stay exact.

    Parameters
    ----------
    simd : int
        Products in a clock.
    values : gen.bits.Values
        What activations can be.
    pad : bool
        Whether there is a ``pad`` input, of binary activations.
    missing : int
        Further products, which are always outside the image.
    halves : bool
        Whether halves are counted.
    wired : bool
        Whether weights never change: then ``x`` are the agreements, and there is no ``w``.

    Members
    -------
    x : In(simd * values.bits)
        Activations.
    w : In(simd)
        Weights.
    pad : In(1)
        This word lies outside the image; ``pad_delay`` clocks after it.
    row0, row1 : Out
        Numbers whose sum is the count (or twice the count), ``latency`` clocks later.
    """

    rows = ("row0", "row1")

    def __init__(self, simd, values, *, pad=False, missing=0, halves=False, wired=False):
        self.simd, self.values, self.pads, self.missing, self.halves = simd, values, pad, missing, halves
        self.wired = wired
        self.unit_name = f"binary_lane_{simd}" + "".join(part for part, there in (
            (f"_{values.label}", not values.bipolar), ("_pad", pad), (f"_missing{missing}", missing),
            ("_halves", halves), ("_wired", wired)) if there)
        self.constant = (missing << halves) // 2
        self.most = (simd * ((1 << values.bits) - 1) << halves) + self.constant
        width = self.most.bit_length()
        terms = ([0] * halves + [simd] * values.bits + [0] * width)[:width]
        ones = [self.constant >> weight & 1 for weight in range(width)]
        self.plan = Plan([], [a + b for a, b in zip(terms, ones, strict=True)], width) if wired else Plan(
            terms, ones, width)
        super().__init__({"x": In(simd * values.bits), "row0": Out(width), "row1": Out(width)}
                         | ({} if wired else {"w": In(simd)}) | ({"pad": In(1)} if pad else {}))

    @property
    def latency(self):
        """Clocks from the vectors to the rows."""
        return self.plan.latency

    @property
    def pad_delay(self):
        """Clocks from the vectors to their ``pad``."""
        return self.latency - 1

    @property
    def gain(self):
        """Dot product per unit of the count."""
        return 2 if self.values.bipolar and not self.halves else 1

    def code(self, value):
        """Code of an activation as it has to come."""
        code = int(self.values.encode(value))
        return code ^ (1 << self.values.bits - 1) if self.values.signed else code

    def offsets(self, rows):
        """Dot product of each row of weights where counts total 0."""
        if self.values.bipolar:
            return [-len(row) for row in rows]
        greatest = (1 << self.values.bits) - 1
        lo = -(1 << self.values.bits - 1) if self.values.signed else 0
        negative = [sum(int(w) < 0 for w in row) for row in rows]
        return [lo * (len(row) - count) - (greatest + lo) * count for row, count in zip(rows, negative, strict=True)]

    def total(self, layer):
        """Values that the sum over any row of ``layer`` takes."""
        return Values(0, layer.fan_in * ((1 << self.values.bits) - 1) << self.halves)

    def elaborate(self, platform):
        m = Module()

        bits, empty = self.values.bits, Const(0, 0)
        terms = [empty] * self.halves + [Cat(self.x[bit::bits]) for bit in range(bits)]
        ones = [[Const(1, 1)] * (self.constant >> weight & 1) for weight in range(self.plan.width)]
        if self.wired:
            for column, term in zip(ones, terms, strict=False):
                column.append(term)
        pairs = [] if self.wired else [(x, self.w if len(x) else empty) for x in terms]
        rows = compressed(m, platform, self.plan, pairs, ones)
        m.d.comb += [self.row0.eq(rows[0]), self.row1.eq(rows[1])]
        if self.pads:
            with m.If(self.pad):
                m.d.sync += [rows[0].eq((self.simd << self.halves) // 2 + self.constant), rows[1].eq(0)]

        return m
