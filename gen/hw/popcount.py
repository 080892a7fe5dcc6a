# amaranth: UnusedElaboratable=no
"""The XNOR-popcount lane: a binary dot product in few LUTs."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values

__all__ = ["XnorLane"]


def _full_add(a, b, c):
    """Sums and carries of three vectors, bit by bit."""
    return a ^ b ^ c, a & b | a & c | b & c


def _thirds(vector):
    size = len(vector) // 3
    return vector[:size], vector[size:2 * size], vector[2 * size:]


class XnorLane(wiring.Component):
    """Binary weights and activations: agreements of ``x`` and ``w`` are counted.

    Reading bits as signs (1 is +1, 0 is -1), the dot product is ``2 * count - simd``. Two levels of full adders count
    nine bits each, every result bit of a level one LUT6 (the first absorbs the XNOR); an adder tree follows. A word
    outside the image must add half its length: ``pad`` resets the last register to that. For an odd ``simd`` counts
    are then kept in halves, to stay exact.

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
    def nines(self):
        """Groups of nine bits."""
        return -(-self.simd // 9)

    @property
    def latency(self):
        """Clocks from the vectors to the sum: a register after the full adders and every second level of the tree."""
        return 1 + ((self.nines - 1).bit_length() + 1) // 2

    @property
    def gain(self):
        """Dot product per unit of ``sum``."""
        return 1 if self.halves else 2

    def offsets(self, rows):
        """Dot product of each row of weights where ``sum`` totals 0."""
        return [-len(row) for row in rows]

    def total(self, layer):
        """Values that the sum over any row of ``layer`` takes."""
        return Values(0, layer.fan_in << self.halves)

    def elaborate(self, platform):
        m = Module()

        agree = Signal(9 * self.nines)  # missing inputs never agree
        m.d.comb += agree[:self.simd].eq(~(self.x ^ self.w))
        ones, twos = (Signal(3 * self.nines, name=name) for name in ("ones", "twos"))
        m.d.comb += Cat(ones, twos).eq(Cat(*_full_add(*_thirds(agree))))
        # Of three numbers of two bits: the sum of the ones carries into that of the twos.
        (weight1, carry1), (sum2, carry2) = _full_add(*_thirds(ones)), _full_add(*_thirds(twos))
        weights = [weight1, sum2 ^ carry1, carry2 ^ (sum2 & carry1), carry2 & sum2 & carry1]
        counts = [Signal(self.nines, name=f"count{1 << k}", reset_less=True) for k in range(4)]
        m.d.sync += [count.eq(weight) for count, weight in zip(counts, weights, strict=True)]

        terms = [Cat(count[k] for count in counts) for k in range(self.nines)]
        count = self._tree(m, terms) if self.nines > 1 else Cat(counts)
        half = self._pad(m, count) if self.pads else None
        m.d.comb += self.sum.eq(Cat(half, count) if self.halves else count)

        return m

    def _tree(self, m, terms):
        """Register with the sum of ``terms``."""
        levels = (len(terms) - 1).bit_length()
        for level in range(levels):
            pairs = [terms[k:k + 2] for k in range(0, len(terms), 2)]
            bound = min(self.simd, 18 << level)
            terms = [Signal(range(bound + 1), name=f"sum{level}_{k}", reset_less=True) for k in range(len(pairs))]
            domain = m.d.sync if level % 2 or level == levels - 1 else m.d.comb
            domain += [term.eq(sum(pair[1:], pair[0])) for term, pair in zip(terms, pairs, strict=True)]
        return terms[0]

    def _pad(self, m, count):
        """Replace the register ``count`` by half of ``simd`` where the word is padding; returns when it is, as late."""
        delayed = self.pad
        for k in range(self.latency):
            register, source = Signal(name=f"pad{k}", reset_less=True), delayed
            m.d.sync += register.eq(source)
            delayed = register
        with m.If(source):
            m.d.sync += count.eq(self.simd // 2)
        return delayed
