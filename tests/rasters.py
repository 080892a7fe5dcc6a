"""Passes of the array, written as they are defined: slots, and what each cell of a chain works on in them.

Records and patterns are dictionaries of their fields; a buffer is a list of 16-bit words, one a pixel.
"""

from gen.svpe.records import PATTERN, unpack
from gen.svpe.shape import WORD_PIXELS

ANY = None  # what is not defined


def slots(record):
    """The tokens of a pass, one a slot."""
    target = record["target"]
    for row in range(record["rows"]):
        for column in range(record["period"]):
            valid = column < record["columns"]
            yield {"slot": 1, "start": row == column == 0, "pattern": record["pattern"], "offset": record["offset"],
                   "row": row, "column": column, "row_last": column == record["period"] - 1,
                   "end": row == record["rows"] - 1 and column == record["period"] - 1, "valid": valid,
                   "first": record["first"], "last": record["last"], "target": target if valid else ANY}
            target += valid


def item(pattern, record, buffer, number):
    """Pixel that is item ``number`` of the raster of a pass."""
    row, i = divmod(number, record["period"])
    if not 0 <= row < record["rows"]:
        return ANY
    address = pattern["base"] + record["offset"] + row * pattern["pitch"] + i * pattern["stride"]
    address = address % 2**16
    if address >= len(buffer):
        return ANY
    word = buffer[address]
    return word - 2**16 if pattern["signed"] and word >= 2**15 else word


def pixel(pattern, record, buffer, token, taps, t):
    """What cell ``t`` works on in the slot of ``token``."""
    row, column = token["row"], token["column"]
    counts = (pattern[f"low{t}"] <= column <= pattern[f"high{t}"]
              and pattern["row_low"] <= row <= pattern["row_high"])
    number = row * record["period"] + column + pattern["lead"] - (taps - 1 - t)
    return item(pattern, record, buffer, number) if counts else 0


def cut(value, widths):
    """The parts of ``value`` that have these widths, the lowest first."""
    parts = []
    for width in widths:
        parts.append(value & (1 << width) - 1)
        value >>= width
    return parts


def words(pixels):
    """A chain's buffer as the words that are written to it."""
    return [sum(value << 16 * k for k, value in enumerate(pixels[start:start + WORD_PIXELS]))
            for start in range(0, len(pixels), WORD_PIXELS)]


def random_pattern(rng, record, taps, pixels):
    """A pattern that reads within ``pixels`` pixels, mostly, and masks anything."""
    pattern = unpack(PATTERN, rng.getrandbits(sum(bits for _, bits in PATTERN)))
    stride = rng.randint(1, 4)
    pattern |= {"lead": rng.randrange(taps), "stride": stride, "pitch": rng.randrange(4 * record["period"]),
                "base": rng.randrange(-20, pixels // 2) % 2**16,
                "row_low": rng.choice([0, 0, 1]), "row_high": max(0, record["rows"] - rng.choice([1, 1, 2]))}
    for t in range(3):
        pattern |= {f"low{t}": rng.randrange(3), f"high{t}": max(0, record["period"] - rng.randint(1, 3))}
    return pattern
