"""The arrays that hold a ROM's words where one array would waste block RAM; see :class:`gen.memory_cost.Part`."""

import pathlib

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .counters import select

__all__ = ["RomParts", "hex_words"]

_TEMPLATES = pathlib.Path(__file__).parent / "verilog"


def hex_words(words, width):
    """Text of a ``.mem`` file: a hex word of ``width`` bits a line."""
    digits = -(-width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


class _Array:
    """Instance of the template ``kind`` with ``words`` of ``width`` bits; ``signals`` are its ports but the clock."""

    def __init__(self, kind, words, width, name, file, parameters, signals):
        self.words, self.width, self.name, self.file = words, width, name, f"{file}.mem"
        self.template, self.parameters, self.signals = _TEMPLATES / f"{kind}.v", parameters, signals

    def contents(self):
        return hex_words(self.words, self.width)

    def connections(self):
        return {"p_WIDTH": self.width, "p_DEPTH": len(self.words), "p_INIT_FILE": self.file,
                "i_clk": ClockSignal()} | self.parameters | self.signals


class RomParts(wiring.Component):
    """Words of a ROM in arrays, one for each part of its depth, several where columns of it share block RAMs.

    Parameters
    ----------
    words : list of int
    width : int
        Bits of a word.
    form : tuple of gen.memory_cost.Part
    registered : bool
        Data come two clocks after the address, the second from the arrays' output registers, or behind what chooses.
    file : str
        What the names of the ``.mem`` files begin with.
    """

    def __init__(self, words, width, form, *, registered, file):
        self.words, self.width, self.form, self.registered, self.file = words, width, form, registered, file
        self.unit_name = f"{file}_rom"
        super().__init__({"en": In(1), "addr": In(range(len(words))), "data": Out(width)})

    def elaborate(self, platform):
        m = Module()

        parts, start = [], 0
        for number, part in enumerate(self.form):
            words, name = self.words[start:start + part.depth], f"part{number}" if len(self.form) > 1 else "words"
            add = self._shared if part.style == "shared" else self._array
            parts.append(add(m, platform, part, words, name))
            start += part.depth
        chosen = parts[0]
        if len(parts) > 1:  # the first part's depth is a power of two: one bit of the address tells
            bit = self.addr[(self.form[0].depth - 1).bit_length()]
            chosen = self._put(m, Mux(self._delayed(m, bit, "part"), parts[1], parts[0]), "chosen")
        m.d.comb += self.data.eq(chosen)

        return m

    def _delayed(self, m, value, name):
        """``value`` a clock later."""
        register = Signal.like(value, name=name, reset_less=True)
        with m.If(self.en):
            m.d.sync += register.eq(value)
        return register

    def _put(self, m, value, name):
        """What is put out of what arrays have just read, so that nothing is behind the second clock's register."""
        return self._delayed(m, value, name) if self.registered else value

    def _array(self, m, platform, part, words, name):
        """One array of all columns; what it reads."""
        data, address = Signal(self.width, name=f"{name}_data"), Signal(range(part.depth), name=f"{name}_address")
        m.d.comb += address.eq(self.addr)
        registered = self.registered and len(self.form) == 1
        self._instance(m, platform, "rom", words, self.width, name,
                       {"p_STYLE": part.style, "p_REGISTERED": int(registered)}, {"i_addr": address, "o_data": data})
        return data

    def _instance(self, m, platform, kind, words, width, name, parameters, ports):
        enable = Signal(name=f"{name}_enable")
        m.d.comb += enable.eq(self.en)
        array = _Array(kind, words, width, name, f"{self.file}_{name}", parameters, {"i_en": enable} | ports)
        m.submodules[name] = platform.instance(array)

    def _shared(self, m, platform, part, words, name):
        """A column in each array, and further ones in pieces above them, which second ports read."""
        bits = part.column(self.width)
        piece, offset = Signal(range(part.arrays), name="piece"), Signal(range(part.piece), name="offset")
        m.d.comb += Cat(*((piece, offset) if part.interleaved else (offset, piece))).eq(self.addr)
        columns, others = [], []
        for number in range(part.arrays):
            data, other_data, row, other_row = (Signal(size, name=f"{what}{number}") for what, size in (
                ("data", bits), ("other_data", bits), ("row", range(part.rows)), ("other_row", range(part.rows))))
            starts = [part.start((number - k) % part.arrays) for k in range(part.arrays)]
            m.d.comb += [row.eq(self.addr), other_row.eq(offset + select(starts, piece))]
            self._instance(m, platform, "rom_pair", part.contents(words, self.width, number), bits, f"{name}{number}",
                           {"p_REGISTERED": int(self.registered)},
                           {"i_addr": row, "o_data": data, "i_other_addr": other_row, "o_other_data": other_data})
            columns.append(data)
            others.append(other_data)
        piece = self._delayed(m, piece, "piece")
        for further in range(part.further):
            joined = self._joined(m, others[further:] + others[:further], piece, f"column{further}", part.further > 1)
            columns.append(self._put(m, joined, f"put{further}"))
        return Cat(*columns)[:self.width]

    def _joined(self, m, values, index, name, flat):
        """``values[index]``; ``flat`` where a tree's first level would be shared with others, and take more LUTs."""
        if not flat:
            return select(values, index)
        chosen = Signal(len(values[0]), name=name)
        with m.Switch(index):
            for number, value in enumerate(values):
                with m.Case(number) if number < len(values) - 1 else m.Default():
                    m.d.comb += chosen.eq(value)
        return chosen
