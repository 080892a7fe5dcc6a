"""Command line: train one network, measure it on the test images, write it as QONNX."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import print

from gen.errors import UserError, reported
from train import data, deploy, export, loop, nets, quantizers

HELD_OUT = 5_000  # training images that only watch
CALIBRATION = 5_000  # training images over which an untrained network's statistics are averaged


def main(
    net: Annotated[str, typer.Option(help=f"One of {', '.join(nets.NETS)}.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; names what can be resumed.")],
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets; or set BNN_DATA.")
    ] = None,
    quantiser: Annotated[str, typer.Option(help=f"One of {', '.join(quantizers.QUANTIZERS)}.")] = "ste",
    epochs: Annotated[int, typer.Option(min=1, help="Length of the schedule.")] = 60,
    seed: Annotated[int, typer.Option(help="Decides weights, order and augmentation.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Adam's learning rate at the start.")] = 0.02,
    batch: Annotated[int, typer.Option(min=2, help="Images a step.")] = 100,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Train in bfloat16: faster with AMX or a GPU.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    calibrate_only: Annotated[
        bool, typer.Option("--calibrate-only", help="Leave the seeded weights untrained.")
    ] = False,
):
    """Train NET; write checkpoint.pt, log.csv, NET.onnx.xz and NET.json into OUT.

    The last 5,000 training images are held out to watch progress. The test images are looked at
    once, at the end. Stop at any time; the same command goes on after the last whole epoch.
    """
    with reported():
        torch.manual_seed(seed)
        model = nets.build(net, quantiser).to(_usable(device), memory_format=torch.channels_last)
        dataset = nets.NETS[net].dataset
        images = loop.Images.of(*data.load(dataset, "train", data_folder), device)
        test = loop.Images.of(*data.load(dataset, "test", data_folder), device)
        train, validation = images.split(HELD_OUT)
        recipe = loop.Recipe(epochs, seed, rate, batch, dataset == "cifar10", bfloat16, quantiser)
        start = time.monotonic()
        if calibrate_only:
            recipe = recipe._replace(epochs=0)
            nets.balance_pools(model)
            loop.calibrate(model, train.first(CALIBRATION))
            seconds = time.monotonic() - start
        else:
            seconds = loop.fit(model, train, validation, recipe, out, progress=sys.stdout.isatty())

        model = deploy.deployed(model, net).to(device)

    percent = None if calibrate_only else round(loop.accuracy(model, test), 2)
    report = {
        "net": net, "dataset": dataset, "trained": not calibrate_only, "accuracy": percent,
        "epochs": recipe.epochs, "seed": seed, "seconds": round(seconds),
        "machine": f"{os.cpu_count()} cores, {'CPU' if device == 'cpu' else device}",
        "command": _command(net, recipe, calibrate_only),
    }  # fmt: skip
    path = export.ship(model, net, report, out)
    result = "untrained" if calibrate_only else f"{percent} % of {len(test.labels):,} test images"
    print(f"{net}: {result}; written to {path}")


def _usable(device):
    """``device``, if PyTorch can use it here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of which PyTorch without CUDA raises the second
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return device


def _command(net, recipe, calibrate_only):
    """Return the command that makes the same again, folders replaced by DIR and RUN."""
    command = f"python -m train.run --net {net} --data DIR --out RUN --seed {recipe.seed}"
    if calibrate_only:
        return f"{command} --calibrate-only"
    command += f" --epochs {recipe.epochs} --rate {recipe.rate} --batch {recipe.batch}"
    return command + f" --quantiser {recipe.quantiser}" * (recipe.quantiser != "ste") + " --bfloat16" * recipe.bfloat16


if __name__ == "__main__":
    typer.run(main)
