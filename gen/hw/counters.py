"""Nested loops in hardware."""

from amaranth import *

__all__ = ["nest", "occupancy", "ring", "select", "table", "wrap_add"]


def nest(m, step, **loops):
    """Counters of nested loops, the innermost first; each ``step`` advances them.

    That a counter is at its last value is known a step ahead, in a register, so that loops are not compared one by one.

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
        ends = Const(1, 1) if count == 1 else counter if count == 2 else Signal(name=f"{name}_ends")
        m.d.comb += last.eq(within & ends)
        with m.If(step & within):
            m.d.sync += counter.eq(Mux(ends, 0, counter + 1))
            if count > 2:
                m.d.sync += ends.eq(counter == count - 2)
        counters[name], within = (counter, last), last
    return counters


def ring(m, step, count, name, restart=None):
    """One of ``count`` bits is set: at first the lowest, after each ``step`` the next, after ``restart`` the lowest.

    ``restart`` is a ``step``, too. Bits are decoded numbers, which take as many LUTs and a level less.
    """
    bits = Signal(count, name=name, init=1)
    if count > 1:
        following = bits.rotate_left(1)
        with m.If(step):
            m.d.sync += bits.eq(following if restart is None else Mux(restart, 1, following))
    return bits


def occupancy(m, put, take, depth, name):
    """Whether a queue of ``depth`` words holds ``some``, and whether it is ``full``: registers; whether it may be next.

    What counts and compares does not depend on ``take``, which may come late: it only enables. Only what is there is
    taken; what is put has room, whatever is taken in that clock.
    """
    held, some, full, fills = Signal(range(depth + 1), name=f"{name}_held"), *(
        Signal(name=f"{name}_{what}") for what in ("some", "full", "fills"))
    m.d.comb += fills.eq(full | (put & (held == depth - 1)))
    m.d.sync += [some.eq(put | (held > 1) | (some & ~take)), full.eq(fills & ~take)]
    with m.If(put != take):
        m.d.sync += held.eq(held + Mux(put, 1, -1))
    return some, full, fills


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
    if step == 1:
        return Mux(value == modulus - 1, 0, value + 1)
    return Mux(value >= modulus - step, value - (modulus - step), value + step) if step else value
