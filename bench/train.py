"""Measure training: ``python -m bench.train`` (``make bench-train``) writes ``docs/bench-train.json`` and a table.

Beside our way, as `train.run` trains, runs plain Brevitas: its own quantisers as its ``bnn_pynq`` examples set them,
float32, contiguous images, eager. The two take turns in one process on the same images from the same first weights.
"""

import pathlib
import time
from statistics import mean, median, stdev
from typing import Annotated

import brevitas.nn as qnn
import torch
import typer
from brevitas.core.quant import QuantType
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from rich.progress import track

from bench.figures import report, row
from gen.errors import reported
from train import data, loop, nets, recipes
from train.run import machine
from train.tensor_quant import Injector

ROUNDS = {"cnv": 12, "bvgg16": 6}  # of STEPS steps each
STEPS, BATCH, SEEDS = 10, 100, (1, 2, 3)
OURS, PLAIN = "ours", "plain Brevitas"


class _Binary(Injector):
    quant_type = QuantType.BINARY


class _Brevitas:
    """Brevitas' quantisers, in the place of a `train.quantizers.Quantizer`."""

    clamped, rectified = True, False

    def weights(self):
        return type("Weight", (_Binary, WeightQuantSolver), {})

    def activate(self):
        return qnn.QuantIdentity(act_quant=type("Activation", (_Binary, ActQuantSolver), {}))


class _Way:
    """A network in the making."""

    def __init__(self, net, name, seed, device):
        self.recipe = recipes.load("quick", seed=seed, batch=BATCH, bfloat16=name == OURS)
        torch.manual_seed(seed)
        self.model = nets.build(net, "ste" if name == OURS else _Brevitas()).to(device)
        if name == OURS:
            self.model.to(memory_format=torch.channels_last)
            if device == "cuda":
                self.model.compile()
        self.optimiser = loop.adam(self.model) if name == OURS else torch.optim.Adam(self.model.parameters())
        self.losses, self.rates = [], []

    def train(self, images, number):
        """Train on so many images, one step a batch."""
        start = time.monotonic()
        self.losses.append(loop.train_epoch(self.model, self.optimiser, images, self.recipe, number))
        self.rates.append(len(images.labels) / (time.monotonic() - start))


def compare(net, rounds, images, device):
    """Images a second of both ways in so many rounds, and how far their losses are apart."""
    runs = {OURS: [], PLAIN: []}
    for seed in SEEDS:
        ways = {name: _Way(net, name, seed, device) for name in runs}
        for number in track(range(rounds), f"{net}, seed {seed}", transient=True):
            part = slice(number * STEPS * BATCH, (number + 1) * STEPS * BATCH)
            for way in ways.values():
                way.train(loop.Images(images.pixels[part], images.labels[part]), number)
        for name, way in ways.items():
            runs[name].append(way)
    rate = {name: median(r for way in ways for r in way.rates[1:]) for name, ways in runs.items()}
    for name in runs:
        yield row(f"{net}: {name}", round(rate[name], 1), "images/s", "", "training", True)
    ratio = rate[OURS] / rate[PLAIN]
    yield row(f"{net}: {OURS} / {PLAIN}", round(ratio, 2), "", "1.5", "training", ratio >= 1.5)
    last = {name: [mean(way.losses[-rounds // 3:]) for way in ways] for name, ways in runs.items()}
    gap, noise = abs(mean(last[OURS]) - mean(last[PLAIN])), max(map(stdev, last.values()))
    for name in runs:
        yield row(f"{net}: loss in the last third, {name}", round(mean(last[name]), 4), "", "", "training", True)
    yield row(f"{net}: difference of the losses", round(gap, 4), "",
              f"2 standard deviations between seeds, {2 * noise:.4f}", "training", gap <= 2 * noise)


def main(
    folder: Annotated[
        pathlib.Path | None, typer.Option("--data", help="Folder of the data sets; or set BNN_DATA.")
    ] = None,
    out: Annotated[
        pathlib.Path, typer.Option(help="Where to write the figures.")
    ] = pathlib.Path("docs/bench-train.json"),
):
    """Compare our way to train with plain Brevitas; half an hour on two cores."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with reported():
        images = loop.Images.of(*data.load("cifar10", "train", folder), device)
    report((compare(net, rounds, images, device) for net, rounds in ROUNDS.items()), out, machine(device))


if __name__ == "__main__":
    typer.run(main)
