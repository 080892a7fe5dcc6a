# amaranth: UnusedElaboratable=no
"""Units whose sizes are kept in ``docs/unit-sizes.json``, so that none grows unseen: ``python -m tests.unit_sizes``."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gen.bits import BIPOLAR, Values
from gen.calibrate import Sample, Shuffle, parts
from gen.folding import Folding
from gen.network import Conv, Pool, Tensor, Threshold
from gen.stages import Stage
from gen.synth import measure

__all__ = ["FILE", "SAMPLES", "named_units"]

FILE = Path(__file__).parents[1] / "docs" / "unit-sizes.json"
RNG = np.random.default_rng(1)


def conv(name, size, channels, outputs, *, kernel=3, values=BIPOLAR, weights=BIPOLAR):
    rows = RNG.choice(range(weights.lo, weights.hi + 1, weights.step), (outputs, channels, kernel, kernel))
    return Conv(name, Tensor(size, size, channels, values), (1, 1), (kernel // 2,) * 4, rows, weights)


def stage(layer, signs=True):
    outputs = len(layer.weights)
    limits = RNG.integers(layer.output.values.lo // 2, layer.output.values.hi // 2, (outputs, 1))
    sign = Threshold("sign", layer.output, limits, np.zeros(outputs, bool), BIPOLAR)
    return Stage(layer, sign if signs else None, None, (None,))


FIRST, MIDDLE, DENSE = (conv("first", 32, 3, 64, values=Values(-128, 127)), conv("middle", 16, 64, 64),
                        conv("dense", 1, 512, 256, kernel=1))
SAMPLES = [
    Sample(stage(FIRST), Folding(4, 3, 2), 1),
    Sample(stage(MIDDLE), Folding(4, 16, 4, dsp=True), 4),
    Sample(stage(MIDDLE), Folding(2, 8, 16, 3), 8),
    Sample(stage(DENSE), Folding(2, 32, 1), 1),
    Sample(stage(conv("scores", 1, 256, 10, kernel=1), signs=False), Folding(1, 16, 1), 1),
    Sample(stage(conv("totals", 8, 32, 16), signs=False), Folding(2, 8, 4), 2),
    Sample(Stage(Pool("pool", Tensor(32, 32, 64, BIPOLAR), (2, 2)), None, None, (None,)), Folding(simd=16), 2),
    Sample(Stage(Pool("overlap", Tensor(16, 16, 32, BIPOLAR), (2, 2), (0,) * 4, (3, 3)), None, None, (None,)),
           Folding(simd=8), 1),
    Sample(stage(conv("ternary", 8, 16, 16, weights=Values(-1, 1)), signs=False), Folding(16, 4, 2), 1),
    Sample(stage(conv("nibbles", 8, 16, 16, values=Values(-8, 7), weights=Values(-1, 1)), signs=False),
           Folding(2, 16), 1),
    Sample(stage(conv("narrow", 8, 8, 16)), Folding(8, 2, 4), 4),
    Sample(Stage(Pool("mean", Tensor(8, 8, 16, BIPOLAR), (4, 4), (0,) * 4, (4, 4), "sum"), None, None, (None,)),
           Folding(simd=16), 1),
    Shuffle(8, 8, 2, 4, 36),
]


def named_units():
    """(name, unit, predicted resources) of everything that makes up :data:`SAMPLES`."""
    return [(f"{one}: {kind}", unit, expected) for one in SAMPLES for kind, unit, expected in parts(one)]


def main():
    """Measure all units with Yosys, and keep their sizes."""
    units = named_units()
    sizes = zip(units, measure([unit for _, unit, _ in units]), strict=True)
    entries = (f"  {json.dumps(name)}: {json.dumps(asdict(size))}" for (name, *_), size in sizes)
    FILE.write_text("{\n" + ",\n".join(entries) + "\n}\n")
    print(f"written: {FILE}")


if __name__ == "__main__":
    main()
