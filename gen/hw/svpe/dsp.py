"""A DSP block of AMD's UltraScale devices; and as the array uses it: a product, and three that are added."""

from amaranth import *

__all__ = ["W_C", "W_RND", "XY_M", "Z_C", "Z_P", "Z_PCIN", "Z_ZERO", "Dsp", "primitive"]

# OPMODE says what the four operands of the adder are (UG579, tables 2-3 to 2-6).
W_RND, W_C = 0b10 << 7, 0b11 << 7  # bits 8:7, W: 00 is 0, 01 P, 10 RND, 11 C
Z_ZERO, Z_PCIN, Z_P, Z_C = (code << 4 for code in range(4))  # bits 6:4, Z: others are what is shifted by 17
XY_M = 0b01 << 2 | 0b01  # bits 3:2, Y, and 1:0, X: 01 is M; the two take a half of the product each

_VECTORS = {"A": 30, "B": 18, "C": 48, "D": 27, "PCIN": 48, "ACIN": 30, "BCIN": 18, "OPMODE": 9, "ALUMODE": 4,
            "INMODE": 5, "CARRYINSEL": 3}  # fmt: skip
_BITS = ("CARRYIN", "CARRYCASCIN", "MULTSIGNIN",
         *(f"CE{name}" for name in ("A1", "A2", "B1", "B2", "C", "D", "AD", "M", "P", "ALUMODE", "CTRL", "INMODE",
                                    "CARRYIN")),
         *(f"RST{name}" for name in ("A", "B", "C", "D", "M", "P", "ALUMODE", "CTRL", "INMODE", "ALLCARRYIN")))
_INPUTS = _VECTORS | dict.fromkeys(_BITS, 1)
_ATTRIBUTES = {
    "USE_MULT": "MULTIPLY", "USE_SIMD": "ONE48", "BMULTSEL": "B", "A_INPUT": "DIRECT", "B_INPUT": "DIRECT", "AREG": 1,
    "ACASCREG": 1, "BREG": 2, "BCASCREG": 2, "CREG": 1, "MREG": 1, "PREG": 1, "ALUMODEREG": 1, "INMODEREG": 0,
    "CARRYINREG": 0, "CARRYINSELREG": 0}


def primitive(attributes, inputs, outputs):
    """Instance of a DSP48E2 that multiplies, with 48 bits and registers all the way; inputs not given are 0."""
    inputs = {name: Const(0, width) for name, width in _INPUTS.items()} | {"CLK": ClockSignal()} | inputs
    outputs = {"PCOUT": Signal(48, name="unused")} | outputs
    return Instance("DSP48E2", **{f"p_{name}": value for name, value in (_ATTRIBUTES | attributes).items()},
                    **{f"i_{name}": value for name, value in inputs.items()},
                    **{f"o_{name}": value for name, value in outputs.items()})


class Dsp(Elaboratable):
    """A DSP48E2: ``total`` is ``above`` plus or minus ``x`` * factor + ``addend``.

    The factor is double-buffered. In Amaranth's simulator this is ordinary arithmetic; while emitting, the primitive.

    Parameters
    ----------
    head : bool
        It is the first of its cascade: nothing is above.

    Members
    -------
    x
        27 bits, signed; three clocks before its ``total``.
    factor, load, swap
        18 bits, signed: it becomes the next factor at ``load``; that becomes the factor at ``swap``, for the ``x`` that
        comes in the same clock.
    addend
        48 bits, signed; two clocks before its ``total``.
    negative, settle
        Whether to subtract, from the second ``total`` after ``settle`` on.
    above, below
        48 bits: ``total`` of the block above, a clock before that of this one; ``total`` for the block below.
    total
        48 bits, signed.
    """

    def __init__(self, head=False):
        self.head = head
        self.x = Signal(signed(27), name="dsp_x")
        self.factor = Signal(signed(18), name="dsp_factor")
        self.addend = Signal(signed(48), name="dsp_addend")
        self.load, self.swap, self.negative, self.settle = (
            Signal(name=f"dsp_{name}") for name in ("load", "swap", "negative", "settle"))
        self.above, self.below = Signal(48, name="dsp_above"), Signal(48, name="dsp_below")
        self.total = Signal(signed(48), name="dsp_total")

    def elaborate(self, platform):
        if hasattr(platform, "instance"):
            return self.primitive()
        m = Module()

        x, following, factor, product, addend, subtract, total = (
            Signal(shape, name=name, reset_less=True) for name, shape in {
                "a": signed(27), "b1": signed(18), "b2": signed(18), "m": signed(45), "c": signed(48), "alumode": 1,
                "p": signed(48)}.items())
        above, rest = Const(0) if self.head else self.above.as_signed(), product + addend
        m.d.sync += [x.eq(self.x), product.eq(x * factor), addend.eq(self.addend),
                     total.eq(Mux(subtract, above - rest, above + rest))]
        for enable, register, value in ((self.load, following, self.factor), (self.swap, factor, following),
                                        (self.settle, subtract, self.negative)):
            with m.If(enable):
                m.d.sync += register.eq(value)
        m.d.comb += [self.total.eq(total), self.below.eq(total)]

        return m

    def primitive(self):
        """The block itself."""
        return primitive({"AMULTSEL": "A", "OPMODEREG": 0}, {
            "A": Cat(self.x, self.x[-1].replicate(3)), "B": self.factor, "C": self.addend,
            "PCIN": Const(0, 48) if self.head else self.above,
            "OPMODE": Const(W_C | (Z_ZERO if self.head else Z_PCIN) | XY_M, 9),
            "ALUMODE": Cat(self.negative, self.negative, Const(0, 2)),  # 0000: Z + W + X + Y, 0011: Z - (W + X + Y)
            "CEA2": Const(1), "CEB1": self.load, "CEB2": self.swap, "CEC": Const(1), "CEM": Const(1), "CEP": Const(1),
            "CEALUMODE": self.settle}, {"P": self.total, "PCOUT": self.below})
