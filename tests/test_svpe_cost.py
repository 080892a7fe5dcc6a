# amaranth: UnusedElaboratable=no
"""What an array is predicted to take, against Yosys."""

import pytest

from gen.hw.svpe.accumulate import Accumulators
from gen.hw.svpe.cluster import Cluster
from gen.hw.svpe.drain import Drain
from gen.hw.svpe.load import LoadUnit
from gen.hw.svpe.rows import RowChain
from gen.hw.svpe.weights import WeightUnit
from gen.resources import Resources
from gen.svpe.cost import cost, units
from gen.svpe.shape import Shape
from gen.synth import measure

from .test_cost import close

CLUSTER = "cells", "lanes", "cluster"


def small(form="svpe", bits=3, **changed):
    return Shape(**{"chains": 2, "lanes": 4, "drains": 2, "chain_words": 64, "out_depth": 64, "acc_bits": 36,
                    "form": form, "bits": bits} | changed)


def cases():
    """(name, predicted, unit)."""
    for form, bits in ("svpe", 3), ("luts", 5), ("vpe", 16):
        yield f"{form} cluster", small(form, bits), Cluster, CLUSTER
        shape = small(form, bits, chains=1, chain_words=512, pixel_bits=16)
        if form != "luts":
            yield f"{form} chain", shape, lambda shape: RowChain(shape, Cluster(shape).skew), ["row chains"]
    yield "signs", small(bits=1, pixel_bits=9), Cluster, CLUSTER
    yield "accumulators", small(lanes=12), lambda shape: Accumulators(shape, 24), ["accumulators"]
    yield "drain", small(), lambda shape: Drain(shape, 3), ["drain"]
    yield "load", small(chains=24), LoadUnit, ["load"]
    for lanes in 4, 32:
        yield f"weights of {lanes}", small(lanes=lanes), WeightUnit, ["weights"]


@pytest.fixture(scope="module")
def synthesised():
    """(name, predicted, measured), in one run of Yosys."""
    found = measure([make(shape) for _, shape, make, _ in cases()])
    return [(name, sum((units(shape)[part] for part in parts), Resources()), taken)
            for (name, shape, _, parts), taken in zip(cases(), found, strict=True)]


def test_units_within_15_percent_of_yosys(synthesised):
    off = [(name, what, getattr(expected, what), getattr(found, what))
           for name, expected, found in synthesised
           for what, slack in [("lut", 16), ("ff", 16), ("bram", 0.5), ("dsp", 0)]
           if not close(getattr(expected, what), getattr(found, what), slack)]
    assert not off


@pytest.mark.parametrize(("less", "more"), [
    (small(), small(lanes=8)), (small(), small(chains=3)), (small(bits=2), small(bits=3)), (small(), small(bits=5)),
    (small(), small("luts")), (small(), small(drains=4)), (small(out_depth=32), small()), (small(taps=2), small())])
def test_more_takes_more_luts(less, more):
    assert cost(less).lut < cost(more).lut and cost(less).ff <= cost(more).ff


def test_multipliers_take_dsps_instead():
    shifts, products = cost(small()), cost(small("vpe", 16))
    assert products.dsp == shifts.dsp + 2 * 2 * 4 and products.lut < shifts.lut


def test_whole_is_the_sum():
    assert cost(small()) == sum(units(small()).values(), Resources())
