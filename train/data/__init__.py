"""Images and labels as NumPy arrays: a published data set's, or a folder of one's own pictures."""

import os
from pathlib import Path

import numpy as np

from gen.errors import UserError, needs
from train.data import formats
from train.data.datasets import DATASETS
from train.data.download import fetch

__all__ = ["DATASETS", "classes", "load"]


def load(dataset, split, folder=None, shape=None, count=None):
    """Read one split of a data set; a published one is downloaded first where its files are missing.

    Parameters
    ----------
    dataset : str or path
        A key of `DATASETS`, or a folder of pictures as `train.data.pictures.load` takes it.
    split : str
        "train" or "test".
    folder : path, optional
        The data folder, which holds `cifar-10-batches-bin/`, `MNIST/raw/` and so on; the environment
        variable ``BNN_DATA`` when not given. Has no part in a folder of pictures.
    shape : tuple of int, optional
        Height, width and channels to convert images to. Pictures need it, published images keep their own without.
    count : int, optional
        The first so many images only.

    Returns
    -------
    images : numpy.ndarray
        uint8, `[N, height, width, channels]`.
    labels : numpy.ndarray
        int64, `[N]`.

    Raises
    ------
    UserError
        There is no such data set, no data folder was named, a file is not what it should be, or a download failed.
    ValueError
        There is no such split, or pictures are to be read without a shape.
    """
    if split not in ("train", "test"):
        raise ValueError(f"no split {split!r}; there are train and test")
    if dataset not in DATASETS:
        own = _own(dataset)
        if shape is None:
            raise ValueError(f"pictures in {own} may have any size: a shape is needed")
        return _pictures().load(own, split, shape, count)
    images, labels = (array[:count] for array in _published(dataset, split, folder))
    if shape and images.shape[1:] != tuple(shape):
        images = _pictures().convert(images, shape)
    return images, labels


def classes(dataset):
    """Names of the classes of a data set, or of a folder of pictures, in the order of the labels."""
    return DATASETS[dataset].classes if dataset in DATASETS else _pictures().classes(_own(dataset))


def _own(dataset):
    """The folder of pictures that ``dataset`` means."""
    if not Path(dataset).is_dir():
        raise UserError(f"no data set {str(dataset)!r}, and no folder; there are {', '.join(DATASETS)}, "
                        "or give the path of a folder of pictures")
    return Path(dataset)


def _pictures():
    """The module that needs Pillow, which what is published in the right shape does not."""
    with needs("train"):
        from train.data import pictures
    return pictures


def _published(name, split, folder):
    """Read and check a split of a data set of the table."""
    folder = folder or os.environ.get("BNN_DATA")
    if not folder:
        raise UserError("no data folder: give --data DIR, or set the environment variable BNN_DATA")
    dataset = DATASETS[name]
    below = Path(folder).expanduser() / dataset.folder
    paths = [below / file for file in dataset.splits[split]]
    missing = [path.name for path in paths if not formats.exists(path)]
    if missing:
        fetch(name, missing, below)
    images, labels = dataset.read(paths)
    again = f"delete the {split} files there to have them downloaded again"
    count = dataset.counts[split]
    if images.shape != (count, *dataset.shape) or labels.shape != (count,):
        raise UserError(f"{below}: {name} has {count:,} {split} images of {dataset.shape} and as many labels, not "
                        f"images {images.shape} and labels {labels.shape}; {again}")
    if labels.max() >= len(dataset.classes):
        raise UserError(f"{below}: a label is {labels.max()}, but {name} has {len(dataset.classes)} classes; {again}")
    return images.copy(order="C"), labels.astype(np.int64)
