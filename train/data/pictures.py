"""Pictures of any size: one photograph, or a folder with a sub-folder for each class, made to fit a network."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from gen.errors import UserError

__all__ = ["classes", "convert", "fit", "load", "read"]

FORMATS = {"BMP": (".bmp",), "JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "PPM": (".ppm", ".pgm"), "WEBP": (".webp",)}
SUFFIXES = sum(FORMATS.values(), ())
MODES = {1: "L", 3: "RGB"}
TEST = 5  # one picture in so many, where nobody has set test pictures apart


def fit(image, shape):
    """Cut the middle out of a picture and resize it, with antialiasing.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode and size; what is transparent becomes white.
    shape : tuple of int
        Height, width and channels: 1 for grey, 3 for red, green and blue.

    Returns
    -------
    uint8 array, shape (height, width, channels)
    """
    height, width, channels = shape
    if channels not in MODES:
        raise UserError(f"pictures have 1 channel (grey) or 3 (red, green, blue), the network takes {channels}")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(ImageOps.fit(image.convert(MODES[channels]), (width, height))).reshape(shape)


def read(path, shape):
    """Read a picture, turn it as its camera says, and :func:`fit` it.

    Parameters
    ----------
    path : path
        A JPEG, PNG, BMP, WebP or PPM file.
    shape : tuple of int
        Height, width and channels.

    Returns
    -------
    uint8 array, shape (height, width, channels)

    Raises
    ------
    UserError
        The file is missing, damaged, no picture, or so large that it may be meant to exhaust memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful notes beside the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=list(FORMATS)) as image:
                image.draft(None, (2 * max(shape[:2]),) * 2)  # spares a JPEG's decoder most pixels of a photograph
                return fit(ImageOps.exif_transpose(image), shape)
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not a picture in any of {', '.join(FORMATS)}; convert or remove it") from None
    except Exception as error:  # decoders let through whatever they stumble over
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be read: {reason}; repair or remove it") from None


def convert(images, shape):
    """:func:`fit` every image of a uint8 array, shape (count, height, width, channels)."""
    return np.stack([fit(Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image), shape)
                     for image in images])


def classes(folder):
    """Names of the classes of a folder of pictures: its sub-folders', or those of its train/ and test/, sorted."""
    return _layout(Path(folder))[0]


def load(folder, split, shape, count=None):
    """Read one split of a folder of pictures: ``<class>/*.jpg``, or ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``.

    Without ``train/`` and ``test/``, a fifth of the pictures is the test split: those whose file names have
    certain hashes, so that a picture stays where it is whatever comes beside it.

    Parameters
    ----------
    folder : path
        Files that begin with a dot or have no suffix of a picture are passed over.
    split : str
        "train" or "test".
    shape : tuple of int
        Height, width and channels.
    count : int, optional
        The first so many pictures only.

    Returns
    -------
    images : uint8 array, shape (count, height, width, channels)
        Classes are mixed, in an order that depends on file names only.
    labels : int64 array, shape (count,)

    Raises
    ------
    UserError
        The folder is laid out otherwise, a class has no pictures, or one cannot be read.
    """
    names, homes = _layout(Path(folder))
    apart = homes["train"] != homes["test"]
    chosen = []
    for label, name in enumerate(names):
        found = _pictures(homes[split] / name)
        picked = [(number, label, path) for number, path in found
                  if apart or (number % TEST == 0) == (split == "test")]
        if not picked:
            raise UserError(f"{homes[split] / name}: {len(found)} pictures, and none for the {split} split; add some "
                            f"({', '.join(SUFFIXES)}), or spread them over train/{name} and test/{name}")
        chosen += picked
    chosen = sorted(chosen)[:count]
    bar = track(chosen, f"{split} pictures", disable=not Console().is_terminal, transient=True)
    images = np.stack([read(path, shape) for _, _, path in bar])
    return images, np.array([label for _, label, _ in chosen], np.int64)


def _layout(folder):
    """Names of the classes, and for each split the folder that has their folders."""
    apart = {split: _folders(folder / split) for split in ("train", "test") if (folder / split).is_dir()}
    if len(apart) == 2:
        if apart["train"] != apart["test"]:
            odd = sorted(set(apart["train"]) ^ set(apart["test"]))
            raise UserError(f"{folder}: train and test should have the same classes, but only one of them has "
                            f"{', '.join(odd)}")
        names, homes = apart["train"], {split: folder / split for split in apart}
    elif any(apart.values()):
        raise UserError(f"{folder}: train and test belong side by side, but only {', '.join(apart)} is there")
    else:  # where a class may well be called train
        names, homes = _folders(folder), {"train": folder, "test": folder}
    if len(names) < 2:
        raise UserError(f"{homes['train']}: a folder for each class is needed, at least two; there "
                        f"{f'is only {names[0]}' if names else 'are none'}")
    return tuple(names), homes


def _folders(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(folder):
    """The pictures in a folder, each with a large number that its file name decides."""
    return [(int.from_bytes(hashlib.sha256(os.fsencode(path.name)).digest()), path) for path in folder.iterdir()
            if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
