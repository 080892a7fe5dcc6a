"""Command line: train one network, measure it on the test images, write it as QONNX."""

import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from rich import print

from gen import golden
from gen.errors import UserError, reported
from gen.importers import qonnx
from train import data, deploy, export, loop, nets, recipes

HELD_OUT = 5_000  # training images that only watch
CALIBRATION = 5_000  # training images over which an untrained network's statistics are averaged


def main(
    net: Annotated[str, typer.Option(help=f"One of {', '.join(nets.NETS)}.")],
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(recipes.names())}, or a .toml file.")] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/<net>-<recipe>-<seed>.")] = None,
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets; or set BNN_DATA.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides weights, order and augmentation.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    bfloat16: Annotated[bool | None, typer.Option(help="Instead of the recipe's; faster with AMX or a GPU.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; the fastest there is when not given.")] = "",
    calibrate_only: Annotated[
        bool, typer.Option("--calibrate-only", help="Leave the seeded weights untrained.")
    ] = False,
):
    """Train NET; write checkpoint.pt, log.csv, NET.onnx.xz and NET.json into OUT.

    The last 5,000 training images are held out to watch progress. The test images are looked at
    once, at the end. Stop at any time; the same command goes on after the last whole epoch.
    """
    with reported():
        settings = recipes.load(recipe, seed=seed, epochs=epochs, bfloat16=bfloat16)
        torch.manual_seed(seed)
        model = nets.build(net, settings.quantiser)
        device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model.to(device, memory_format=torch.channels_last)
        dataset = nets.NETS[net].dataset
        if dataset == "mnist":
            settings = replace(settings, mirror=False)  # a mirrored digit is none
        images = loop.Images.of(*data.load(dataset, "train", data_folder), device)
        test = data.load(dataset, "test", data_folder)
        train, validation = images.split(HELD_OUT)
        out = out or Path("runs", f"{net}-{Path(recipe).stem}-{seed}")
        start = time.monotonic()
        if calibrate_only:
            nets.balance_pools(model)
            loop.calibrate(model, train.first(CALIBRATION))
            seconds = time.monotonic() - start
        else:
            seconds = loop.fit(model, train, validation, settings, out, progress=sys.stdout.isatty())
        plain = deploy.deployed(model, net).to(device)
        report = {
            "net": net, "dataset": dataset, "trained": not calibrate_only, "recipe": asdict(settings),
            "epochs": 0 if calibrate_only else loop.epochs_of(settings, model), "seed": seed,
            "seconds": round(seconds), "machine": f"{os.cpu_count()} cores, {_name(device)}",
            "command": _command(net, recipe, seed, epochs, bfloat16, calibrate_only),
        } | agreement(model, plain, net, test, device)  # fmt: skip
        if calibrate_only:
            report |= {"accuracy": None, "golden_accuracy": None}  # of chance
        path = export.ship(plain, net, report, out)
    result = f"{report['accuracy']} % of {len(test[1]):,} test images" if report["trained"] else "untrained"
    print(f"{net}: {result}; {report['disagreements']} scores of the golden model differ; written to {path}")


def agreement(model, plain, net, test, device):
    """Accuracy on the test images, of the trained graph and of the golden model, and how many scores differ."""
    pixels, labels = loop.Images.of(*test, device)
    scores = loop.predict(model, pixels).cpu().numpy()
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{net}.onnx")
        path.write_bytes(export.to_bytes(export.to_qonnx(plain, net, {})))
        exported = qonnx.load(path)
    integers = golden.run(exported, test[0]) * exported.scale + exported.offset
    labels = labels.cpu().numpy()
    accuracy = [round(100 * float((s.argmax(1) == labels).mean()), 2) for s in (scores, integers)]
    different = int((~np.isclose(scores, integers, rtol=1e-4, atol=1e-4)).any(1).sum())
    return {"accuracy": accuracy[0], "golden_accuracy": accuracy[1], "disagreements": different}


def _usable(device):
    """``device``, if PyTorch can use it here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of which PyTorch without CUDA raises the second
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return device


def _name(device):
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def _command(net, recipe, seed, epochs, bfloat16, calibrate_only):
    """Return the command that makes the same again, the data folder replaced by DIR."""
    command = f"python -m train.run --net {net} --recipe {recipe} --data DIR --seed {seed}"
    command += f" --epochs {epochs}" * bool(epochs) + " --calibrate-only" * calibrate_only
    return command + {True: " --bfloat16", False: " --no-bfloat16", None: ""}[bfloat16]


if __name__ == "__main__":
    typer.run(main)
