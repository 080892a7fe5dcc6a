"""A DSP block of AMD's UltraScale devices as the array uses it: a product, and three that are added."""

import pathlib

from amaranth import *

__all__ = ["MODEL", "Dsp"]

# Verilog of the primitive, for simulators; synthesis knows it.
MODEL = pathlib.Path(__file__).parents[1] / "verilog" / "DSP48E2.v"

# OPMODE says what the four operands of the adder are (UG579, tables 2-3 to 2-6).
_W_C = 0b11 << 7  # bits 8:7, W: 00 is 0, 01 P, 10 RND, 11 C
_Z_ZERO, _Z_PCIN = 0b000 << 4, 0b001 << 4  # bits 6:4, Z: 000 is 0, 001 PCIN; others P, C, and what is shifted by 17
_XY_M = 0b01 << 2 | 0b01  # bits 3:2, Y, and 1:0, X: 01 is M; the two take a half of the product each

_TIED = {"D": 27, "ACIN": 30, "BCIN": 18, "CARRYIN": 1, "CARRYCASCIN": 1, "MULTSIGNIN": 1, "INMODE": 5,
         "CARRYINSEL": 3, "CEA1": 1, "CED": 1, "CEAD": 1, "CECTRL": 1, "CEINMODE": 1, "CECARRYIN": 1, "RSTA": 1,
         "RSTB": 1, "RSTC": 1, "RSTD": 1, "RSTM": 1, "RSTP": 1, "RSTALUMODE": 1, "RSTCTRL": 1, "RSTINMODE": 1,
         "RSTALLCARRYIN": 1}  # fmt: skip


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
            return Instance("DSP48E2", **self.connections())
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

    def connections(self):
        """Attributes and ports of the primitive."""
        attributes = {
            "USE_MULT": "MULTIPLY", "USE_SIMD": "ONE48", "AMULTSEL": "A", "BMULTSEL": "B", "A_INPUT": "DIRECT",
            "B_INPUT": "DIRECT", "AREG": 1, "ACASCREG": 1, "BREG": 2, "BCASCREG": 2, "CREG": 1, "MREG": 1, "PREG": 1,
            "ALUMODEREG": 1, "OPMODEREG": 0, "INMODEREG": 0, "CARRYINREG": 0, "CARRYINSELREG": 0}
        inputs = {name: Const(0, width) for name, width in _TIED.items()} | {
            "CLK": ClockSignal(), "A": Cat(self.x, self.x[-1].replicate(3)), "B": self.factor, "C": self.addend,
            "PCIN": Const(0, 48) if self.head else self.above,
            "OPMODE": Const(_W_C | (_Z_ZERO if self.head else _Z_PCIN) | _XY_M, 9),
            "ALUMODE": Cat(self.negative, self.negative, Const(0, 2)),  # 0000: Z + W + X + Y, 0011: Z - (W + X + Y)
            "CEA2": Const(1), "CEB1": self.load, "CEB2": self.swap, "CEC": Const(1), "CEM": Const(1), "CEP": Const(1),
            "CEALUMODE": self.settle}
        return ({f"p_{name}": value for name, value in attributes.items()}
                | {f"i_{name}": value for name, value in inputs.items()}
                | {"o_P": self.total, "o_PCOUT": self.below})
