"""What the array takes: ``python -m bench.svpe`` (``make bench-svpe``) writes ``docs/bench-svpe.json``.

One 3x3 array, that is three chains of three cells of one lane, as Yosys synthesises it, with all that it takes to load
its weights, which a larger array has once for all its lanes or chains. The bars are the figures of Chen et al. 2020.
"""

import pathlib
from typing import Annotated

import typer

from bench.figures import report, row
from gen.hw.svpe.cluster import Cluster
from gen.svpe.shape import Shape
from gen.synth import measure

LUTS = {("svpe", 1): 353, ("svpe", 2): 280, ("svpe", 3): 307, ("svpe", 4): 334, ("svpe", 5): 346, ("vpe", 16): 41}
DSPS = {"svpe": 3, "luts": 0, "vpe": 12}
KINDS = [*((form, bits) for form in ("svpe", "luts") for bits in range(1, 6)), ("vpe", 16)]


def arrays(pixel_bits):
    """LUTs, flip-flops and DSPs of each kind of array."""
    shapes = [Shape(chains=3, taps=3, lanes=1, drains=1, form=form, bits=bits, pixel_bits=pixel_bits)
              for form, bits in KINDS]
    for (form, bits), found in zip(KINDS, measure([Cluster(shape) for shape in shapes]), strict=True):
        what = f"3x3 {form}, {bits}-bit weights, {pixel_bits}-bit pixels"
        bar = LUTS.get((form, bits)) if pixel_bits == 16 else None
        yield row(what, found.lut, "LUT", f"{bar}" if bar else "", "Yosys estimate", not bar or found.lut <= bar)
        yield row(what, found.ff, "FF", "", "Yosys estimate", True)
        yield row(what, found.dsp, "DSP", f"{DSPS[form]}", "Yosys estimate", found.dsp <= DSPS[form])


def main(
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-svpe.json"),
):
    """Measure what arrays take; some minutes."""
    report(map(arrays, (16, 17)), out)


if __name__ == "__main__":
    typer.run(main)
