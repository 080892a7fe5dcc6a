"""What a multiply-accumulate takes: ``python -m bench.lanes`` (``make bench-lanes``) writes ``docs/bench-lanes.json``.

A lane of nine products of 16-bit activations with their adder tree, by width and kind of the weights, as Yosys
synthesises it; LUTs and DSPs are a ninth of the lane's.
"""

import pathlib
from typing import Annotated

import typer

from bench.area import Popcount
from bench.figures import report, row
from gen.bits import Powers, Values
from gen.hw.lanes import MultiplyLane, ShiftLane
from gen.synth import measure

PRODUCTS, ACTIVATIONS = 9, Values(0, 65535)


def _multiplier(bits):
    return MultiplyLane(PRODUCTS, ACTIVATIONS, Values(-1 << bits - 1, (1 << bits - 1) - 1), False)


def lanes():
    """LUTs, and DSPs, for each product."""
    shifts = {1: Popcount(PRODUCTS, ACTIVATIONS)} | {
        n: ShiftLane(PRODUCTS, ACTIVATIONS, Powers(2 ** (n - 1) - 1)) for n in (2, 3, 4, 5)}
    multipliers = {bits: _multiplier(bits) for bits in (4, 8, 16)}
    in_luts = dict(zip(multipliers, measure(list(multipliers.values()), dsp=False), strict=True))
    for n, found in zip(shifts, measure(list(shifts.values())), strict=True):
        bar = in_luts[16].lut / 3 if n == 3 else None
        yield row(f"shift, n = {n}", round(found.lut / PRODUCTS, 1), "LUT",
                  f"a third of a multiplier: {bar / PRODUCTS:.1f}; 0 DSP" if bar else "", "Yosys estimate",
                  not found.dsp and (not bar or found.lut < bar))
    for bits, found in in_luts.items():
        yield row(f"multiplier of LUTs, {bits} bits", round(found.lut / PRODUCTS, 1), "LUT", "", "Yosys estimate", True)
    for bits, found in zip(multipliers, measure(list(multipliers.values())), strict=True):
        yield row(f"multiplier in DSPs, {bits} bits", round(found.lut / PRODUCTS, 1), "LUT", "", "Yosys estimate", True)
        yield row(f"multiplier in DSPs, {bits} bits", round(found.dsp / PRODUCTS, 1), "DSP", "", "Yosys estimate", True)


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-lanes.json"),
):
    """Measure what a multiply-accumulate takes; some minutes."""
    report([lanes()], out)


if __name__ == "__main__":
    typer.run(main)
