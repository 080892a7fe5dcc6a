"""Tiles: how many rows of a layer the array works on at a time, and which outputs while pixels stay in its buffers."""

from dataclasses import dataclass
from itertools import pairwise

from ..errors import UserError
from .shape import WORD, WORD_PIXELS

__all__ = ["Plan", "Tile", "tiled"]

_BETWEEN = 200  # clocks lost from one tile to the next


@dataclass(frozen=True)
class Tile:
    """Some rows of a layer.

    Parameters
    ----------
    out_first, out_rows : int
        What is stored, after pooling.
    first, rows : int
        Sums.
    pad_top : int
        Rows of the first pooling window above the first sum.
    input_first, input_rows : int
        Pixels that are loaded.
    """

    out_first: int
    out_rows: int
    first: int
    rows: int
    pad_top: int
    input_first: int
    input_rows: int


@dataclass(frozen=True)
class Plan:
    """How a step runs.

    Parameters
    ----------
    tiles : list of Tile
    words : int
        Of a chunk's pixels, in the buffer of each chain.
    regions : int
        Chunks that the buffers hold.
    resident : bool
        All chunks stay until the tile is done; otherwise they are loaded again for each block of output groups.
    blocks : list of int
        Output groups whose passes are interleaved, so that a chunk serves them all; they have accumulators each.
    clocks : float
        Estimate.
    """

    tiles: list
    words: int
    regions: int
    resident: bool
    blocks: list
    clocks: float


def _tile(step, out_first, out_rows):
    pool, height = step.pool, step.weights.shape[2]
    if pool:
        top = out_first * pool.stride - pool.top
        end = min(step.rows, top + (out_rows - 1) * pool.stride + pool.size)
    else:
        top, end = out_first, out_first + out_rows
    first = max(0, top)
    low = first * step.stride[0] - step.pads[0]
    high = (end - 1) * step.stride[0] - step.pads[0] + height
    inputs = max(0, min(low, step.height - 1)), max(1, min(high, step.height))
    return Tile(out_first, out_rows, first, end - first, first - top, inputs[0], inputs[1] - inputs[0])


def _split(step, count):
    """``count`` tiles of nearly as many rows each."""
    rows = step.output.height
    ends = [rows * k // count for k in range(count + 1)]
    return [_tile(step, first, end - first) for first, end in pairwise(ends)]


def tiled(step, mapping, shape):
    """The :class:`Plan` of a step with the fewest clocks, as far as one can tell without simulating it.

    Raises
    ------
    UserError
        Not even one row fits the buffers.
    """
    plans = [plan for count in range(1, step.output.height + 1)
             if (plan := _plan(step, mapping, shape, _split(step, count)))]
    if not plans:
        tile = max(_split(step, step.output.height), key=lambda tile: tile.input_rows)
        words, sums = tile.input_rows * -(-step.width // WORD_PIXELS), tile.rows * step.columns
        raise UserError(f"{step.name}: one row of outputs takes {words} words of the {shape.chain_words} in a chain's "
                        f"buffer and {sums} accumulators of {shape.out_depth}: build the array with "
                        f"chain_words={max(words, shape.chain_words)}, out_depth={max(sums, shape.out_depth)}")
    return min(plans, key=lambda plan: plan.clocks)


def _plan(step, mapping, shape, tiles):
    """How ``tiles`` run, None if they do not fit."""
    rows, row_words = max(tile.rows for tile in tiles), -(-step.width // WORD_PIXELS)
    words, sums = max(tile.input_rows for tile in tiles) * row_words, rows * step.columns
    chunks, groups = mapping.chunks, -(-len(step.weights) // shape.lanes)
    regions, rooms = shape.chain_words // words, min(groups, shape.out_depth // sums)
    if not regions or not rooms:
        return None
    resident = regions >= len(chunks)
    loads = words * len(step.inputs)
    clocks = max(rows * mapping.slots(rows) + 1, shape.chains * shape.taps, shape.set_words)
    sweep = max(1, clocks * len(mapping.passes))
    first = min(rooms, max(1, -(-loads // sweep))) if resident else rooms
    blocks = [first] * (1 if resident else groups // first)
    rest = groups - sum(blocks)
    blocks += [1] * rest if resident else [rest] * bool(rest)
    pool = step.pool.size**2 if step.pool else 1
    outputs = max(tile.out_rows for tile in tiles) * step.output.width
    lanes = min(shape.lanes, len(step.weights))
    drain = max(-(-lanes // shape.drains) * pool * outputs,
                lanes * outputs // step.output.width * step.output.row * 8 // WORD)
    busy = max(groups * sweep, loads * (1 if resident else len(blocks)), groups * drain)
    exposed = loads / len(chunks) * (1 if regions > len(chunks) or not resident else len(tiles))
    return Plan(tiles, words, regions, resident, blocks, len(tiles) * (busy + _BETWEEN) + exposed + drain)
