"""Command line: train one network, measure it on the test images, write it as QONNX."""

import os
import sys
import time
from dataclasses import asdict, replace
from functools import partial
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
from train import data, deploy, export, loop, nets, parallel, prune, quantizers, recipes, start

HELD_OUT = 5_000  # training images that only watch, but a tenth at most
CALIBRATION = 5_000  # training images over which statistics are averaged where nothing is learnt
COMPARED = 500  # test images on which an untrained network is compared with its golden model
DIGITS = "mnist", "svhn"  # a mirrored digit is none


def main(
    net: Annotated[str, typer.Option(help=f"One of {', '.join(nets.NETS)}.")],
    recipe: Annotated[
        str, typer.Option(help=f"One of {', '.join(recipes.names())}, or a .toml file. Default: the network's own, "
                               "else powers with --bits, else quick.")
    ] = "",
    quantiser: Annotated[
        str | None, typer.Option(help=f"Instead of the recipe's; one of {', '.join(quantizers.QUANTIZERS)}.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of power-of-two weights, 1 to 5, instead of the recipe's.")] = None,
    dataset: Annotated[
        str, typer.Option(help=f"One of {', '.join(data.DATASETS)}, or a folder with a sub-folder of pictures for each "
                               "class. Default: the network's own.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/NET-RECIPE[-QUANTISER][-BITS]-SEED.")
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets; or set BNN_DATA.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides weights, order and augmentation.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    bfloat16: Annotated[bool | None, typer.Option(help="Instead of the recipe's; faster with AMX or a GPU.")] = None,
    start_folder: Annotated[
        Path | None, typer.Option("--start", help="Folder of a run of NET whose weights to start from: of full "
                                                  "precision, or of other images.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; the fastest there is when not given.")] = "",
    calibrate_only: Annotated[
        bool, typer.Option("--calibrate-only", help="Leave the seeded weights, or those of --start, as they are.")
    ] = False,
    scores: Annotated[
        int | None, typer.Option("--classes", min=2, help="Instead of the data set's, without names: only of a network "
                                                          "that stays untrained, --calibrate-only without --start.")
    ] = None,
):
    """Train NET; write checkpoint.pt, log.csv, events for TensorBoard, NET.onnx.xz and NET.json into OUT.

    Of the training images 5,000, or a tenth if that is less, are held out to watch progress. The test images are
    looked at once, at the end. Stop at any time; the same command goes on after the last whole epoch. With torchrun in
    front, several processes, one a device, share every batch.
    """
    with reported():
        spec = nets.find(net)
        recipe = recipe or spec.recipe or ("powers" if bits else "quick")
        settings = recipes.load(
            recipe, seed=seed, quantiser=quantiser, bits=bits, epochs=epochs, batch=batch, bfloat16=bfloat16)
        quantizers.of(settings)  # before images are read, whether there is such a one
        if bits and settings.quantiser not in ("pow2", "rounded"):
            raise UserError(f"--bits is for power-of-two weights, not for quantiser {settings.quantiser}; choose "
                            "--recipe powers")
        dataset = dataset or spec.dataset
        if not dataset:
            raise UserError(f"{net} has no data set of its own: --dataset NAME, or the folder of your pictures")
        trained = bool(start_folder) or not calibrate_only
        if scores and trained:
            raise UserError("--classes: what is trained learns the classes of its data set; leave that out, or give "
                            "--calibrate-only without --start")
        if dataset in DIGITS:
            settings = replace(settings, mirror=False)
        device = _usable(parallel.start(device or ("cuda" if torch.cuda.is_available() else "cpu")))
        classes = None if scores else data.classes(dataset)
        outputs = scores or len(classes)
        count = CALIBRATION if calibrate_only else None
        with parallel.in_turn():
            images = loop.Images.of(*data.load(dataset, "train", data_folder, spec.shape, count), device)
            test = data.load(dataset, "test", data_folder, spec.shape, None if trained else COMPARED)
        train, validation = images.split(min(HELD_OUT, len(images.labels) // 10))
        others = None if dataset == spec.dataset else Path(dataset).resolve().name
        parts = net, Path(recipe).stem, quantiser, bits, others, "calibrated" if calibrate_only else None, seed
        out = out or Path("runs", "-".join(str(part) for part in parts if part is not None))
        model = _build(net, settings, outputs, device)
        first = partial(_full_precision, net, settings, outputs, device, train, validation, batch, bfloat16)
        if start_folder:
            start.start(model, start_folder)
            settings = replace(settings, start=start.digest(start_folder))
        elif settings.start and not calibrate_only:
            start.take_over(model, first("start", settings.start, out / "start").state_dict())
        report = {
            "net": net, "dataset": _name_of(dataset), "classes": classes, "trained": trained,
            "recipe": asdict(settings), "seed": seed, "machine": machine(device),
            "command": _command(
                net, recipe, quantiser, bits, dataset, seed, epochs, batch, start_folder, bfloat16, calibrate_only,
                scores),
        }  # fmt: skip
        if calibrate_only:
            began = time.monotonic()
            if not trained:
                nets.balance_pools(model)
            quantizers.anneal(model, 1.0)  # the first stage of some has real weights
            loop.calibrate(model, images)
            report |= {"epochs": 0, "seconds": round(time.monotonic() - began), "curve": []}
        else:
            teacher = first("teacher", settings.teacher, out / "teacher") if settings.teacher else None
            report |= _history(_fit(net, model, train, validation, settings, out, teacher))
        if parallel.rank() == 0 and settings.quantiser == "real":
            right = loop.accuracy(model.eval(), loop.Images.of(*test, device))
            print(f"{net}: {right:.2f} % of {len(test[1]):,} test images in full precision, which is not exported")
        elif parallel.rank() == 0:
            plain = deploy.deployed(model, net)
            if settings.keep < 1:
                spec, plain = prune.removed(model, plain, spec)
            report |= {"layers": spec.layers, "validation": round(loop.accuracy(model, validation), 2)}
            report |= agreement(model, plain, net, test, device)
            if not trained:
                report |= {"validation": None, "accuracy": None, "golden_accuracy": None}  # of chance
            if scores:
                report |= {"confusion": None}  # labels are of other classes
            path = export.ship(plain, net, report, out)
            result = f"{report['accuracy']} % of {len(test[1]):,} test images" if trained else "untrained"
            print(f"{net}: {result}; golden model: {report['same_answers']:,} answers are the same, the largest score "
                  f"error is {report['largest_error']:g}, {report['disagreements']:,} images differ; written to {path}")


def agreement(model, plain, net, test, device):
    """What the test images say of the trained graph and of the golden model of what is exported.

    Returns
    -------
    dict
        ``tested``, the number of images; ``accuracy`` and ``golden_accuracy`` in %; ``disagreements``: how many images'
        scores differ (of activations in fixed point, which the golden model rescales within 3/4 of a step: by more
        than 0.01); ``same_answers``: of how many the same score is the largest; ``largest_error`` of a score, absolute;
        and ``confusion``: images by true class and by the golden model's answer.
    """
    pixels, labels = loop.Images.of(*test, device)
    # In float32 sums of fixed-point numbers are rounded, and a GPU's convolutions may round even those of signs.
    exact = torch.float64 if pixels.is_cuda or model.quantizer.rectified else torch.float32
    scores = loop.predict(model.to(exact), pixels, exact).cpu().numpy()
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{net}.onnx")
        path.write_bytes(export.to_bytes(export.to_qonnx(plain, net, {})))
        exported = qonnx.load(path)
    integers = golden.run(exported, test[0]) * exported.scale + exported.offset
    labels = labels.cpu().numpy()
    accuracy = [round(100 * float((s.argmax(1) == labels).mean()), 2) for s in (scores, integers)]
    confusion = np.zeros((scores.shape[1],) * 2, int)
    np.add.at(confusion, (labels, integers.argmax(1)), 1)
    near = 1e-2 if model.quantizer.rectified else 1e-4
    different = int((~np.isclose(scores, integers, rtol=1e-4, atol=near)).any(1).sum())
    same, error = (scores.argmax(1) == integers.argmax(1)).sum(), np.abs(scores - integers).max()
    return {"tested": len(labels), "accuracy": accuracy[0], "golden_accuracy": accuracy[1], "disagreements": different,
            "same_answers": int(same), "largest_error": float(f"{error:.3g}"), "confusion": confusion.tolist()}


def _build(net, settings, outputs, device):
    torch.manual_seed(settings.seed)
    model = nets.build(net, quantizers.of(settings), outputs)
    if settings.keep < 1:
        prune.add_gates(model, settings.keep)
    if settings.dense_inputs:
        nets.thin(model, settings.dense_inputs)
    return model.to(device, memory_format=torch.channels_last)


def _full_precision(net, settings, outputs, device, train, validation, batch, bfloat16, what, recipe, out):
    """The network that another recipe trains first, of real weights."""
    own = recipes.load(recipe, seed=settings.seed, batch=batch, bfloat16=bfloat16)
    own = replace(own, mirror=settings.mirror)
    model = _build(net, own, outputs, device)
    log = _fit(f"{net}'s {what}", model, train, validation, own, out)
    if parallel.rank() == 0:
        print(f"{net}'s {what}: {log[-1]['accuracy']:.2f} % of the validation images")
    return model.eval().requires_grad_(False)


def _fit(what, model, train, validation, settings, out, teacher=None):
    """`train.loop.fit`, after an estimate of what it costs; where memory does not suffice, says what would fit."""
    shown = sys.stdout.isatty()
    try:
        seconds = loop.seconds_an_epoch(model, train, settings, teacher)
        epochs = loop.epochs_of(settings, model)
        if parallel.rank() == 0:
            print(f"{what}: {seconds:,.1f} s an epoch here, {epochs} epochs take {seconds * epochs / 3600:.1f} h")
        return loop.fit(model, train, validation, settings, out, teacher, progress=shown)
    except (RuntimeError, MemoryError) as error:
        if not _is_of_memory(error):
            raise
    if parallel.world() > 1:  # the others wait for this one, which cannot try on its own
        raise UserError(f"out of memory with {settings.batch} images a step; try --batch {settings.batch // 2}")
    fits = loop.largest_batch(model, train, settings, teacher)
    raise UserError(f"out of memory with {settings.batch} images a step; {fits} fit: --batch {fits}" if fits else
                    "out of memory, even with two images a step: a smaller network, or another device")


def _is_of_memory(error):
    """Whether memory did not suffice; of CPUs PyTorch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


def _history(log):
    curve = [round(row["accuracy"], 2) for row in log]
    return {"epochs": len(log), "seconds": round(log[-1]["seconds"]), "curve": curve}


def _usable(device):
    """``device``, if PyTorch can use it here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of which PyTorch without CUDA raises the second
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return device


def machine(device):
    """What trains: processes and devices."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} CPU cores"
    return f"{parallel.world()} x {name}" if parallel.world() > 1 else name


def _name_of(dataset):
    """The key of a published data set, or words that are none; of a folder its last name: others have other paths."""
    return dataset if dataset in data.DATASETS else f"pictures in {Path(dataset).resolve().name}"


def _command(net, recipe, quantiser, bits, dataset, seed, epochs, batch, start_folder, bfloat16, calibrate_only,
             scores):
    """Return the command that makes the same again, folders replaced by DIR."""
    options = {
        "net": net, "recipe": recipe, "quantiser": quantiser, "bits": bits, "data": "DIR", "seed": seed,
        "dataset": None if dataset == nets.NETS[net].dataset else dataset if dataset in data.DATASETS else "DIR",
        "epochs": epochs, "batch": batch, "start": start_folder and "DIR", "classes": scores,
    }  # fmt: skip
    words = [f"--{key} {value}" for key, value in options.items() if value is not None]
    return " ".join(["python -m train.run", *words]) + " --calibrate-only" * calibrate_only + {
        True: " --bfloat16", False: " --no-bfloat16", None: ""}[bfloat16]


if __name__ == "__main__":
    typer.run(main)
