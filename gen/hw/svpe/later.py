"""Signals some clocks later."""

from amaranth import *

__all__ = ["later"]


def later(m, value, clocks, name, **options):
    """``value`` after 0, 1, .. ``clocks`` clocks: a chain of registers."""
    chain = [value]
    for clock in range(1, clocks + 1):
        register = Signal.like(value, name=f"{name}{clock}", **options)
        m.d.sync += register.eq(chain[-1])
        chain.append(register)
    return chain
