"""Steps to commands: what is loaded, worked on and stored, tile by tile and output group by output group."""

import numpy as np

from ..errors import UserError
from .image import ALIGNMENT, Region
from .mapping import Mapping
from .records import PARAMETER_ROOM, PARAMETERS, PATTERN_ROOM, Load, pack
from .schedule import Ring, Schedule
from .shape import WORD_PIXELS
from .tiling import tiled

__all__ = ["Commands"]


class Commands:
    """What the array is told to do for ``steps``; patterns, parameters and weights go to ``image``.

    Parameters
    ----------
    shape : Shape
    image : Image
    steps : list of Step

    Attributes
    ----------
    schedule : Schedule
        Their commands.
    """

    def __init__(self, shape, image, steps):
        self.shape, self.image = shape, image
        self.schedule = Schedule(shape)
        self.pixels, self.sums = Ring(shape.chain_words), Ring(shape.out_depth)
        self.patterns, self.parameters = Ring(PATTERN_ROOM), Ring(PARAMETER_ROOM)
        self.held = {}  # pattern's bytes: index, LOADs after which it is there
        self.known = {}  # pattern's bytes: address
        self.drained = []  # for each step: of each output group, (rows from, to, DRAINs after which they are stored)
        self.tile_start = 0  # where the commands of the latest tile start
        for number, step in enumerate(steps):
            _Step(self, number, step).run()


class _Step:
    """The commands of one step."""

    def __init__(self, commands, number, step):
        self.all, self.number, self.step, self.shape = commands, number, step, commands.shape
        self.schedule = commands.schedule
        self.mapping = Mapping(step, self.shape)
        self.plan = tiled(step, self.mapping, self.shape)
        self.groups = -(-len(step.weights) // self.shape.lanes)
        self.drained = [[] for _ in range(self.groups)]
        commands.drained.append(self.drained)
        self.check()

    def check(self):
        """Refuse what the fields of records and patterns have no room for."""
        step, wide = self.step, -(-self.step.width // WORD_PIXELS) * WORD_PIXELS
        size = max(step.rows, step.columns, step.output.height, step.output.width)
        if max(size + 1, self.mapping.period) > 1024 or step.stride[0] * wide >= 4096 or max(step.stride) > 31:
            raise UserError(f"{step.name}: {step.height}x{step.width} pixels with stride {step.stride} are more than "
                            "the array counts, 1,023 rows and columns and 4,095 pixels between rows: use a smaller one")

    # Weights, in the order of passes

    def order(self):
        """(group, index of the pass) in the order in which a tile takes them, block by block and chunk by chunk."""
        work = self.mapping.passes
        needed, sets = [], []
        for group in range(self.groups):
            weights = self.mapping.weights(group)
            busy = weights.any((1, 2, 3))
            busy[0] |= not busy.any()
            needed.append(busy)
            sets.append(weights)
        blocks, first = [], 0
        for size in self.plan.blocks:
            groups = range(first, first + size)
            blocks.append([(group, p) for p in range(len(work)) for group in groups if needed[group][p]])
            first += size
        content = b"".join(self.encoded(sets[group][p]) for block in blocks for group, p in block)
        return blocks, self.all.image.add(Region.WEIGHTS, content)

    def encoded(self, weights):
        """A set in memory: the codes of (chain, tap, lane), the lanes' next to each other."""
        values = self.shape.weights
        codes = values.encode(weights).reshape(-1)[:, None] >> np.arange(values.bits) & 1
        content = np.packbits(codes.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
        return content + bytes(self.shape.set_words * ALIGNMENT - len(content))

    # Commands

    def run(self):
        blocks, address = self.order()
        sets = sum(map(len, blocks))
        self.parameters, self.parameter_chunk = self.parameter_images(), None
        self.contents = None, []
        for tile in self.plan.tiles:
            self.schedule.weights(self.number, self.all.tile_start, address=address,
                                  words=sets * self.shape.set_words)
            self.all.tile_start = self.schedule.length
            self.loaded = {}
            for block in blocks:
                self.block(tile, block)

    def block(self, tile, block):
        """Passes over a tile for some output groups, and their drains."""
        if not self.plan.resident:
            self.loaded = {}
        columns = self.step.columns
        sums = tile.rows * columns
        last = dict(block)
        targets, period = {}, self.mapping.slots(tile.rows)
        patterns = self.pattern_contents(tile)
        for group, p in block:
            region, pixels_there = self.chunk(tile, self.mapping.passes[p][0])
            pattern, pattern_there = self.pattern(patterns[p])
            first, final = group not in targets, last[group] == p
            if first:
                targets[group] = self.all.sums.take(sums, sums)  # so that those of a block do not meet
            target = targets[group]
            passes = self.schedule.compute(
                self.number, after_loads=max(pixels_there, pattern_there),
                after_drains=self.all.sums.ended(target, sums) if final else 0,
                first=int(first), last=int(final), pattern=pattern, offset=region * WORD_PIXELS, rows=tile.rows,
                period=period, columns=columns, target=target)
            self.all.pixels.use(region, self.plan.words, passes)
            self.all.patterns.use(pattern, 1, passes)
            if final:
                self.drain(tile, group, target, sums, passes)

    def chunk(self, tile, k):
        """Where a chunk's pixels are in the buffers, and after how many LOADs; loads them unless they are there."""
        if k in self.loaded:
            return self.loaded[k]
        words, row_words = self.plan.words, -(-self.step.width // WORD_PIXELS)
        region = self.all.pixels.take(words, words)
        chunk, after = self.mapping.chunks[k], self.all.pixels.ended(region, words)
        for number in range(chunk.count):
            channel = self.step.inputs[chunk.first + number]
            there = self.schedule.load(
                self.number, after_passes=after, after_drains=self.stored(channel, tile), kind=Load.PIXELS,
                address=channel.address.behind(tile.input_first * row_words * ALIGNMENT), rows=1,
                row_words=tile.input_rows * row_words, target=region, chain_first=number * chunk.width,
                chain_count=chunk.width)
        self.loaded[k] = region, there
        return self.loaded[k]

    def stored(self, channel, tile):
        """How many DRAINs must have ended before the rows that ``tile`` needs of a channel are in memory."""
        if channel.source is None:
            return 0
        number, output = channel.source
        first, end = tile.input_first, tile.input_first + tile.input_rows
        return max(drains for low, high, drains in self.all.drained[number][output // self.shape.lanes]
                   if low < end and high > first)

    def pattern_contents(self, tile):
        """Patterns of the passes over ``tile``."""
        if self.contents[0] != tile:
            mapping = self.mapping
            self.contents = tile, [mapping.pattern(mapping.chunks[k], number, tile) for k, number in mapping.passes]
        return self.contents[1]

    def pattern(self, content):
        """Index of a pattern, and after how many LOADs it is there; loads it unless it is."""
        if content not in self.all.held:
            if content not in self.all.known:
                self.all.known[content] = self.all.image.add(Region.PATTERNS, content)
            index = self.all.patterns.take(1)
            self.all.held = {other: place for other, place in self.all.held.items() if place[0] != index}
            there = self.schedule.load(
                self.number, after_passes=self.all.patterns.ended(index, 1), kind=Load.PATTERNS,
                address=self.all.known[content], rows=1, row_words=self.shape.chains, target=index,
                chain_count=self.shape.chains)
            self.all.held[content] = index, there
        return self.all.held[content]

    # Results

    def parameter_images(self):
        """Addresses of the parameters, half of their room at a time; whole output groups."""
        quantised = self.step.requantise
        if quantised is None:
            return []
        entries = list(zip(quantised.factor, quantised.addend, quantised.shift, strict=True))
        names = [name for name, _ in PARAMETERS]
        size = self.parameter_groups * self.shape.lanes
        contents = [[pack(PARAMETERS, dict(zip(names, entry, strict=True))).to_bytes(ALIGNMENT, "little")
                     for entry in entries[first:first + size]] for first in range(0, len(entries), size)]
        return [(self.all.image.add(Region.PARAMETERS, b"".join(content)), len(content)) for content in contents]

    @property
    def parameter_groups(self):
        """Output groups whose parameters are loaded together."""
        return max(1, PARAMETER_ROOM // 2 // self.shape.lanes)

    def parameter(self, group):
        """Index of the parameters of a group's lane 0, and after how many LOADs they are there."""
        number, place = divmod(group, self.parameter_groups)
        if self.parameter_chunk is None or self.parameter_chunk[0] != number:
            address, count = self.parameters[number]
            start = self.all.parameters.take(count)
            there = self.schedule.load(
                self.number, after_drains=self.all.parameters.ended(start, count), kind=Load.PARAMETERS,
                address=address, rows=1, row_words=count, target=start)
            self.parameter_chunk = number, start, there
        return self.parameter_chunk[1] + place * self.shape.lanes, self.parameter_chunk[2]

    def drain(self, tile, group, target, sums, passes):
        """Store the rows of an output group."""
        step, output = self.step, self.step.output
        lanes = min(self.shape.lanes, len(step.weights) - group * self.shape.lanes)
        fields, there, quantised = {"raw": 1}, 0, step.requantise
        if quantised:
            index, there = self.parameter(group)
            fields = {"signed": int(quantised.signed), "bipolar": int(quantised.bipolar), "high": quantised.high,
                      "parameters": index}
        pool = {"kernel": 1, "stride": 1}
        if step.pool:
            pool = {"kernel": step.pool.size, "stride": step.pool.stride, "pad_top": tile.pad_top,
                    "pad_left": step.pool.left}
        place = output.address.behind(group * self.shape.lanes * output.plane + tile.out_first * output.row)
        drains = self.schedule.drain(
            self.number, after_loads=there, after_passes=passes, address=place, plane_stride=output.plane, lanes=lanes,
            source=target, rows=tile.rows, columns=step.columns, rows_out=tile.out_rows, columns_out=output.width,
            **fields, **pool)
        self.all.sums.use(target, sums, drains)
        if quantised:
            self.all.parameters.use(index, lanes, drains)
        self.drained[group].append((tile.out_first, tile.out_first + tile.out_rows, drains))
