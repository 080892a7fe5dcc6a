# amaranth: UnusedElaboratable=no
"""Compare the cost model with Yosys on random layers, and fit its coefficients: ``python -m gen.calibrate``."""

import json
import random
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from . import cost
from .bits import BIPOLAR, Values
from .cost import control
from .folding import Folding, divisors, takes, taps, whole_rows
from .hw.core import stage_units
from .hw.reorder import Reorder
from .network import Conv, Network, Pool, Tensor, Threshold
from .stages import Stage, stages
from .synth import measure

__all__ = ["Sample", "Shuffle", "parts", "sample"]

INPUTS = [BIPOLAR] * 8 + [Values(-128, 127), Values(-8, 7), Values(0, 3)]
WEIGHTS = [BIPOLAR] * 8 + [Values(-1, 1), Values(-8, 7)]
OUTPUTS = [BIPOLAR] * 6 + [Values(0, 3), Values(0, 15)]
LARGEST = 2048  # products in a clock, times bits


@dataclass(frozen=True)
class Sample:
    """A layer, what comes after it, and its folding.

    Parameters
    ----------
    stage : Stage
    folding : Folding
    taken : int
        Positions that come at a time.
    """

    stage: Stage
    folding: Folding
    taken: int

    @property
    def units(self):
        """The hardware, by kind of unit."""
        return {name.removeprefix(f"{self.stage.name}_"): unit
                for name, unit in stage_units(self.stage, self.folding, self.taken, None)}

    @property
    def costs(self):
        """What the cost model says, by kind of unit."""
        return cost.units(self.stage, self.folding, self.taken)

    def control(self, kind):
        """Whose coefficients the price of a unit has."""
        return "rows" if kind == "window" and whole_rows(self.stage.layer, self.folding) else kind

    def __str__(self):
        return f"{self.stage.layer.input} to {self.stage.output}, {self.folding}, {self.taken} taken"


@dataclass(frozen=True)
class Shuffle:
    """A reorder unit as a :class:`Sample`; parameters as :class:`gen.hw.reorder.Reorder` has them."""

    width: int
    pixels: int
    given: int
    folds: int
    interval: int

    @property
    def units(self):
        """The hardware."""
        return {"reorder": Reorder(self.width, pixels=self.pixels, given=self.given, folds=self.folds,
                                   interval=self.interval)}

    @property
    def costs(self):
        """What the cost model says."""
        return {"reorder": cost.reordered(self.width, self.pixels, self.given, self.folds, self.interval)}

    def control(self, kind):
        """Whose coefficients the price has."""
        return kind

    def __str__(self):
        return f"{self.width} x {self.pixels} to {self.given}, {self.folds} folds, interval {self.interval}"


def _threshold(pick, tensor):
    values, rng = pick.choice(OUTPUTS), np.random.default_rng(pick.randrange(2**32))
    limits = rng.integers(tensor.values.lo, tensor.values.hi + 1, (tensor.channels, values.levels - 1))
    return Threshold("threshold", tensor, np.sort(limits, axis=1), np.zeros(tensor.channels, bool), values)


def _conv(pick, name):
    values, weights, rng = pick.choice(INPUTS), pick.choice(WEIGHTS), np.random.default_rng(pick.randrange(2**32))
    dense = pick.random() < 0.3
    size = 1 if dense else pick.choice([4, 8, 16, 32])
    channels = pick.choice([64, 512, 1024] if dense else [3, 8, 16, 64, 128])
    kernel = 1 if dense else pick.choice([1, 3, 3, 3, 5])
    rows = rng.choice([-1, 1] if weights.bipolar else np.arange(weights.lo, weights.hi + 1),
                      (pick.choice([4, 16, 64, 128]), channels, kernel, kernel))
    layer = Conv(name, Tensor(size, size, channels, values), (1, 1) if dense else (pick.choice([1, 1, 1, 2]),) * 2,
                 (pick.choice([0, kernel // 2]) if size > kernel else kernel // 2,) * 4, rows, weights)
    pixels = pick.choice([*divisors(layer.output.width), layer.output.width])
    simd = pick.choice(divisors(channels))
    folding = Folding(pick.choice(divisors(len(rows))), simd, pixels,
                      pick.choice(taps(layer, Folding(1, simd, pixels))))
    products = folding.pe * folding.simd * folding.pixels * folding.taps * values.bits
    if products > LARGEST or folding.pe * pixels > 128 or (
            not (values.bipolar and weights.bipolar) and products > LARGEST // 8):
        return _conv(pick, name)
    return layer, folding, pick.choice([None, _threshold(pick, layer.output), _threshold(pick, layer.output)])


def _pool(pick, name):
    tensor = Tensor(pick.choice([8, 16]), 8, pick.choice([16, 64]), pick.choice(INPUTS))
    size, step = pick.choice([(2, 2), (2, 2), (4, 4), (3, 2), (2, 1)])
    layer = Pool(name, tensor, (step, step), (0,) * 4, (size, size), pick.choice(["max", "max", "sum"]))
    return layer, Folding(simd=pick.choice(divisors(16)), pixels=pick.choice(divisors(layer.output.width))), None


def _shuffle(pick):
    pixels = pick.choice([2, 4, 8, 16])
    return Shuffle(pick.choice([1, 8, 32, 64]), pixels, pick.choice(divisors(pixels)[:-1]), pick.choice([1, 2, 8, 16]),
                   pick.choice([4, 36, 72]))


def sample(seed):
    """One random :class:`Sample`, or shuffle."""
    pick = random.Random(seed)
    what = pick.random()
    if what < 0.08:
        return _shuffle(pick)
    layer, folding, threshold = (_pool if what < 0.25 else _conv)(pick, f"layer{seed}")
    layers = (layer,) if threshold is None else (layer, threshold)
    classes = layers[-1].output.channels
    (stage,) = stages(Network("calibration", layers, np.ones(classes), np.zeros(classes)))
    dsp = cost.dsp_accumulators(stage, folding) and pick.random() < 0.5
    most = takes(layer, folding)
    taken = takes(layer, folding, pick.choice(divisors(most)))
    return Sample(stage, Folding(folding.pe, folding.simd, folding.pixels, folding.taps, dsp), taken)


def parts(one):
    """(kind, unit, predicted resources) of everything with a clock that makes up a sample."""
    costs = one.costs
    return [(kind, unit, costs[kind]) for kind, unit in one.units.items() if kind != "recode"]


def _features(samples):
    """What each coefficient of :data:`control.CONTROL` counts in each unit, by kind: linear, so set one at a time."""
    original, rows = control.CONTROL, defaultdict(list)
    for kind, (luts, _) in original.items():
        for number in [None, *range(len(luts))]:
            unit = np.eye(len(luts))[number] if number is not None else np.zeros(len(luts))
            control.CONTROL = original | {kind: (unit, unit)}
            rows[kind].append([price for one in samples for name, price in one.costs.items()
                               if one.control(name) == kind])
    control.CONTROL = original
    return rows


def fit(samples, measured):
    """Coefficients with the least relative error on ``measured`` (kind to list of resources)."""
    fitted = {}
    for kind, (base, *units) in _features(samples).items():
        if kind not in measured:
            continue
        pair = []
        for what in ("lut", "ff"):
            exact, target = (np.array([getattr(r, what) for r in rows], float) for rows in (base, measured[kind]))
            sizes = np.array([[getattr(r, what) for r in rows] for rows in units], float).T - exact[:, None]
            weight = 1 / np.maximum(target, 100)
            found, *_ = np.linalg.lstsq(sizes * weight[:, None], (target - exact) * weight, rcond=None)
            pair.append(tuple(round(float(number), 2) for number in found))
        fitted[kind] = tuple(pair)
    return fitted


def main(
    samples: Annotated[int, typer.Option(help="Random layers to synthesise; some seconds each.")] = 100,
    first: Annotated[int, typer.Option(help="Seed of the first; others than the default are new to the model.")] = 0,
    out: Annotated[Path, typer.Option(help="Where to keep what was measured.")] = Path("docs/calibration.json"),
):
    """Synthesise random layers with Yosys, and compare each unit with the cost model."""
    console, kinds, records = Console(highlight=False), defaultdict(list), []
    picked = [sample(seed) for seed in range(first, first + samples)]
    units = [(one, *part) for one in picked for part in parts(one)]
    with console.status(f"synthesising {len(units)} units of {samples} layers"):
        measured = measure([unit for _, _, unit, _ in units])
    for (one, kind, _, expected), found in zip(units, measured, strict=True):
        kinds[one.control(kind)].append((expected, found))
        records.append({"unit": kind, "sample": str(one), "measured": asdict(found)})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
    table = Table("unit", "number", "LUT", "median", "outside", "FF", "median", "outside", box=box.SIMPLE_HEAD,
                  title="Errors of the cost model against Yosys synth_xilinx -family xcup; outside: over 10 % and 16")
    for kind, pairs in kinds.items():
        cells = []
        for what in ("lut", "ff"):
            model, truth = np.array([[getattr(one, what) for one in pair] for pair in pairs]).T
            errors = np.abs(model - truth)
            outside = (errors > np.maximum(0.1 * truth, 16)).sum()
            cells += [f"{truth.sum():,.0f}", f"{np.median(errors / np.maximum(truth, 1)):.1%}", str(outside)]
        table.add_row(kind, str(len(pairs)), *cells)
    console.print(table, f"Measured sizes: {out}", "Coefficients that fit best:", sep="\n")
    for kind, pair in fit(picked, {kind: [found for _, found in pairs] for kind, pairs in kinds.items()}).items():
        console.print(f'    "{kind}": {pair},', soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
