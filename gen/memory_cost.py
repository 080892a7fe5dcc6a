"""What memories take of the chip, as Yosys would count them: block RAM, or LUTs, and what joins their parts."""

from functools import cache
from math import ceil, expm1, log1p

import numpy as np

from .resources import Resources

__all__ = ["blocks", "distinct_columns", "in_blocks", "mux", "ram", "rom"]

# (width, depth, RAMB36) of the shapes that a block memory has
SHAPES = tuple((width, depth, size) for size, shapes in (
    (1, ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))),
    (0.5, ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)))) for width, depth in shapes)
MULTIPLEXER = 1 / 514  # what Yosys counts for an input of one bit, in RAMB36
DEEP = 1.4  # LUTs per 64 bits of a deep memory


def in_blocks(width, depth):
    """Whether a memory goes to block RAM: it is deeper than a LUT6, and would take more than a few dozen LUTs."""
    return depth > 64 and width * depth > 4096


def mux(inputs):
    """LUTs a bit of a multiplexer: one takes in four inputs, and each further one three more."""
    return ceil((inputs - 1) / 3)


@cache
def blocks(width, depth):
    """Block memories in columns of one shape, and one of another for the bits that are left over."""
    def options():
        for wide, deep, size in SHAPES:
            columns, rest = divmod(width, wide)
            parts = ceil(depth / deep)
            blocks = columns * parts * size + min(
                (ceil(depth / d) * s for w, d, s in SHAPES if w >= rest), default=0) * bool(rest)
            yield blocks + MULTIPLEXER * width * (parts - 1), blocks, parts

    _, blocks, parts = min(options())
    return Resources(lut=width * mux(parts), bram=blocks)


def distinct_columns(words, bits):
    """Columns of a memory's contents that differ: the others are there only once, or constant.

    ``words``: (depth, items) codes of ``bits`` bits.
    """
    columns = (words[:, :, None] >> np.arange(bits) & 1).reshape(len(words), -1).astype(np.uint8)
    packed = np.packbits(columns[:, columns.min(0) < columns.max(0)], axis=0)
    return len({column.tobytes() for column in packed.T})


def rom(width, depth, distinct=None):
    """Memory with fixed contents and a registered output; ``distinct`` of its columns differ.

    Where contents are not known they are taken to be random: in a shallow memory many columns are the same.
    """
    if in_blocks(width, depth):
        return blocks(width, depth)
    if distinct is None:
        functions = 2.0 ** min(depth, 64)
        distinct = -functions * expm1(width * log1p(-1 / functions)) if depth > 1 else 0
    parts = ceil(depth / 64)  # up to four are joined by the multiplexers of a slice
    return Resources(lut=distinct * (parts if parts <= 4 else DEEP * parts) * (depth > 2), ff=distinct)


def ram(width, depth, registered=True):
    """Memory with a write and a read port: 14 bits by 32 words, or 7 by 64, in eight LUTs."""
    if registered and in_blocks(width, depth):
        return blocks(width, depth)
    # Yosys counts two for a bit of memory, half for one of a multiplexer.
    options = ((16 / bits * width * parts + width * (parts - 1) / 2 + parts / 2, ceil(width / bits), parts)
               for bits, words in ((14, 32), (7, 64)) for parts in [ceil(depth / words)])
    _, wide, parts = min(options)
    decoder = parts * ceil(parts / 16) * (parts > 1)
    return Resources(lut=8 * wide * parts + width * mux(parts) + decoder, ff=width * registered)
