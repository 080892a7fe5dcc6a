"""From codes to numbers in hardware, as :meth:`gen.bits.Values.decode` does it."""

from amaranth import *

__all__ = ["decoded"]


def decoded(code, values):
    """The number that ``code`` stands for; a bipolar one is -1 or +1."""
    if values.bipolar:
        return Mux(code, C(1, signed(2)), C(-1, signed(2)))
    return code.as_signed() if values.signed else code
