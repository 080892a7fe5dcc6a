"""Compare ways to train on small networks, over several seeds: ``python -m train.study --data DIR``.

Each (network, quantiser, seed) leaves one JSON file in the folder; those that are there are not trained again. From
all of them come a table and a plot of mean and spread. All cells train equally long and see the images in the same
order for the same seed; ``ubq`` spends the last epochs freezing layer after layer. Accuracies are those of the golden
model on all test images: of what the hardware computes.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated

import matplotlib
import torch
import typer
from matplotlib import pyplot
from rich.progress import track

from gen.errors import UserError, reported
from train import data, deploy, files, loop, nets
from train.recipes import Recipe
from train.run import HELD_OUT, agreement

__all__ = ["cell", "recipe", "table"]

RATE, BATCH, FREEZE = 0.01, 100, 1


def recipe(net, quantiser, epochs, seed):
    """The recipe of one cell: ``epochs`` in all."""
    freeze = FREEZE * (quantiser == "ubq")
    layers = len(nets.binary_weights(nets.build(net, quantiser)))
    if epochs <= freeze * (layers - 1):
        raise UserError(f"{net} has {layers} layers to freeze: {epochs} epochs are too few")
    return Recipe(epochs - freeze * (layers - 1), RATE, BATCH, "linear", quantiser, freeze=freeze, seed=seed)


def cell(net, quantiser, seed, epochs, folder, out):
    """Train one cell and write its result to ``out``."""
    torch.set_num_threads(1)  # another cell has the other core
    torch.manual_seed(seed)
    settings, dataset = recipe(net, quantiser, epochs, seed), nets.NETS[net].dataset
    torch.manual_seed(seed)
    model = nets.build(net, quantiser).to(memory_format=torch.channels_last)
    train, _ = loop.Images.of(*data.load(dataset, "train", folder)).split(HELD_OUT)
    optimiser = loop.adam(model)
    for epoch in range(loop.epochs_of(settings, model)):
        loss = loop.train_epoch(model, optimiser, train, settings, epoch)
    loop.finish(model, train, settings)
    result = {"net": net, "quantiser": quantiser, "seed": seed, "epochs": epochs, "loss": round(loss, 4)}
    result |= agreement(model, deploy.deployed(model, net), net, data.load(dataset, "test", folder), "cpu")
    del result["confusion"]
    files.write(out.parent, {out.name: f"{json.dumps(result)}\n".encode()})


def table(results):
    """Markdown: for each network and quantiser the mean accuracy, its spread over seeds, the worst and best."""
    lines = ["| network | quantiser | seeds | mean % | standard deviation | worst | best | scores that differ |",
             "|---|---|---|---|---|---|---|---|"]
    for net, quantiser in dict.fromkeys((r["net"], r["quantiser"]) for r in results):
        cells = [r for r in results if (r["net"], r["quantiser"]) == (net, quantiser)]
        scores = [r["golden_accuracy"] for r in cells]
        spread = f"{stdev(scores):.2f}" if len(scores) > 1 else ""
        lines.append(f"| {net} | {quantiser} | {len(scores)} | {mean(scores):.2f} | {spread} | {min(scores):.2f} "
                     f"| {max(scores):.2f} | {sum(r['disagreements'] for r in cells)} |")
    return "\n".join(lines) + "\n"


def _plot(results, path):
    matplotlib.use("agg")
    names = list(dict.fromkeys(r["net"] for r in results))
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.2), squeeze=False, layout="constrained")
    for axis, net in zip(axes[0], names, strict=True):
        groups = {}
        for result in results:
            if result["net"] == net:
                groups.setdefault(result["quantiser"], []).append(result["golden_accuracy"])
        for place, scores in enumerate(groups.values()):
            axis.plot([place] * len(scores), scores, "o", color="0.6", markersize=4)
            axis.errorbar(place + 0.15, mean(scores), stdev(scores) if len(scores) > 1 else 0, fmt="s", capsize=4)
        axis.set_xticks(range(len(groups)), groups)
        axis.set_title(net)
        axis.grid(axis="y", alpha=0.3)
    axes[0][0].set_ylabel("test accuracy of the golden model, %")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(
    folder: Annotated[Path | None, typer.Option("--data", help="Folder of the data sets; or set BNN_DATA.")] = None,
    network: Annotated[list[str], typer.Option(help="Once for each.")] = ("cnn6", "lenet"),
    quantiser: Annotated[list[str], typer.Option(help="Once for each.")] = ("ubq", "ste", "tanh", "dsq"),
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Of every cell.")] = 10,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time, one core each.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the results, the table and the plot.")] = Path("runs/study"),
):
    """Train every quantiser on every network with every seed, and compare."""
    with reported():
        for pair in product(network, quantiser):
            recipe(*pair, epochs, seed=1)  # or say what is wrong before anything is trained
        cells = {out / "cells" / f"{n}-{q}-{seed}-{epochs}.json": (n, q, seed)
                 for n, q, seed in product(network, quantiser, range(1, seeds + 1))}
        (out / "cells").mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            waiting = [pool.submit(cell, *what, epochs, folder, path)
                       for path, what in cells.items() if not path.exists()]
            for future in track(waiting, f"{len(waiting)} of {len(cells)} cells"):
                future.result()
        results = [json.loads(path.read_text()) for path in cells]
        (out / "README.md").write_text(f"# Quantisers on small networks, {epochs} epochs\n\n{table(results)}\n"
                                       "![Accuracy by quantiser](accuracy.png)\n")
        _plot(results, out / "accuracy.png")
    print(table(results))


if __name__ == "__main__":
    typer.run(main)
