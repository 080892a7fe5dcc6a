"""Boards, one file each: an Amaranth platform plus what the chip holds.

A board module has one class in ``__all__``, an :class:`amaranth.vendor.XilinxPlatform` with

* ``budget`` (:class:`gen.resources.Resources`): what the chip has;
* ``dsp_column``: DSPs that a cascade can go through, those of a column;
* ``fabric_clock`` (Hz): the clock a design is folded for unless the user says otherwise.
"""

from importlib import import_module
from pkgutil import iter_modules

from gen.errors import UserError

__all__ = ["find", "names", "part"]


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
    """Vivado's name of the board's UltraScale or UltraScale+ chip."""
    return f"{board.device}-{board.package}-{board.speed}"
