"""MNIST and CIFAR-10 as NumPy arrays, read from the layouts in which their authors publish them."""

import gzip
import hashlib
import io
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gen.errors import UserError


class Source(NamedTuple):
    """A published file: its address, its md5, and the files that unpacking it gives."""

    url: str
    md5: str
    files: tuple[str, ...]


class Dataset(NamedTuple):
    """What a data set holds.

    Attributes
    ----------
    classes
        Names, in the order of the labels.
    shape
        Height, width and channels of an image.
    folder
        Where its files lie below the data folder.
    splits
        The files of "train" and of "test".
    sources
        Where the files are published.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    folder: str
    splits: dict[str, tuple[str, ...]]
    sources: tuple[Source, ...]


_CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}

DATASETS = {
    "cifar10": Dataset(
        classes=tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
        shape=(32, 32, 3),
        folder="cifar-10-batches-bin",
        splits={"train": _CIFAR_TRAIN, "test": ("test_batch.bin",)},
        sources=(
            Source(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                (*_CIFAR_TRAIN, "test_batch.bin"),
            ),
        ),
    ),
    "mnist": Dataset(
        classes=tuple("0123456789"),
        shape=(28, 28, 1),
        folder="MNIST/raw",
        splits={
            "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
            "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        },
        sources=tuple(Source(f"{_MNIST_URL}{name}.gz", md5, (name,)) for name, md5 in _MNIST_MD5.items()),
    ),
}


def load(name, split, folder=None):
    """Read one split of a data set, downloading it first where its files are missing.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    split : str
        "train" or "test".
    folder : path, optional
        The data folder, which holds `cifar-10-batches-bin/` or `MNIST/raw/`; the environment
        variable ``BNN_DATA`` when not given.

    Returns
    -------
    images : numpy.ndarray
        uint8, `[N, height, width, channels]`.
    labels : numpy.ndarray
        int64, `[N]`.

    Raises
    ------
    UserError
        No folder was named, a file is not what it should be, or a download failed.
    ValueError
        There is no such data set or split.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    if split not in ("train", "test"):
        raise ValueError(f"no split {split!r}; there are train and test")
    folder = folder or os.environ.get("BNN_DATA")
    if not folder:
        raise UserError("no data folder: give --data DIR, or set the environment variable BNN_DATA")
    dataset = DATASETS[name]
    below = Path(folder) / dataset.folder
    paths = [below / file for file in dataset.splits[split]]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        _download(name, missing, below)
    if name == "mnist":
        images = _read_idx(paths[0], dimensions=3)[..., np.newaxis]
        labels = _read_idx(paths[1], dimensions=1)
    else:
        records = np.concatenate([_read_cifar(path) for path in paths])
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = records[:, 0]
    if images.shape[1:] != dataset.shape or len(images) != len(labels) or labels.max() > 9:
        raise UserError(
            f"{below}: images {images.shape} and labels {labels.shape} do not belong together; "
            f"delete the {split} files there to have them downloaded again"
        )
    return images.copy(order="C"), labels.astype(np.int64)


def _read_idx(path, dimensions):
    """Read an IDX file (yann.lecun.com/exdb/mnist): zeros, 0x08, rank, sizes big-endian, bytes."""
    data = path.read_bytes()
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: not an IDX file of {dimensions}-dimensional bytes")
    shape = tuple(np.frombuffer(data[4:start], ">u4").astype(int))
    if len(data) - start != np.prod(shape):
        raise UserError(f"{path}: {len(data) - start} bytes of data, its header says {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_cifar(path):
    """Read CIFAR-10's binary version: records of a label, then 1,024 red, green, blue pixels."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if not data.size or data.size % 3073:
        raise UserError(f"{path}: {data.size} bytes is not a whole number of 3,073-byte records")
    return data.reshape(-1, 3073)


def _download(name, missing, below):
    """Fetch the published files that hold the missing ones, check their md5, unpack them."""
    wanted = (
        f"{name} needs {', '.join(missing)} in {below}. Put them there, or name the folder that "
        "has them with --data DIR or BNN_DATA"
    )
    for source in DATASETS[name].sources:
        files = [file for file in source.files if file in missing]
        if not files:
            continue
        try:
            with urllib.request.urlopen(source.url, timeout=60) as answer:
                data = answer.read()
        except OSError as error:
            raise UserError(f"{wanted}. Downloading {source.url} failed: {error}") from None
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != source.md5:
            raise UserError(f"{wanted}. What {source.url} sent has the wrong md5")
        try:
            below.mkdir(parents=True, exist_ok=True)
            for file, content in _unpack(data, files):
                (below / file).write_bytes(content)
        except OSError as error:
            raise UserError(f"{wanted}. Writing there failed: {error}") from None


def _unpack(data, files):
    """Yield the name and the bytes of each of `files` out of a .gz (one file) or .tar.gz."""
    content = gzip.decompress(data)
    if len(files) == 1 and not tarfile.is_tarfile(io.BytesIO(content)):
        yield files[0], content
        return
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).name in files:
                yield Path(member.name).name, archive.extractfile(member).read()
