"""The file formats in which data sets are published; each reader gives images and labels as they stand in the files."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from gen.errors import UserError, needs

__all__ = ["cifar", "exists", "idx", "svhn"]


def exists(path):
    """Whether the file is there, or is there packed, with .gz behind its name."""
    return path.is_file() or _packed(path).is_file()


def idx(paths):
    """Read MNIST's format (yann.lecun.com/exdb/mnist): a file of images, one of labels."""
    images, labels = paths
    return _idx(images, dimensions=3)[..., np.newaxis], _idx(labels, dimensions=1)


def _idx(path, dimensions):
    """Read an IDX file: zeros, 0x08, rank, sizes big-endian, bytes."""
    data = _content(path)
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: not an IDX file of {dimensions}-dimensional bytes")
    shape = np.frombuffer(data[4:start], ">u4").tolist()
    if len(data) - start != math.prod(shape):
        raise UserError(f"{path}: {len(data) - start} bytes of data, its header says {tuple(shape)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def cifar(paths, labels=1):
    """Read CIFAR's binary version: records of labels, of which the last counts, then 1,024 red, green, blue pixels."""
    size = labels + 3072
    records = []
    for path in paths:
        data = np.frombuffer(_content(path), np.uint8)
        if not data.size or data.size % size:
            raise UserError(f"{path}: {data.size} bytes is not a whole number of {size:,}-byte records")
        records.append(data.reshape(-1, size))
    records = np.concatenate(records)
    return records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, labels - 1]


def svhn(paths):
    """Read SVHN's format: a MATLAB file with ``X``, (height, width, channels, count), and ``y``, where 10 means 0."""
    with needs("train"):
        from scipy.io import loadmat
    (path,) = paths
    content = io.BytesIO(_content(path))
    try:
        variables = loadmat(content, variable_names=("X", "y"))
        images, labels = variables["X"], variables["y"].ravel()
    except Exception as error:  # loadmat lets through whatever it stumbles over
        raise UserError(f"{path}: damaged, or no MATLAB file with X and y: {type(error).__name__}: {error}; "
                        "delete it to have it downloaded again") from None
    if images.dtype != np.uint8 or images.ndim != 4 or not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(f"{path}: X should be bytes in 4 dimensions, and y labels from 1 to 10; found {images.dtype} "
                        f"{images.shape}, and {np.unique(labels)[:12]}")
    return images.transpose(3, 0, 1, 2), labels.astype(np.int64) % 10


def _content(path):
    """The bytes of a file, unpacked where only its .gz is there."""
    if path.is_file():
        return path.read_bytes()
    packed = _packed(path).read_bytes()
    try:
        return gzip.decompress(packed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{_packed(path)}: damaged: {error}; delete it to have it downloaded again") from None


def _packed(path):
    return Path(f"{path}.gz")
