"""The command stream of the array: one table of fields, which compiler, hardware, model and disassembler read."""

import enum
from dataclasses import dataclass

__all__ = ["HEAD", "LAYOUTS", "PARAMETERS", "PARAMETER_ROOM", "PATTERN", "PATTERN_ROOM", "RECORD", "Load", "Op",
           "Record", "pack", "unpack"]

PATTERN_ROOM = 64  # patterns that each chain holds
PARAMETER_ROOM = 1024  # channels whose parameters the drain holds
RECORD = 256  # bits of a record: two words of the memory's bus


class Op(enum.IntEnum):
    """What a record asks for."""

    HEADER = 1  # the first one: whose program it is
    LOAD = 2  # memory to pixel buffers, patterns or parameters
    WEIGHTS = 3  # memory to the array, set by set
    PASS = 4  # one set of weights over a tile
    DRAIN = 5  # finished sums: rescale, pool, store
    END = 6  # when all is done


class Load(enum.IntEnum):
    """What a LOAD fills, its ``kind``."""

    PIXELS = 0
    PATTERNS = 1
    PARAMETERS = 2


# (field, bits), the lowest first. Addresses are bytes from the base register, multiples of 16.
# A command starts once so many LOADs, PASSes and DRAINs are complete (modulo 2**16, since the start).
HEAD = (("op", 8), ("after_loads", 16), ("after_passes", 16), ("after_drains", 16), ("unused", 8))
LAYOUTS = {
    Op.HEADER: (("build", 32), ("records", 32)),  # of the program, this one and END included
    Op.LOAD: (("kind", 8), ("address", 32), ("rows", 16), ("row_words", 16), ("row_stride", 32), ("target", 16),
              ("chain_first", 8), ("chain_count", 8)),
    Op.WEIGHTS: (("address", 32), ("words", 32)),
    Op.PASS: (("first", 1), ("last", 1), ("pattern", 6), ("offset", 16), ("rows", 16), ("period", 16),
              ("columns", 16), ("target", 16)),
    Op.DRAIN: (("raw", 1), ("signed", 1), ("bipolar", 1), ("high", 16), ("address", 32), ("plane_stride", 32),
               ("lanes", 8), ("parameters", 10), ("source", 16), ("rows", 10), ("columns", 10), ("rows_out", 10),
               ("columns_out", 10), ("kernel", 4), ("stride", 4), ("pad_top", 4), ("pad_left", 4)),
    Op.END: (),
}  # fmt: skip

# What a chain reads in a pass, and which of its cells count where; see `gen.hw.svpe.rows`.
PATTERN = (("base", 16), ("lead", 2), ("stride", 5), ("pitch", 12), ("signed", 1), ("row_low", 10), ("row_high", 10),
           ("low0", 10), ("high0", 10), ("low1", 10), ("high1", 10), ("low2", 10), ("high2", 10))  # fmt: skip
# How the sums of a channel are rescaled: (sum * factor + addend) >> shift, as `gen.network.Rescale` says; all signed.
PARAMETERS = (("factor", 32), ("addend", 64), ("shift", 8))


def pack(fields, values):
    """The integer that has ``values``, a dictionary, in ``fields``; what is not given is 0.

    Raises
    ------
    ValueError
        A value does not fit its field, or there is no such field.
    """
    word, position, left = 0, 0, dict(values)
    for name, bits in fields:
        value = int(left.pop(name, 0))
        if not -(1 << bits - 1) <= value < 1 << bits:
            raise ValueError(f"{name} is {value}, which does not fit {bits} bits")
        word |= (value & (1 << bits) - 1) << position
        position += bits
    if left:
        raise ValueError(f"no such field: {', '.join(left)}")
    return word


def unpack(fields, word):
    """The dictionary that :func:`pack` made ``word`` of; all values unsigned."""
    values = {}
    for name, bits in fields:
        values[name] = word & (1 << bits) - 1
        word >>= bits
    return values


@dataclass(frozen=True)
class Record:
    """One command: what, its fields, and how many LOADs, PASSes and DRAINs it waits for."""

    op: Op
    fields: dict
    after_loads: int = 0
    after_passes: int = 0
    after_drains: int = 0

    def to_bytes(self):
        """32 bytes, little endian."""
        waits = {name: getattr(self, name) & 0xffff for name in ("after_loads", "after_passes", "after_drains")}
        return pack(HEAD + LAYOUTS[self.op], {"op": self.op} | waits | self.fields).to_bytes(RECORD // 8, "little")

    @classmethod
    def from_bytes(cls, content):
        """Inverse of :meth:`to_bytes`; raises ValueError for what is no record."""
        word = int.from_bytes(content, "little")
        head = unpack(HEAD, word)
        op, waits = Op(head["op"]), {name: head[name] for name in ("after_loads", "after_passes", "after_drains")}
        fields = unpack(HEAD + LAYOUTS[op], word)
        return cls(op, {name: fields[name] for name, _ in LAYOUTS[op]}, **waits)
