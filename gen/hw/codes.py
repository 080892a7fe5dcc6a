"""From codes to numbers in hardware, as :meth:`gen.bits.Values.decode` does it, and back."""

from amaranth import *

from ..bits import Powers
from .counters import select

__all__ = ["decoded", "encoded"]


def decoded(code, values):
    """The number that ``code`` stands for; a bipolar one is -1 or +1, one of powers their sum."""
    if isinstance(values, Powers):
        meanings = [C(int(value)) for value in values.term.decode(range(1 << values.term.bits))]
        return sum(select(meanings, code.word_select(k, values.term.bits)) for k in range(values.terms))
    if values.bipolar:
        return Mux(code, C(1, signed(2)), C(-1, signed(2)))
    return code.as_signed() if values.signed else code


def encoded(number, values):
    """Code of ``number``, which is one of ``values``."""
    return number > 0 if values.bipolar else (number | C(0, values.bits))[:values.bits]
