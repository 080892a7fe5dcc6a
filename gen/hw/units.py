"""Elaborate each distinct unit once: one Verilog module a file, instantiated many times.

Amaranth emits every submodule anew, 64 equal lanes as 64 modules. A unit's ``unit_name`` says what makes it equal to
another, and its parent adds it through :func:`add_unit`: in Amaranth's simulator an ordinary submodule, while emitting
an instance of a module that is written once.
"""

__all__ = ["add_unit"]


def add_unit(m, name, unit, platform):
    """Add ``unit`` to ``m`` as submodule ``name``, shared with its equals while emitting; return it."""
    share = getattr(platform, "share", None)
    m.submodules[name] = share(name, unit) if share else unit
    return unit
