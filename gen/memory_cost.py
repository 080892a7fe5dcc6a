"""What memories take of the chip, as Yosys would count them: block RAM, or LUTs, and what joins their parts."""

from dataclasses import dataclass
from functools import cache
from math import ceil, expm1, log1p

import numpy as np
from amaranth.utils import ceil_log2

from .resources import Resources

__all__ = ["DEEPEST_AT_ONCE", "blocks", "distinct_columns", "named", "in_blocks", "mux", "ram", "rom"]

# (width, depth, RAMB36) of the shapes that a block memory has
SHAPES = tuple((width, depth, size) for size, shapes in (
    (1, ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))),
    (0.5, ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)))) for width, depth in shapes)
DEEPEST = max(depth for _, depth, _ in SHAPES)
MULTIPLEXER = 1 / 514  # what Yosys counts for an input of one bit, in RAMB36
DEEPEST_IN_LUTS = 256  # words of four LUTs, which multiplexers of a slice join
DEEPEST_AT_ONCE = 128  # beyond, of what has two clocks the second is for joining
LUTS_PER_BLOCK = 300  # what a RAMB36 is worth: a ZCU102 has 274,080 and 912
BLOCK = 36 * 1024  # bits of a RAMB36
ROWS = 14  # LUTs for the second ports' addresses, where arrays read different columns' pieces
SHARED = 1024  # fewest rows of a block that reads words of full width through each of two ports
# (arrays, further columns) of shared parts
ARRANGEMENTS = ((2, 1), (3, 1), (4, 1), (4, 3), (8, 1))


def in_blocks(width, depth):
    """Whether a memory goes to block RAM: it is deeper than a LUT6, and would take more than a few dozen LUTs."""
    return depth > 64 and width * depth > 4096


def mux(inputs):
    """LUTs a bit of a multiplexer: each takes in four inputs, others join these, or what is left over."""
    fours = ceil(inputs / 4)
    return fours + ceil(2 * (fours - 1) / 3) - (inputs == 1 or (inputs > 4 and inputs % 4 in (1, 2)))


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


@dataclass(frozen=True)
class Part:
    """How some words of a ROM are kept.

    Parameters
    ----------
    depth : int
        Words.
    style : str
        ``"distributed"``, in LUTs; ``"block"``, in block RAM; ``"shared"``, in block RAM of which both ports read.
    arrays, further : int
        If shared: ``arrays`` hold a column of the words each. There is room for ``further`` columns above, cut in as
        many pieces as there are arrays, of which every array holds one of each column. It has to read but one of
        them at a time.
    """

    depth: int
    style: str
    arrays: int = 1
    further: int = 0

    def __str__(self):
        return f"shared {self.arrays}+{self.further}" if self.style == "shared" else f"{self.style} {self.depth}"

    @property
    def interleaved(self):
        """Whether the address' low bits tell which piece of a column a word is in; the high ones do if not."""
        return not self.arrays & (self.arrays - 1)

    @property
    def piece(self):
        """Rows of a piece of a column."""
        rows = ceil(self.depth / self.arrays)
        return rows if self.interleaved else 1 << ceil_log2(rows)

    @property
    def rows(self):
        """Rows of an array, a power of two."""
        return max(SHARED, 1 << ceil_log2(self.depth + self.further * self.piece))

    def column(self, width):
        """Bits of a column."""
        return ceil(width / (self.arrays + self.further))

    def start(self, further):
        """Row in which a further column's pieces begin; pieces that nobody asks for lie anywhere."""
        return self.rows - max(1, self.further - further) * self.piece

    def contents(self, words, width, array):
        """Rows of an array: its column of ``words``, and pieces of further ones."""
        bits = self.column(width)

        def item(column, address):
            return words[address] >> column * bits & (1 << bits) - 1 if address < len(words) else 0

        rows = [item(array, address) for address in range(self.start(0))]
        for further in range(self.further):
            piece = (array - further) % self.arrays
            rows += [item(self.arrays + further, offset * self.arrays + piece if self.interleaved else
                          piece * self.piece + offset) for offset in range(self.piece)]
        return rows


def _pairs(width, rows):
    """Block memories of which both ports read, in columns of one shape."""
    return min(ceil(width / wide) * size for wide, deep, size in SHAPES if deep >= rows)


def _part(part, width, distinct):
    """What a part takes but for registers, and bits that are read from it."""
    match part.style:
        case "distributed":
            cost = _luts(width, part.depth, distinct)
            return Resources(lut=cost.lut), cost.ff
        case "block":
            return blocks(width, part.depth), width
    bits = part.column(width)
    further = width - part.arrays * bits
    cost = Resources(lut=further * mux(part.arrays) + ROWS * (part.further > 1),
                     bram=part.arrays * _pairs(bits, part.rows))
    return cost, width


def _luts(width, depth, distinct=None):
    """Memory in LUTs; ``distinct`` of its columns differ.

    Where contents are not known they are taken to be random: in a shallow memory many columns are the same.
    """
    if distinct is None:
        functions = 2.0 ** min(depth, 64)
        distinct = -functions * expm1(width * log1p(-1 / functions)) if depth > 1 else 0
    parts = 1 << ceil_log2(ceil(depth / 64))  # joined by the multiplexers of a slice, three like four
    return Resources(lut=distinct * parts * (depth > 2), ff=distinct)


def forms(width, depth):
    """Ways to keep a ROM of ``depth`` words of ``width`` bits.

    Returns
    -------
    list of (form, Resources, int)
        The form, a tuple of :class:`Part`, of which the first of two has a power of two of words; what it takes, its
        output register included as far as Yosys counts it; bits of the block memories that it takes.
    """
    def styles(words):
        return ["distributed"] * (words <= DEEPEST_IN_LUTS) + ["block"]

    found = [(Part(depth, style),) for style in styles(depth)]
    shared = [Part(depth, "shared", *columns) for columns in ARRANGEMENTS]
    found += [(part,) for part in shared
              if width > (part.arrays + part.further - 1) * part.column(width) and part.rows <= DEEPEST]
    half = 1 << ceil_log2(depth) - 1
    if half >= 512:
        found += [(Part(half, "block"), Part(depth - half, style)) for style in styles(depth - half)]
    priced = [(form, form_cost(form, width)) for form in found]
    return [(form, cost, int(cost.bram * BLOCK)) for form, cost in priced]


def form_cost(form, width, distinct=None, registered=False):
    """Resources of a ROM of the form; ``distinct`` of its columns differ, which counts where it is kept in LUTs.

    Yosys does not put the second register of a ``registered`` one into the blocks, which have one.
    """
    cost = Resources(lut=width * (len(form) - 1), ff=(len(form) - 1) * (1 + registered * width))
    for part in form:
        kept, bits = _part(part, width, distinct)
        registers = (part.style == "distributed") + (registered and len(form) == 1)
        if registers > 1 and part.depth > DEEPEST_AT_ONCE:
            parts = ceil(part.depth / 64)
            cost += Resources(lut=bits * (parts + 1 - (1 << ceil_log2(parts))), ff=bits * (parts - 1))
        cost += kept + Resources(ff=bits * registers + ceil_log2(part.arrays))
    return cost


@cache
def choose(width, depth):
    """The form that takes least, where a block memory counts as much as :data:`LUTS_PER_BLOCK` LUTs."""
    return min(forms(width, depth), key=lambda priced: priced[1].lut + LUTS_PER_BLOCK * priced[1].bram)[0]


def label(form):
    """Name of a form, unique among those of a memory."""
    return form[0].style if len(form) == 1 and form[0].style != "shared" else " and ".join(map(str, form))


def named(name, width, depth):
    """The form of that name, or what :func:`choose` finds for an empty one; KeyError if there is none."""
    return {label(form): form for form, *_ in forms(width, depth)}[name] if name else choose(width, depth)


def rom(width, depth, distinct=None, registered=False):
    """Memory with fixed contents, of the form that :func:`choose` finds; other parameters as for :func:`form_cost`."""
    return form_cost(choose(width, max(2, depth)), width, distinct, registered)  # one word is kept twice


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
