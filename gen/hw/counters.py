"""Nested loops in hardware."""

from amaranth import *

__all__ = ["nest", "select", "table", "wrap_add"]


def nest(m, step, **loops):
    """Counters of nested loops, the innermost first; each ``step`` advances them.

    Parameters
    ----------
    loops : int
        Iterations, by name.

    Returns
    -------
    dict
        For each name the counter, and whether this step is the last of that loop and all within it.
    """
    counters, within = {}, Const(1, 1)
    for name, count in loops.items():
        counter, last = Signal(range(count), name=name), Signal(name=f"{name}_last")
        m.d.comb += last.eq(within & (counter == count - 1))
        with m.If(step & within):
            m.d.sync += counter.eq(Mux(last, 0, counter + 1))
        counters[name], within = (counter, last), last
    return counters


def table(m, index, values, name):
    """``values[index]`` as a signal: logic, with the commonest value as default."""
    values = list(values)
    common = max(set(values), key=values.count)
    result = Signal(Shape.cast(range(min(values), max(values) + 1)), name=name)
    m.d.comb += result.eq(common)
    with m.Switch(index):
        for value in sorted(set(values) - {common}):
            with m.Case(*(k for k, v in enumerate(values) if v == value)):
                m.d.comb += result.eq(value)
    return result


def select(words, index):
    """``words[index]``: a tree of multiplexers, a level for each bit of ``index``; four words fit a LUT6."""
    words = list(words)
    for bit in index:
        pairs = [words[k:k + 2] for k in range(0, len(words), 2)]
        words = [Mux(bit, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
    return words[0]


def wrap_add(value, step, modulus):
    """``(value + step) % modulus`` for ``value < modulus``."""
    step %= modulus
    return Mux(value >= modulus - step, value - (modulus - step), value + step) if step else value
