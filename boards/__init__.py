"""Boards, one file each: an Amaranth platform plus what the chip holds.

A board module has one class in ``__all__``, an :class:`amaranth.vendor.XilinxPlatform` with

* ``budget`` (:class:`gen.resources.Resources`): what the chip has;
* ``carry_bits``: which primitives it has: 8 of UltraScale and UltraScale+ (LUT6_2, CARRY8, DSP48E2), 4 of the 7 series
  (LUT6_2, CARRY4, DSP48E1), 0 of any other chip;
* ``dsp_column``, where DSPs are DSP48E2: those that a cascade can go through, those of a column;
* ``fabric_clock`` (Hz): the clock a design is folded for unless the user says otherwise.
"""

from importlib import import_module
from pkgutil import iter_modules

from gen.errors import UserError

__all__ = ["dsp48e2", "find", "names", "part"]


def names():
    """Names of all boards."""
    return sorted(module.name for module in iter_modules(__path__))


def find(name):
    """Platform of the board ``name``.

    Raises
    ------
    UserError
        There is no such board; the message lists those there are.
    """
    if name not in names():
        raise UserError(f"no board named {name!r}; there are: {', '.join(names())}. "
                        f"A new board is one file in boards/, after the pattern of boards/zcu102.py.")
    module = import_module(f"{__name__}.{name}")
    return getattr(module, module.__all__[0])()


def part(board):
    """Vivado's name of the board's chip, of UltraScale, UltraScale+ or the 7 series."""
    between = "" if board.family == "series7" else "-"
    return f"{board.device}{between}{board.package}-{board.speed}"


def dsp48e2(board):
    """Whether the board's DSPs are DSP48E2, which those of the 7 series are not."""
    return board.carry_bits == 8
