"""What an array takes, by unit: fitted to Yosys, as `gen.cost` is."""

from math import lcm, log2

from ..cost import converters
from ..hw.svpe.controls import Controls
from ..memory_cost import ram
from ..resources import Resources
from .shape import WORD

__all__ = ["cost", "units"]

# LUTs of a cell: for each bit of a pixel, and besides. The first one of a chain only shifts, the others add, too.
FIRST = {1: (0, 0), 2: (0, 0), 3: (1, 1), 4: (2, 4), 5: (2, 12)}
NEXT = {1: (1, 0), 2: (1, 0), 3: (1, 3), 4: (2, 14), 5: (2, 23)}
FLIP_FLOPS = {1: (2, 1), 2: (2, 3), 3: (4, 9), 4: (3, 21), 5: (5, 39)}  # of either


def _chain(shape):
    """Cells of a chain, and what adds them to those above."""
    if shape.form == "vpe":
        return Resources(ff=shape.taps, dsp=shape.taps)
    in_luts = shape.taps - (shape.form == "svpe")

    def cell(table):
        slope, rest = table[shape.bits]
        return slope * shape.pixel_bits + rest

    luts = cell(FIRST) * (in_luts > 0) + cell(NEXT) * max(0, in_luts - 1)
    chain = Resources(lut=luts, ff=cell(FLIP_FLOPS) * in_luts + 3)
    bits = shape.sums.bits
    return chain + (Resources(dsp=1) if shape.form == "svpe" else Resources(lut=bits + 1, ff=bits))


def _lane(shape):
    """What decodes weights in a lane; those of multipliers come as they are."""
    bits = Controls(shape).size
    luts = max(2, bits - 1 - (shape.form == "svpe" and shape.bits < 3))
    return Resources(lut=0 if shape.form == "vpe" else luts, ff=bits)


def _weights(shape):
    """What makes words of one cell's weights from those of memory; a choice of more than 4 parts takes more LUTs."""
    parts = lcm(WORD, shape.word_bits) // shape.word_bits
    found = sum(converters(1, WORD, shape.word_bits).values(), Resources())
    return found + Resources(lut=5 + shape.word_bits * max(0, log2(parts) - 2), ff=8)


def units(shape):
    """Resources of the units of an array, by name; equal units together."""
    cells, groups = shape.chains * shape.taps, shape.lanes // shape.drains
    mux = shape.drains * shape.acc_bits * -(-(groups - 1) // 3)
    accumulator = ram(shape.acc_bits, shape.out_depth) * 2 + Resources(lut=shape.acc_bits + 1, ff=4 * shape.acc_bits)
    pieces = max(1, -(-(shape.acc_bits - 1) // 17))  # of a sum, in the multiplication of the drain
    return {
        "cells": _chain(shape) * (shape.chains * shape.lanes),
        "lanes": _lane(shape) * shape.lanes,
        "cluster": Resources(lut=10, ff=3 * cells + shape.word_bits),
        "row chains": (ram(WORD, shape.chain_words) + Resources(
            lut=252 + 17 * shape.taps, ff=119 + (53 if shape.form != "vpe" else 92) * shape.taps)) * shape.chains,
        "accumulators": accumulator * shape.lanes + Resources(lut=mux, ff=mux // 2 + 60),
        "drain": Resources(lut=770, ff=930, dsp=pieces) * shape.drains + Resources(lut=500, ff=980, bram=3),
        "load": Resources(lut=155 + 3 * shape.chains, ff=500 + 2 * shape.chains),
        "weights": _weights(shape),
        "control": Resources(lut=1325, ff=2800),  # sequencer, passes, registers
        "memory ports": Resources(lut=240 * 3 + 220, ff=244 * 3 + 226, bram=6),
    }


def cost(shape):
    """Resources of a whole accelerator."""
    return sum(units(shape).values(), Resources())
