"""What the hardware computes, in NumPy: records are carried out as they say, on a memory of bytes."""

from collections import deque

import numpy as np

from .records import PARAMETER_ROOM, PARAMETERS, PATTERN, PATTERN_ROOM, RECORD, Load, Op, Record, unpack
from .shape import WORD, WORD_PIXELS

__all__ = ["program", "run"]

_BYTES = WORD // 8
_GARBAGE = 0x5a5a  # pixels beyond a raster, which masks are for
_OUTSIDE = -1 << 31  # what pooling sees beyond the map
_UNITS = (Op.LOAD, Op.WEIGHTS, Op.PASS, Op.DRAIN)


def program(memory):
    """The records at the start of a memory, up to END.

    Raises
    ------
    ValueError
        There is no program.
    """
    size, found = RECORD // 8, []
    for start in range(0, len(memory) - size + 1, size):
        found.append(Record.from_bytes(bytes(memory[start:start + size])))
        if (found[-1].op == Op.HEADER) != (start == 0):
            raise ValueError("a program starts with HEADER, and has no other one")
        if found[-1].op == Op.END:
            if len(found) != (wanted := found[0].fields["records"]):
                raise ValueError(f"HEADER tells of {wanted} records, END is number {len(found)}")
            return found
    raise ValueError("the program has no END")


def run(memory, shape, order=()):
    """Memory after the program in it has been run.

    Parameters
    ----------
    memory : uint8 array
        From the base address on; is not changed.
    shape : Shape
    order : tuple of Op
        Units that go first whenever what they wait for allows it, LOAD, WEIGHTS, PASS or DRAIN; other than in
        hardware, only the first gets ahead. Empty: records are carried out in their order.

    Returns
    -------
    uint8 array

    Raises
    ------
    ValueError
        What is there is no program, or its records wait for each other.
    """
    machine = _Machine(np.array(memory, np.uint8), shape)
    records = program(machine.memory)[1:-1]
    if not order:
        for number, record in enumerate(records, 1):
            if not machine.ready(record):
                raise ValueError(f"record {number}, {record.op.name}, waits for what comes behind it")
            machine.execute(record)
        return machine.memory
    queues = {op: deque(record for record in records if record.op == op) for op in _UNITS}
    order = [*order, *(op for op in _UNITS if op not in order)]
    while any(queues.values()):
        able = next((op for op in order if queues[op] and machine.ready(queues[op][0])), None)
        if able is None:
            raise ValueError("records wait for each other")
        machine.execute(queues[able].popleft())
    return machine.memory


class _Machine:
    """The memories of the array, and what each record does to them."""

    def __init__(self, memory, shape):
        self.memory, self.shape = memory, shape
        self.counts = dict.fromkeys((Op.LOAD, Op.PASS, Op.DRAIN), 0)
        # 0x2d2d and so on: what nobody has written is no likely pixel or sum.
        self.pixels = np.full((shape.chains, shape.chain_words * WORD_PIXELS), 0x2d2d, np.uint16)
        self.patterns = [[None] * PATTERN_ROOM for _ in range(shape.chains)]
        self.parameters = [None] * PARAMETER_ROOM
        self.sums = np.full((2, shape.lanes, shape.out_depth), 0x2d2d2d)  # while they grow, and when they are finished
        self.sets = deque()

    def ready(self, record):
        """Whether what it waits for is complete."""
        if record.op == Op.PASS and not self.sets:
            return False
        waits = zip(self.counts.values(), (record.after_loads, record.after_passes, record.after_drains), strict=True)
        return all(count - wanted & 0x8000 == 0 for count, wanted in waits)

    def execute(self, record):
        """Carry out a record."""
        fields = record.fields
        {Op.LOAD: self.load, Op.WEIGHTS: self.weights, Op.PASS: self.compute, Op.DRAIN: self.drain}[record.op](**fields)
        if record.op in self.counts:
            self.counts[record.op] += 1

    def words(self, address, count):
        """So many words of memory as they are, shape (count, bytes of a word)."""
        return self.memory[address:address + count * _BYTES].reshape(count, _BYTES)

    def load(self, kind, address, rows, row_words, row_stride, target, chain_first, chain_count):
        words = np.concatenate([self.words(address + row * row_stride, row_words) for row in range(rows)])
        match kind:
            case Load.PIXELS:
                place = slice(target * WORD_PIXELS, (target + len(words)) * WORD_PIXELS)
                self.pixels[chain_first:chain_first + chain_count, place] = words.reshape(-1).view("<u2")
            case Load.PATTERNS:
                for chain, word in enumerate(words, chain_first):
                    self.patterns[chain][target] = unpack(PATTERN, int.from_bytes(word.tobytes(), "little"))
            case Load.PARAMETERS:
                for place, word in enumerate(words, target):
                    values = unpack(PARAMETERS, int.from_bytes(word.tobytes(), "little"))
                    self.parameters[place] = [_signed(values[name], bits) for name, bits in PARAMETERS]

    def weights(self, address, words):
        self.sets.extend(self.words(address, words).reshape(-1, self.shape.set_words, _BYTES))

    def set(self, words):
        """Weights of a set, shape (lanes, cells)."""
        shape = self.shape
        cells = shape.chains * shape.taps
        bits = np.unpackbits(words.reshape(-1), bitorder="little")[:cells * shape.word_bits]
        codes = bits.reshape(cells, shape.lanes, shape.code_bits) @ (1 << np.arange(shape.code_bits))
        return shape.weights.decode(codes).T

    def compute(self, first, last, pattern, offset, rows, period, columns, target):
        shape = self.shape
        cells = np.stack([self.cell_pixels(chain, self.patterns[chain][pattern], offset, rows, period, columns)
                          for chain in range(shape.chains)])
        pixels = cells.reshape(shape.chains * shape.taps, rows * columns)
        # Doubles hold every product and every sum of a pass: the widest are 17 and 16 bits, times 3 * 255 cells.
        found = (self.set(self.sets.popleft()).astype(np.float64) @ pixels.astype(np.float64)).astype(np.int64)
        place = slice(target, target + rows * columns)
        total = _signed(found + (0 if first else self.sums[0, :, place]), shape.acc_bits)
        self.sums[1 if last else 0, :, place] = total

    def cell_pixels(self, chain, pattern, offset, rows, period, columns):
        """Pixels of each cell of a chain at each valid slot, 0 where they are masked: (taps, rows, columns)."""
        taps, buffer = self.shape.taps, self.pixels[chain]
        y, t, j = np.ogrid[:rows, :taps, :columns]
        items = y * period + j + pattern["lead"] - (taps - 1 - t)
        row, item = items // period, items % period
        place = pattern["base"] + offset + row * pattern["pitch"] + item * pattern["stride"] & 0xffff
        known = (items >= 0) & (items < rows * period) & (place < len(buffer))
        found = np.where(known, buffer[np.where(known, place, 0)], _GARBAGE).astype(np.int64)
        if pattern["signed"]:
            found = _signed(found, 16)
        low, high = (np.array([pattern[f"{end}{tap}"] for tap in range(taps)])[:, None] for end in ("low", "high"))
        counts = (low <= j) & (j <= high) & (pattern["row_low"] <= y) & (y <= pattern["row_high"])
        return _signed(np.where(counts, found, 0), self.shape.pixel_bits).transpose(1, 0, 2)

    def drain(self, raw, signed, bipolar, high, address, plane_stride, lanes, parameters, source, rows, columns,
              rows_out, columns_out, kernel, stride, pad_top, pad_left):
        sums = self.sums[1, :lanes, source:source + rows * columns].reshape(lanes, rows, columns)
        if not raw:
            entries = self.parameters[parameters:parameters + lanes]
            factor, addend, shift = (np.array(part)[:, None, None] for part in zip(*entries, strict=True))
            sums = sums * factor + addend >> shift
            sums = np.where(sums < 0, -1, 1) if bipolar else sums.clip(-high - 1 if signed else 0, high)
        below = (rows_out - 1) * stride + kernel - pad_top - rows
        right = (columns_out - 1) * stride + kernel - pad_left - columns
        sums = np.pad(sums, ((0, 0), (pad_top, max(0, below)), (pad_left, max(0, right))), constant_values=_OUTSIDE)
        results = np.max([sums[:, y:y + (rows_out - 1) * stride + 1:stride, x:x + (columns_out - 1) * stride + 1:stride]
                          for y in range(kernel) for x in range(kernel)], axis=0)
        size = _BYTES // (4 if raw else 2)
        words = np.zeros((lanes, rows_out, -(-columns_out // size) * size), "<i4" if raw else "<i2")
        words[:, :, :columns_out] = results.astype(words.dtype)
        for lane, plane in enumerate(words):
            content = plane.reshape(-1).view(np.uint8)
            self.memory[address + lane * plane_stride:][:len(content)] = content


def _signed(values, bits):
    """The low ``bits`` as two's complement."""
    return (values + (1 << bits - 1) & (1 << bits) - 1) - (1 << bits - 1)
