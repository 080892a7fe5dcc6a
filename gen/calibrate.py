"""Compare the cost model with Yosys on random layers, and fit its coefficients: ``python -m gen.calibrate``."""

import json
import random
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from . import buffers, cost
from .bits import BIPOLAR, Values
from .folding import Folding, divisors
from .hw.core import Netlist
from .network import Conv, Network, Pool, Tensor, Threshold
from .synth import measure

__all__ = ["predicted", "sample"]

INPUTS = [BIPOLAR] * 4 + [Values(-128, 127), Values(-8, 7), Values(0, 3)]
WEIGHTS = [BIPOLAR] * 4 + [Values(-1, 1), Values(-8, 7)]
OUTPUTS = [BIPOLAR] * 3 + [Values(0, 3), Values(0, 15)]


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
    folding = Folding(pick.choice(divisors(len(rows))), pick.choice(divisors(channels)),
                      pick.choice(divisors(layer.output.width)))
    small = folding.pe * folding.pixels <= 64 and folding.simd <= 256 and folding.pe * folding.simd <= 512 and (
        folding.simd * folding.pixels * values.bits <= 512)
    return (layer, folding, pick.choice([None, _threshold(pick, layer.output)])) if small else _conv(pick, name)


def _pool(pick, name):
    tensor = Tensor(pick.choice([8, 16]), 8, pick.choice([16, 64]), pick.choice(INPUTS))
    size = pick.choice([2, 4])
    layer = Pool(name, tensor, (size, size), (0,) * 4, (size, size), pick.choice(["max", "sum"]))
    return layer, Folding(simd=pick.choice(divisors(16))), None


def sample(seed):
    """One random layer, its folding, and the threshold after it or None."""
    pick = random.Random(seed)
    return (_pool if pick.random() < 0.15 else _conv)(pick, f"layer{seed}")


def _network(layer, threshold):
    layers = (layer,) if threshold is None else (layer, threshold)
    classes = layers[-1].output.channels
    return Network("calibration", layers, np.ones(classes), np.zeros(classes))


def _costs(layer, folding, threshold):
    rows = buffers.sizes(_network(layer, threshold), {layer.name: folding}).rows
    return cost.units(layer, folding, threshold, rows.get(layer.name))


def predicted(layer, folding, threshold):
    """(unit, its name, predicted resources) of everything that makes up a layer."""
    costs = _costs(layer, folding, threshold)
    for name, unit in Netlist(_network(layer, threshold), {layer.name: folding}).units.items():
        kind = name.removeprefix(f"{layer.name}_")
        yield unit, kind, costs[kind]


def _features(samples):
    """What each coefficient of :data:`cost.CONTROL` counts in each unit, by kind: linear, so set one at a time."""
    original, rows = cost.CONTROL, defaultdict(list)
    for kind, (luts, _) in original.items():
        for number in [None, *range(len(luts))]:
            unit = np.eye(len(luts))[number] if number is not None else np.zeros(len(luts))
            cost.CONTROL = original | {kind: (unit, unit)}
            rows[kind].append([costs[kind] for costs in (_costs(*one) for one in samples) if kind in costs])
    cost.CONTROL = original
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
            weight = 1 / np.maximum(target, 30)
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
    layers = [sample(seed) for seed in range(first, first + samples)]
    units = [(one, *unit) for one in layers for unit in predicted(*one)]
    with console.status(f"synthesising {len(units)} units of {samples} layers"):
        measured = measure([unit for _, unit, _, _ in units])
    for (one, _, kind, expected), found in zip(units, measured, strict=True):
        kinds[kind].append((expected, found))
        records.append({"unit": kind, "input": str(one[0].input), "output": str(one[0].output),
                        "folding": str(one[1]), "measured": asdict(found)})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
    table = Table("unit", "number", "LUT", "median", "outside", "FF", "median", "outside", box=box.SIMPLE_HEAD,
                  title="Errors of the cost model against Yosys synth_xilinx -family xcup; outside: over 15 % and 16")
    for kind, pairs in kinds.items():
        cells = []
        for what in ("lut", "ff"):
            model, truth = np.array([[getattr(one, what) for one in pair] for pair in pairs]).T
            errors = np.abs(model - truth)
            outside = (errors > np.maximum(0.15 * truth, 16)).sum()
            cells += [f"{truth.sum():,.0f}", f"{np.median(errors / np.maximum(truth, 1)):.1%}", str(outside)]
        table.add_row(kind, str(len(pairs)), *cells)
    console.print(table, f"Measured sizes: {out}", "Coefficients that fit best:", sep="\n")
    for kind, pair in fit(layers, {kind: [found for _, found in pairs] for kind, pairs in kinds.items()}).items():
        console.print(f'    "{kind}": {pair},', soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
