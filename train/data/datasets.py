"""The published data sets that can be asked for by name: a table."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from train.data import formats

__all__ = ["DATASETS", "Dataset", "Source"]


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
    counts
        How many images "train" and "test" have.
    folder
        Where its files lie below the data folder.
    splits
        The files of "train" and of "test".
    read
        From the paths of a split to its images and labels.
    sources
        Where the files are published.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    folder: str
    splits: dict[str, tuple[str, ...]]
    read: Callable
    sources: tuple[Source, ...]


def _like_mnist(classes, folder, url, md5):
    """Four IDX files, packed one by one; ``md5`` in the order of `files`."""
    files = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return Dataset(
        classes=tuple(classes),
        shape=(28, 28, 1),
        counts={"train": 60_000, "test": 10_000},
        folder=folder,
        splits={"train": files[:2], "test": files[2:]},
        read=formats.idx,
        sources=tuple(Source(f"{url}{file}.gz", md5, (file,)) for file, md5 in zip(files, md5, strict=True)),
    )


def _like_cifar(classes, folder, train, test, read, archive, md5):
    """An archive of binary files."""
    return Dataset(
        classes=tuple(classes),
        shape=(32, 32, 3),
        counts={"train": 50_000, "test": 10_000},
        folder=folder,
        splits={"train": train, "test": test},
        read=read,
        sources=(Source(f"https://www.cs.toronto.edu/~kriz/{archive}", md5, train + test),),
    )


_FINE_LABELS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""

# Of data sets with images of one size, the first is taken for a network that names none.
DATASETS = {
    "cifar10": _like_cifar(
        "airplane automobile bird cat deer dog frog horse ship truck".split(),
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test=("test_batch.bin",),
        read=formats.cifar,
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
    ),
    "cifar100": _like_cifar(
        _FINE_LABELS.split(),
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        read=partial(formats.cifar, labels=2),  # coarse, fine
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
    ),
    "mnist": _like_mnist(
        "0123456789",
        folder="MNIST/raw",
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": _like_mnist(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        folder="FashionMNIST/raw",
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "svhn": Dataset(
        classes=tuple("0123456789"),
        shape=(32, 32, 3),
        counts={"train": 73_257, "test": 26_032},
        folder="SVHN",
        splits={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
        read=formats.svhn,
        sources=tuple(
            Source(f"http://ufldl.stanford.edu/housenumbers/{file}", md5, (file,))
            for file, md5 in (
                ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
            )
        ),
    ),
}
