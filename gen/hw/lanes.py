# amaranth: UnusedElaboratable=no
"""The arithmetic of one processing element: a dot product of ``simd`` weights and activations a clock.

Each lane has inputs ``x`` (packed activations), ``w`` (packed weights) and, if asked, ``pad`` (this word lies outside
the image and adds nothing), which comes ``pad_delay`` clocks after them, and ``rows``: outputs that are to be added,
``latency`` clocks after them. Summed over a whole row of weights, what it puts out is the dot product ``gain * sum +
offset``; gain and offset are the lane's own business and are folded into the thresholds, so that each lane may count in
the cheapest way.
"""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bits import Powers, Values
from .binary_lane import BinaryLane
from .codes import decoded
from .counters import select
from .multiplier import Multiplier

__all__ = ["MultiplyLane", "ShiftLane", "lane_for"]


def _ports(simd, x_bits, w_bits, pad, total):
    ports = {"x": In(simd * x_bits), "w": In(simd * w_bits), "sum": Out(_shape(total))}
    return ports | {"pad": In(1)} if pad else ports


class _Coded:
    """Activations in their own codes."""

    def code(self, value):
        """Code of an activation as it has to come."""
        return int(self.values.encode(value))


def _shape(values):
    return Shape(values.bits, values.signed)


def _tree(m, terms):
    """Sum of ``terms``, registered after every second level of adders and at the end."""
    levels = max(1, (len(terms) - 1).bit_length())
    for level in range(levels):
        pairs = [terms[k:k + 2] for k in range(0, len(terms), 2)]
        domain = m.d.sync if level % 2 or level == levels - 1 else m.d.comb
        terms = []
        for k, pair in enumerate(pairs):
            total = sum(pair[1:], pair[0])
            terms.append(Signal(total.shape(), name=f"sum{level}_{k}", reset_less=True))
            domain += terms[-1].eq(total)
    return terms[0]


def _tree_latency(count):
    return (max(1, (count - 1).bit_length()) + 1) // 2


class ShiftLane(_Coded, wiring.Component):
    """Weights that are powers of two: activations are shifted, then added or subtracted, without a multiplier.

    The paper's SVPE (Chen et al. 2020), of which every adder takes in a sign for nothing: ``a - b`` is
    ``a + ~b + 1``, both of which fit the LUTs and the carry chain of ``a + b``. So an adder is told whether its
    operands' signs differ, and its sum has the left one's sign; only the very first shift is negated by itself.
    """

    gain, rows, missing = 1, ("sum",), 0

    def __init__(self, simd, values, weights):
        self.simd, self.values, self.weights = simd, values, weights
        self.unit_name = f"shift_lane_{simd}_{values.label}_{weights.label}"
        reach = max(-values.lo, values.hi) * weights.hi
        self.word = Values(min(0, values.lo) * weights.term.hi, max(0, values.hi) * weights.term.hi)
        super().__init__(_ports(simd, values.bits, weights.bits, False, Values(-reach * simd, reach * simd)))

    @property
    def terms(self):
        """Shifted activations that are added: one for each power of each weight."""
        return self.simd * self.weights.terms

    @property
    def latency(self):
        """Clocks from ``x`` and ``w`` to ``sum``."""
        return 1 + _tree_latency(self.terms)

    def offsets(self, rows):
        """Dot product of each row of weights where ``sum`` totals 0."""
        return [0] * len(rows)

    def total(self, layer):
        """Values that the sum over any row of ``layer`` takes: as wide as its weights make them, no wider."""
        low, high = layer.bounds
        return Values(int(low.min()), int(high.max()))

    def elaborate(self, platform):
        m = Module()

        terms = [self._shifted(m, k) for k in range(self.terms)]
        levels = max(1, (self.terms - 1).bit_length())
        for level in range(levels):
            domain = m.d.sync if level % 2 or level == levels - 1 else m.d.comb
            terms = [_added(domain, f"{level}_{k}", *terms[2 * k:2 * k + 2]) for k in range((len(terms) + 1) // 2)]
        m.d.comb += self.sum.eq(terms[0][0])

        return m

    def _shifted(self, m, k):
        """Activation times power ``k``, whether that is negative, and the product's values.

        Of the first one the product itself.
        """
        x = decoded(self.x.word_select(k // self.weights.terms, self.values.bits), self.values)
        code = self.w.word_select(k, self.weights.term.bits)
        number, negative, word = code[:-1], code[-1], self.word
        if k == 0:
            x, negative = Mux(negative, -x, x), Const(0)
            word = Values(min(word.lo, -word.hi), max(word.hi, -word.lo))
        term = Signal(_shape(word), name=f"term{k}", reset_less=True)
        sign = Signal(name=f"negative{k}", reset_less=True)
        m.d.sync += sign.eq(negative)
        if self.weights.count <= 3:  # a LUT a bit
            m.d.sync += term.eq(select([Const(0), *(x << power for power in range(self.weights.count))], number))
        else:  # the lower two bits of the number shift by up to 3, the upper ones by multiples of 4; number 1 is 1
            near = select([x << power for power in range(4)], number[:2])
            far = select([near << power for power in range(0, self.weights.count + 1, 4)], number[2:])
            m.d.sync += term.eq(far >> 1)
            with m.If(number == 0):
                m.d.sync += term.eq(0)
        return term, sign, word


def _added(domain, name, left, right=None):
    """A term with the sign of ``left``, and the sum: both are (size, whether it is negative, values of the size)."""
    a, sign, values = left
    total = a
    if right is not None:
        b, other, more = right
        values = Values(values.lo + min(more.lo, -more.hi), values.hi + max(more.hi, -more.lo))
        differ, b = sign ^ other, b[:].as_signed() if more.signed else Cat(b, Const(0, 1)).as_signed()
        inverted = b ^ differ.replicate(len(b)).as_signed()
        total = (Cat(Const(1, 1), a).as_signed() if left[2].signed else Cat(Const(1, 1), a)) + Cat(
            differ, inverted).as_signed() >> 1  # the lowest bit makes the carry
    result = Signal(_shape(values), name=f"sum{name}", reset_less=True)
    negative = Signal(name=f"sign{name}", reset_less=True)
    domain += [result.eq(total), negative.eq(sign)]
    return result, negative, values


class MultiplyLane(_Coded, wiring.Component):
    """Integer multiply-add for everything else; bipolar operands are decoded to -1 and +1.

    ``multiplier``: what multiplies, one of :data:`gen.network.MULTIPLIERS`; empty: what the synthesis tool chooses.
    """

    def __init__(self, simd, values, weights, pad, multiplier=""):
        self.simd, self.values, self.weights, self.pads, self.multiplier = simd, values, weights, pad, multiplier
        self.unit_name = f"multiply_lane_{simd}_{values.label}_{weights.label}" + "_pad" * pad + (
            f"_{multiplier}" if multiplier else "")
        corners = [a * b for a in (values.lo, values.hi) for b in (weights.lo, weights.hi)]
        self.word = Values(min(0, *corners), max(0, *corners))
        super().__init__(_ports(simd, values.bits, weights.bits, pad, Values(
            self.word.lo * simd, self.word.hi * simd)))

    gain, rows, missing, pad_delay = 1, ("sum",), 0, 0

    @property
    def latency(self):
        """Clocks from ``x`` and ``w`` to ``sum``."""
        return 1 + _tree_latency(self.simd)

    def offsets(self, rows):
        """Dot product of each row of weights where ``sum`` totals 0."""
        return [0] * len(rows)

    def total(self, layer):
        """Values that the sum over any row of ``layer`` takes."""
        return Values(self.word.lo * layer.fan_in, self.word.hi * layer.fan_in)

    def elaborate(self, platform):
        m = Module()

        terms = []
        for k in range(self.simd):
            x = decoded(self.x.word_select(k, self.values.bits), self.values)
            x = Mux(self.pad, 0, x) if self.pads else x
            w = decoded(self.w.word_select(k, self.weights.bits), self.weights)
            terms.append(self._product(m, x, w, f"product{k}"))
        m.d.comb += self.sum.eq(_tree(m, terms))

        return m

    def _product(self, m, x, w, name):
        """``x * w``, a clock later."""
        product = Signal(_shape(self.word), name=name, reset_less=True)
        if not self.multiplier:
            m.d.sync += product.eq(x * w)
            return product
        m.submodules[name] = unit = Multiplier(_signed(m, x, f"{name}_x"), _signed(m, w, f"{name}_w"),
                                               product.shape(), self.multiplier, name)
        m.d.comb += product.eq(unit.product)
        return product


def _signed(m, value, name):
    """``value`` as a signal of signed numbers."""
    shape = value.shape()
    result = Signal(signed(shape.width + (not shape.signed)), name=name)
    m.d.comb += result.eq(value)
    return result


def lane_for(layer, simd, taps=1, outside=0, wired=False):
    """The cheapest lane that computes ``layer`` (a :class:`gen.network.Conv`) exactly.

    Parameters
    ----------
    layer : gen.network.Conv
    simd, taps : int
        Channels, and kernel columns, whose products are added in a clock.
    outside : int
        How many of these columns always lie outside the image, where that adds nothing.
    wired : bool
        Whether weights never change.
    """
    values, weights = layer.input.values, layer.weight_values
    third_symbol = layer.padded and layer.pad_value not in values
    if layer.binary:
        return BinaryLane(simd * (taps - outside), values, pad=third_symbol, missing=simd * outside,
                          halves=third_symbol and simd % 2 == 1, wired=wired)
    if isinstance(weights, Powers) and not layer.multiplier:
        return ShiftLane(simd * taps, values, weights)
    return MultiplyLane(simd * taps, values, weights, third_symbol, layer.multiplier)
