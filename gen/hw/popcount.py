# amaranth: UnusedElaboratable=no
"""The XNOR-popcount lane: a binary dot product in few LUTs."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bits import Values

__all__ = ["XnorLane"]


def compressed(heights):
    """How many bits of each weight are left of ``heights`` after six of a weight have become three, wherever there are.

    Six bits of weight w count up to 6: a bit of weights w, 2w and 4w each. Three LUT6 take away three bits.
    """
    left = [0] * (len(heights) + 2)
    for weight, height in enumerate(heights):
        sixes, rest = divmod(height, 6)
        for further, bits in enumerate((sixes + rest, sixes, sixes)):
            left[weight + further] += bits
    return left[:len(left) - next(k for k, height in enumerate(reversed(left)) if height)]


def _table(vectors, number):
    """Vectors of the bits of ``number(b)``, from the lowest, for the bits b at each place of up to six ``vectors``.

    A tree of multiplexers over one input after the other, which becomes one LUT6 a bit. Full adders, which share what
    is between, would need half as much again.
    """
    words = [[word >> k & 1 for k in range(len(vectors))] for word in range(1 << len(vectors))]
    numbers = [number(word) for word in words]
    return [_chosen(vectors, [value >> bit & 1 for value in numbers]) for bit in range(max(numbers).bit_length())]


def _chosen(vectors, table):
    """Bits of ``table`` at the numbers that ``vectors`` make up place by place, the first in the lowest bit."""
    *others, vector = vectors
    low, high = table[:len(table) // 2], table[len(table) // 2:]
    if low == high:
        return _chosen(others, low)
    if not any(low):
        return vector & _chosen(others, high) if not all(high) else vector
    if not any(high):
        return ~vector & _chosen(others, low) if not all(low) else ~vector
    if high == [1 - bit for bit in low]:
        return vector ^ _chosen(others, low)
    if all(low):
        return ~vector | _chosen(others, high)
    if all(high):
        return vector | _chosen(others, low)
    return (vector & _chosen(others, high)) | (~vector & _chosen(others, low))


def _agreements(bits):
    """How many bits of the first half are those of the second."""
    half = len(bits) // 2
    return sum(a == b for a, b in zip(bits[:half], bits[half:], strict=True))


def _by_weight(parts):
    """Columns of bits of one weight each, from (weight of the lowest, vectors of bits of ascending weight)."""
    columns = {}
    for weight, vectors in parts:
        for further, vector in enumerate(vectors):
            columns.setdefault(weight + further, []).append(vector)
    return [Cat(columns[weight]) for weight in sorted(columns)]


def _slices(vector, count):
    """``vector`` cut into ``count`` equal ones."""
    size = len(vector) // count
    return [vector[k * size:(k + 1) * size] for k in range(count)]


def _compressed(weight, column):
    """Of each six bits three, and what is left over, as :func:`_by_weight` takes them."""
    whole = len(column) // 6 * 6
    if whole:
        yield weight, _table(_slices(column[:whole], 6), sum)
    yield weight, [column[whole:]]


def _registered(m, columns, name):
    """The same bits a clock later."""
    registers = [Signal(len(column), name=f"{name}_{1 << k}", reset_less=True) for k, column in enumerate(columns)]
    m.d.sync += [register.eq(column) for register, column in zip(registers, columns, strict=True)]
    return registers


class XnorLane(wiring.Component):
    """Binary weights and activations: agreements of ``x`` and ``w`` are counted.

    Reading bits as signs (1 is +1, 0 is -1), the dot product is ``2 * count - simd``. Three agreements become a number
    of two bits, in two LUT6, which absorb the XNOR. Compressors then take six bits of a weight to three in three LUT6,
    level by level, with a register after each, until no weight has six; adders end it. A word outside the image must
    add half its length: ``pad`` resets the last register to that. For an odd ``simd`` counts are then kept in halves,
    to stay exact.

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
    def levels(self):
        """Bits of each weight after the XNORs, and after each level of compressors."""
        found = [[-(-self.simd // 3), (self.simd + 1) // 3]]
        found[0] = found[0][:1 + (self.simd > 1)]
        while max(found[-1]) >= 6:
            found.append(compressed(found[-1]))
        return found

    @property
    def latency(self):
        """Clocks from the vectors to the sum: a register after each level, and every second one of the adders."""
        last = self.levels[-1]
        adders = 1 if sum(last) <= 6 else (max(last) - 1).bit_length()
        return len(self.levels) + ((adders + 1) // 2 if max(last) > 1 else 0)

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

        whole = self.simd // 3 * 3
        parts = [(0, _table([*_slices(self.x[:whole], 3), *_slices(self.w[:whole], 3)], _agreements))] * (whole > 0)
        if whole < self.simd:
            parts.append((0, _table([*self.x[whole:], *self.w[whole:]], _agreements)))
        columns = _by_weight(parts)
        for level in range(1, len(self.levels)):
            columns = _registered(m, columns, f"level{level}")
            columns = _by_weight(part for weight, column in enumerate(columns) for part in _compressed(weight, column))
        height = max(map(len, columns))
        if height > 1:
            columns = _registered(m, columns, "last")
        rows = [Cat(column[k] if k < len(column) else Const(0, 1) for column in columns) for k in range(height)]
        if sum(map(len, columns)) <= 6:
            weights = [1 << weight for weight, column in enumerate(columns) for _ in column]
            rows = [Cat(_table([bit for column in columns for bit in column],
                               lambda word: sum(bit * weight for bit, weight in zip(word, weights, strict=True))))]
        count = self._tree(m, rows)
        half = self._pad(m, count) if self.pads else None
        m.d.comb += self.sum.eq(Cat(half, count) if self.halves else count)

        return m

    def _tree(self, m, terms):
        """Register with the sum of ``terms``."""
        levels = max(1, (len(terms) - 1).bit_length())
        for level in range(levels):
            pairs = [terms[k:k + 2] for k in range(0, len(terms), 2)]
            sums = [sum(pair[1:], pair[0]) for pair in pairs]
            shapes = [range(self.simd + 1)] if level == levels - 1 else [total.shape() for total in sums]
            terms = [Signal(shape, name=f"sum{level}_{k}", reset_less=True) for k, shape in enumerate(shapes)]
            domain = m.d.sync if level % 2 or level == levels - 1 else m.d.comb
            domain += [term.eq(total) for term, total in zip(terms, sums, strict=True)]
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
