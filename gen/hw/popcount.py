# amaranth: UnusedElaboratable=no
"""Compressor trees: very many bits, and XNORs of bits, become two numbers in few LUTs.

A heap is a column of bits for each power of two. Three steps bring it down, with a register after each level:

1. XNORs come in through full adders of two XNORs and a bit, one LUT6_2 each, in chains of ``depth`` of them: half a LUT
   an XNOR, and a bit goes away with every full adder.
2. Counters make three bits of seven of one weight, in two LUT6_2 and two bits of a carry chain, level by level, until
   no column has five: two bits go away a LUT (atom (0,6) of Preusser, FPL 2017, and its carry in).
3. A ternary adder, a LUT6_2 a bit, makes one number of three; two are left.

In Amaranth's simulator, and for chips without these primitives, each is plain arithmetic in the same structure.
"""

import pathlib

from amaranth import *

__all__ = ["Plan", "compressed", "multiplexers", "ternary_adder"]

_TEMPLATES = pathlib.Path(__file__).parent / "verilog"


KEPT = {"shreg_extract": "no"}  # bits that wait for others do so in flip-flops, of which there are enough, not in LUTs
FEWEST = 5  # bits that are worth a counter of seven


class Plan:
    """Sizes of the tree of a heap.

    Parameters
    ----------
    pairs, bits : list of int
        How many XNORs, and how many single bits, there are of each weight.
    width : int
        Bits of the result, which is exact modulo ``2 ** width``: what weighs more is left out.
    depth : int
        LUTs in a row between registers.

    Attributes
    ----------
    levels : list of list of int
        Bits of each weight after the XNORs, and after each level of counters.
    rows : list of list of int
        Weights of the bits of each number that is left then.
    """

    def __init__(self, pairs, bits, width, depth=4):
        self.pairs, self.width, self.depth = pairs, width, depth
        heap = [0] * (width + 2)
        for weight, count in enumerate(bits):
            heap[weight] += count
        for weight, count in enumerate(pairs):
            begun = bits[weight] if weight < len(bits) else 0
            heap[weight] += max(self.chains(count) - begun, 0)  # a chain begins with a single bit where there is one
            heap[weight + 1] += adders(count)
        self.levels = [heap[:width]]
        while max(heap[:width]) >= FEWEST:
            heap = [0] * (width + 2)
            for weight, height in enumerate(self.levels[-1]):
                count, left = counters(height)
                for further, bits_left in enumerate((count + left, count, count)):
                    heap[weight + further] += bits_left
            self.levels.append(heap[:width])
        last = self.levels[-1]
        self.rows = [[weight for weight, height in enumerate(last) if height > k] for k in range(max(last))]

    def chains(self, pairs):
        """Chains of full adders that ``pairs`` XNORs take."""
        return -(-adders(pairs) // self.depth)

    @property
    def sums(self):
        """Which rows are added, so that two are left: (numbers of the rows, weights of the sum) each.

        The later a row the shorter it is.
        """
        found = []
        for group in {3: [(1, 2)], 4: [(1, 2, 3)]}.get(len(self.rows), []):
            low, high = min(self.rows[k][0] for k in group), max(self.rows[k][-1] for k in group)
            found.append((group, range(low, min(high + len(group), self.width))))
        return found

    @property
    def latency(self):
        """Registers from the heap to the two numbers."""
        return len(self.levels) + bool(self.sums)

    @property
    def luts(self):
        """LUTs of the whole tree; a bit to which but a carry is added takes none, if there is a carry chain."""
        counted = sum(counters(height)[0] for level in self.levels[:-1] for height in level)
        added = sum(len({*self.rows[group[0]]} & {*self.rows[group[1]]} if len(group) == 2 < len(weights) else weights)
                    for group, weights in self.sums)
        return sum(map(adders, self.pairs)) + 2 * counted + added


def adders(pairs):
    """Full adders that take in ``pairs`` XNORs."""
    return (pairs + 1) // 2


def counters(height):
    """Counters for so many bits of a weight, and how many bits are left."""
    count, left = divmod(height, 7)
    return (count + 1, 0) if left >= FEWEST else (count, left)


def carry_bits(platform):
    """Bits of a carry block of the chip, which then has LUT6_2s, too; 0: no such chip."""
    return getattr(platform, "carry_bits", 0)


class _Cells:
    """Instance ``name`` of the Verilog template ``kind``: ``width`` equal cells side by side."""

    def __init__(self, kind, name, parameters, inputs, outputs):
        self.name, self.template, self.parameters = name, _TEMPLATES / f"{kind}.v", parameters
        self.inputs, self.outputs = inputs, outputs

    def connections(self):
        """Parameters and ports of the template."""
        return self.parameters | {f"i_{port}": value for port, value in self.inputs.items()} | {
            f"o_{port}": value for port, value in self.outputs.items()}


def _cells(m, platform, kind, name, plain, **inputs):
    """Equal cells side by side, the primitives of template ``kind`` or what ``plain`` says; returns their outputs."""
    ports = {port: Signal(len(value), name=f"{name}_{port}") for port, value in inputs.items()}
    m.d.comb += [ports[port].eq(value) for port, value in inputs.items()]
    results, width = plain(**ports), len(next(iter(ports.values())))
    outputs = {port: Signal(width, name=f"{name}_{port}") for port in results}
    if carry_bits(platform):
        chained = kind in ("counters", "ternary_adder")
        parameters = {"p_WIDTH": width} | ({"p_CARRY": carry_bits(platform)} if chained else {})
        m.submodules[name] = platform.instance(_Cells(kind, name, parameters, ports, outputs))
    else:
        m.d.comb += [outputs[port].eq(value) for port, value in results.items()]
    return list(outputs.values())


def _full_adder(a, b, c):
    return a ^ b ^ c, (a & b) | (c & (a ^ b))


def _xnor_adders(x0, w0, x1, w1, c):
    total, carry = _full_adder(~(x0 ^ w0), ~(x1 ^ w1), c)
    return {"sum": total, "carry": carry}


def _counters(a, b, c, d, e, f, g):
    (abc, abc_carry), (de, de_carry) = _full_adder(a, b, c), _full_adder(d, e, f)
    one, carry = _full_adder(abc, de, g)
    two, four = _full_adder(abc_carry, de_carry, carry)
    return {"one": one, "two": two, "four": four}


def _ternary_adder(a, b, c, clear):
    return {"sum": a + b + Mux(clear, 0, c)}


def ternary_adder(m, platform, name, a, b, c, clear=None):
    """``a + b + c``, or ``a + b`` while ``clear``: as wide as ``a``, in a LUT a bit."""
    clear = Const(0, 1) if clear is None else clear
    (total,) = _cells(m, platform, "ternary_adder", name, _ternary_adder, a=a, b=b, c=c, clear=clear)
    return total


def _multiplexers(a, b, choose):
    return {"result": Mux(choose, b, a)}


def multiplexers(m, platform, name, a, b, choose):
    """``b`` while ``choose``, else ``a``: half a LUT a bit."""
    (result,) = _cells(m, platform, "multiplexers", name, _multiplexers, a=a, b=b, choose=choose)
    return result


def _xnors(m, platform, plan, weight, x, w, bits):
    """Of the XNORs of ``x`` and ``w`` and the single ``bits``: what is left of this weight, and carries."""
    chains, left, place, carries = plan.chains(len(x)), adders(len(x)), 0, []
    total = Cat(*bits[:chains], Const(0, max(0, chains - len(bits))))
    # An odd number's last full adder takes in an XNOR that is 0.
    x, w = (_named(m, f"{name}_{1 << weight}", Cat(vector, Const(last, len(vector) % 2)))
            for name, vector, last in (("x", x, 0), ("w", w, 1)))
    for k in range(plan.depth):
        count, left = min(chains, left), left - min(chains, left)
        if count:
            middle, place = place + count, place + 2 * count
            one, carry = _cells(m, platform, "xnor_adders", f"xnors{k}_{1 << weight}", _xnor_adders,
                                x0=x[middle - count:middle], w0=w[middle - count:middle],
                                x1=x[middle:place], w1=w[middle:place], c=total[:count])
            total = Cat(one, total[count:])
            carries.append(carry)
    return Cat(total, *bits[chains:]), Cat(*carries)


def _named(m, name, value):
    """A signal that is ``value``: to take bits of an expression takes Amaranth time quadratic in its length."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal


def _counted(m, platform, plan, columns, level):
    """The columns after another level of counters."""
    found = [[] for _ in range(plan.width + 2)]
    for weight, column in enumerate(columns):
        count, left = counters(len(column))
        taken = column[:len(column) - left]
        if count:
            parts = {port: Cat(part := taken[k * count:(k + 1) * count], Const(0, count - len(part)))
                     for k, port in enumerate("abcdefg")}
            sums = _cells(m, platform, "counters", f"counters{level}_{1 << weight}", _counters, **parts)
            for further, total in enumerate(sums):
                found[weight + further].append(total)
        found[weight].append(column[len(taken):])
    return [Cat(*parts) for parts in found[:plan.width]]


def _registered(m, columns, name):
    """The same bits a clock later."""
    registers = [Signal(len(column), name=f"{name}_{1 << weight}", reset_less=True, attrs=KEPT)
                 for weight, column in enumerate(columns)]
    m.d.sync += [register.eq(column) for register, column in zip(registers, columns, strict=True)]
    return registers


def compressed(m, platform, plan, pairs, bits):
    """Two numbers whose sum is that of a heap, ``plan.latency`` clocks later.

    Parameters
    ----------
    plan : Plan
    pairs : list of (Value, Value)
        For each weight the vectors whose bits' XNORs are added.
    bits : list of list of Value
        For each weight the single bits that are added.

    Returns
    -------
    list of Signal
        Registers of ``plan.width`` bits.
    """
    columns = [[] for _ in range(plan.width + 1)]
    for weight, single in enumerate(bits[:plan.width]):
        if weight < len(pairs) and len(pairs[weight][0]):
            rest, carries = _xnors(m, platform, plan, weight, *pairs[weight], single)
            columns[weight].append(rest)
            columns[weight + 1].append(carries)
        else:
            columns[weight] += single
    columns = [Cat(*parts) for parts in columns[:plan.width]]
    for level in range(1, len(plan.levels)):
        columns = _registered(m, columns, f"level{level}")
        columns = _counted(m, platform, plan, columns, level)
    return _rows(m, platform, plan, columns)


def _rows(m, platform, plan, columns):
    """The rows that are left in ``columns``, two at most, in registers."""
    if plan.sums:
        columns = _registered(m, columns, "last")
    rows = [Cat(column[k] if k < len(column) else Const(0, 1) for column in columns) for k in range(len(plan.rows))]
    added = set()
    for number, (group, weights) in enumerate(plan.sums):
        low, high = weights[0], weights[-1] + 1
        terms = [Cat(rows[k][low:high]) for k in group]
        if len(terms) == 3:
            total = ternary_adder(m, platform, f"sum{number}", *terms)
        else:
            total = Signal(high - low, name=f"sum{number}")
            m.d.comb += total.eq(terms[0] + terms[1])
        rows.append(Cat(Const(0, low), total))
        added |= set(group)
    left = [row for k, row in enumerate(rows) if k not in added]
    registers = [Signal(plan.width, name=f"row{k}", reset_less=True) for k in range(2)]
    m.d.sync += [register.eq(row) for register, row in zip(registers, left, strict=False)]
    return registers
