"""The golden model: a network computed in NumPy, bit for bit what the hardware computes.

Integers travel as float32, exact up to 2**24, because that is what fast matrix products take; a layer whose
sums could grow larger is computed in float64.
"""

import math
from functools import reduce, singledispatch
from typing import Annotated

import numpy as np
import typer
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console
from rich.progress import track

from train.data import DATASETS, classes
from train.data import load as load_images

from .errors import UserError, reported
from .importers.model import parse
from .importers.qonnx import load
from .network import Add, Conv, Flatten, Join, Lookup, Pool, Rescale, Threshold, TopK
from .reference import reference
from .zoo import find

__all__ = ["as_input", "best", "class_count", "compare", "data_set", "evaluate", "examples", "image_shape", "run"]

# Memory: values of a layer's output in one batch, and values of the matrix that a convolution is turned into.
_BATCH_VALUES = 1 << 22
_COLUMN_VALUES = 1 << 22


def run(network, images, taps=None):
    """Compute the scores of images.

    Parameters
    ----------
    network : Network
        What to compute.
    images : uint8 array, shape (count, height, width, channels)
        Computed batch by batch, so that memory does not grow with their number (``taps`` does).
    taps : dict, optional
        Is filled with every layer's output by layer name, int64, shape (count, height, width, channels).

    Returns
    -------
    int64 array, shape (count, classes)
        ``scores * network.scale + network.offset`` is what the original graph puts out; after a ``TopK``
        layer, class numbers.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != network.input.shape:
        raise UserError(
            f"{network.name} takes uint8 images of {network.input.shape}, not {images.dtype} ones of "
            f"{images.shape[1:]}"
        )
    kept = {layer.name: [] for layer in network.walk()} if taps is not None else {}
    kept[network.layers[-1].name] = []
    size = _batch_size(network)
    for start in range(0, max(1, len(images)), size):
        values = images[start : start + size]
        _chain(network.layers, values, kept)
    outputs = {name: np.concatenate(batches) for name, batches in kept.items()}
    if taps is not None:
        taps.update(outputs)
    return outputs[network.layers[-1].name].reshape(len(images), int(np.prod(network.output.shape)))


def _chain(layers, values, kept):
    """Compute layers one after the other; of those in ``kept`` outputs are appended there."""
    for layer in layers:
        if isinstance(layer, Join):
            parts = [_chain(branch, values, kept).astype(np.float64) * factor
                     for branch, factor in zip(layer.branches, layer.factors, strict=True)]
            values = sum(parts) if isinstance(layer, Add) else np.concatenate(parts, axis=-1)
        else:
            values = _compute(layer, values)
        if layer.name in kept:
            kept[layer.name].append(values.astype(np.int64))
    return values


def evaluate(network, images, labels, progress=True):
    """Compute the fraction of images whose best score is the label's.

    Parameters
    ----------
    network : Network
        What to evaluate.
    images : uint8 array, shape (count, height, width, channels)
        A network that takes vectors takes images of one channel, too.
    labels : int array, shape (count,)
        The right classes.
    progress : bool
        Show a bar.
    """
    if network.input.positions == images.shape[-1] == 1:
        images = images.reshape(len(images), *network.input.shape)
    right = 0
    batches = np.array_split(np.arange(len(images)), max(1, len(images) // 100))
    label = f"{network.name}, golden model"
    hidden = not (progress and Console().is_terminal)
    for batch in track(batches, label, disable=hidden, transient=True):
        right += np.count_nonzero(best(network, _scaled(network, images[batch])) == labels[batch])
    return right / len(images)


def compare(network, images, wanted):
    """How near the golden model is to what the float graph puts out for the same images.

    Parameters
    ----------
    network : Network
    images : uint8 array, shape (count, height, width, channels)
    wanted : array of as many scores, or class numbers after a ``TopK`` layer

    Returns
    -------
    same : int
        Images with the same best class.
    error : float
        The largest difference of a score.
    """
    given = _scaled(network, images)
    wanted = wanted.reshape(given.shape)
    return np.count_nonzero(best(network, given) == best(network, wanted)), float(np.abs(given - wanted).max())


def _scaled(network, images):
    return run(network, images) * network.scale + network.offset


def best(network, scores):
    """Class of each row of what ``network`` puts out: scores, or after a ``TopK`` class numbers."""
    return scores[:, 0] if isinstance(network.layers[-1], TopK) else np.argmax(scores, axis=1)


def _batch_size(network):
    """Images at once: as many as keep the largest tensor in bounds."""
    largest = max(layer.output.positions * layer.output.channels for layer in network.walk())
    return max(1, _BATCH_VALUES // largest)


@singledispatch
def _compute(layer, values):
    raise TypeError(f"the golden model does not know {type(layer).__name__}")


@_compute.register
def _(layer: Lookup, values):
    table = layer.table.astype(np.float32)
    if len(table) == 1:
        return table[0][values]
    return table[np.arange(layer.input.channels), values]


@_compute.register
def _(layer: Conv, values):
    outputs = len(layer.weights)
    values = _padded(_exact(values, _largest_sum(layer)), layer.pads, layer.pad_value)
    matrix = layer.weights.transpose(2, 3, 1, 0).reshape(-1, outputs).astype(values.dtype)
    windows = _windows(values, layer)
    result = np.empty((len(values), *layer.output.shape), values.dtype)
    step = max(1, _COLUMN_VALUES // (layer.output.positions * len(matrix)))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        np.matmul(windows[part].reshape(-1, len(matrix)), matrix, out=result[part].reshape(-1, outputs))
    return result


@_compute.register
def _(layer: Threshold, values):
    values = _exact(values, max(abs(layer.input.values.lo), abs(layer.input.values.hi)))
    count = np.zeros(values.shape, np.float32)
    for threshold in layer.thresholds.T.astype(values.dtype):
        count += values >= threshold
    count[..., layer.flip] = layer.thresholds.shape[1] - count[..., layer.flip]
    return count * layer.values.step + layer.values.lo


@_compute.register
def _(layer: Rescale, values):
    values = (values.astype(np.int64) * layer.factor + layer.addend) >> layer.shift
    return np.clip(values, layer.values.lo, layer.values.hi).astype(np.float32)


@_compute.register
def _(layer: Pool, values):
    largest = max(abs(layer.output.values.lo), abs(layer.output.values.hi))
    values = _exact(values, largest)
    windows = _windows(_padded(values, layer.pads, -np.inf if layer.kind == "max" else 0), layer)
    height, width = layer.kernel
    parts = (windows[:, :, :, y, x] for y in range(height) for x in range(width))
    return reduce(np.maximum if layer.kind == "max" else np.add, parts)


@_compute.register
def _(layer: Flatten, values):
    return values.reshape(len(values), *layer.output.shape)


@_compute.register
def _(layer: TopK, values):
    return np.argsort(-values.astype(np.int64), axis=-1, kind="stable")[..., : layer.k]


def _largest_sum(layer):
    """Bound of every partial sum, whatever the order."""
    values = layer.input.values
    largest = max(abs(values.lo), abs(values.hi), abs(layer.pad_value))
    return largest * int(np.abs(layer.weights).sum((1, 2, 3), dtype=np.int64).max())


def _exact(values, largest):
    """``values`` in the floating-point type that holds integers up to ``largest``."""
    return values.astype(np.float32 if largest < 1 << 24 else np.float64, copy=False)


def _padded(values, pads, outside):
    if not any(pads):
        return values
    top, left, bottom, right = pads
    return np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=outside)


def _windows(values, layer):
    """View of shape (count, height, width, kernel height, kernel width, channels)."""
    y, x = layer.stride
    return sliding_window_view(values, layer.kernel, (1, 2))[:, ::y, ::x].transpose(0, 1, 2, 4, 5, 3)


def data_set(network):
    """Name of the network's data set: the one that the model file tells, or else one of the right size.

    Raises
    ------
    UserError
        Only the user can know: the file tells of a folder of pictures, or nothing, and no data set fits.
    """
    told = network.metadata.get("dataset")
    if told in DATASETS:
        return told
    if told:
        raise UserError(
            f"{network.name} was trained on {told!r}, which is none of {', '.join(DATASETS)}: "
            "name the folder of its pictures with --dataset DIR"
        )
    size = network.input.positions * network.input.channels, class_count(network)
    fitting = [name for name, data in DATASETS.items() if (math.prod(data.shape), len(data.classes)) == size]
    if not fitting:
        raise UserError(
            f"{network.name}: no data set has images of {network.input.shape} and {size[1]} classes; "
            "name one of another size, or a folder of pictures, with --dataset"
        )
    return fitting[0]


def examples(network, folder=None, dataset=None, count=None):
    """Test images as ``network`` takes them, and their labels.

    Parameters
    ----------
    network : Network
        A vector is the square image of as many values, channel by channel.
    folder : path, optional
        Of the data sets; ``$BNN_DATA`` when not given.
    dataset : str or path, optional
        Name of a data set, or a folder of pictures; :func:`data_set` when not given.
    count : int, optional
        The first so many only.

    Returns
    -------
    images : uint8 array, shape (count, height, width, channels)
    labels : int64 array, shape (count,)
    """
    dataset = dataset or data_set(network)
    names = classes(dataset)
    if len(names) != class_count(network) and not network.untrained:
        raise UserError(
            f"{network.name} tells {class_count(network)} classes apart, but {dataset} has {len(names)}: "
            "name what it was trained for, with --dataset"
        )
    images, labels = load_images(dataset, "test", folder, image_shape(network), count)
    return as_input(network, images), labels


def as_input(network, images):
    """Images of :func:`image_shape` in the shape that ``network`` takes: vectors are made channel by channel."""
    if network.input.positions == 1:
        images = images.transpose(0, 3, 1, 2)
    return images.reshape(len(images), *network.input.shape)


def class_count(network):
    """How many classes ``network`` tells apart."""
    last = network.layers[-1]
    return (last.input if isinstance(last, TopK) else last.output).channels


def image_shape(network):
    """Shape of the images that ``network`` sees, or of the square ones behind the vectors that it takes."""
    if network.input.positions > 1:
        return network.input.shape
    values = network.input.channels
    for channels in (1, 3):
        side = math.isqrt(values // channels)
        if side * side * channels == values:
            return side, side, channels
    raise UserError(f"{network.name} takes vectors of {values} values, which no square image has")


def _main(
    net: Annotated[str, typer.Option(help="A network of the zoo, or the path of an .onnx or .onnx.xz file.")],
    data: Annotated[str, typer.Option(envvar="BNN_DATA", help="Folder with the data sets.")] = "",
    dataset: Annotated[
        str, typer.Option(help=f"One of {', '.join(DATASETS)}, or a folder of pictures. Default: the network's own.")
    ] = "",
    images: Annotated[int, typer.Option(min=1, help="How many test images, the first ones.")] = 10_000,
    powers: Annotated[
        int | None,
        typer.Option(min=2, max=5, metavar="BITS", help="Round weights that are not binary to powers of two."),
    ] = None,
    graph: Annotated[
        bool, typer.Option("--compare", help="And compare with the file's float graph: up to a second an image.")
    ] = False,
):
    """Measure the accuracy of the golden model on test images."""
    with reported():
        path = find(net)
        network = load(path, powers=powers)
        pixels, labels = examples(network, data, dataset, images)
        accuracy = evaluate(network, pixels, labels)
        compared = compare(network, pixels, reference(parse(path), pixels)) if graph else None
    untrained = " [bold red]untrained[/]" if network.untrained else ""
    Console().print(
        f"{network.name}{untrained}: {accuracy:.2%} of {len(labels):,} test images (golden model)",
        soft_wrap=True,
    )
    if compared:
        same, error = compared
        print(f"against the float graph in QONNX's executor: {same:,} answers are the same, the largest score error is "
              f"{error:.2g}")


if __name__ == "__main__":
    typer.run(_main)
