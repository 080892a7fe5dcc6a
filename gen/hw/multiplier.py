"""A multiplier for which one says whether it is a DSP block or made of LUTs."""

import pathlib

from amaranth import *

from ..network import MULTIPLIERS

__all__ = ["Multiplier"]


class Multiplier(Elaboratable):
    """``product`` of the signed ``a`` and ``b``, a clock later, in ``kind``: one of ``MULTIPLIERS``.

    In Amaranth's simulator an ordinary product; while emitting, an instance of the Verilog ``template``, which tells
    vendors' tools what to take.
    """

    template = pathlib.Path(__file__).parent / "verilog" / "multiplier.v"

    def __init__(self, a, b, shape, kind, name):
        self.a, self.b, self.kind, self.name = a, b, kind, name
        self.product = Signal(signed(Shape.cast(shape).width), name=f"{name}_product", reset_less=True)

    def elaborate(self, platform):
        if hasattr(platform, "instance"):
            return platform.instance(self)
        m = Module()
        m.d.sync += self.product.eq(self.a * self.b)
        return m

    def connections(self):
        """Parameters and ports of the template."""
        return {"p_A_WIDTH": len(self.a), "p_B_WIDTH": len(self.b), "p_WIDTH": len(self.product),
                "p_STYLE": MULTIPLIERS[self.kind], "i_clk": ClockSignal(), "i_a": self.a, "i_b": self.b,
                "o_product": self.product}
