"""Published data sets from their official layouts, and what is said when they are not there or not themselves."""

import gzip
import hashlib
import http.client
import io
import os
import struct
import sys
import tarfile
import zlib

import numpy as np
import pytest

from gen.errors import UserError
from train import data
from train.data import datasets, download

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], np.uint8)


def idx(array):
    """Encode an array as an IDX file."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def matlab(**variables):
    """Encode uint8 arrays as a MATLAB 5 file, each compressed, as SVHN's are."""

    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    file = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    for name, array in variables.items():
        matrix = element(14, element(6, struct.pack("<II", 9, 0)) + element(5, np.array(array.shape, "<i4").tobytes())
                         + element(1, name.encode()) + element(2, array.tobytes(order="F")))
        packed = zlib.compress(matrix)
        file += struct.pack("<II", 15, len(packed)) + packed
    return file


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def few(monkeypatch):
    """Let all data sets have so few images."""

    def so(**counts):
        for name, dataset in datasets.DATASETS.items():
            monkeypatch.setitem(datasets.DATASETS, name, dataset._replace(counts=counts))

    so(train=3, test=3)
    return so


@pytest.fixture
def mnist(tmp_path):
    """Three test images of MNIST's shape, in its layout."""
    write(tmp_path / "MNIST/raw/t10k-images-idx3-ubyte", idx(IMAGES))
    write(tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte", idx(LABELS))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails."""

    def refuse(url, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)


# Layouts


@pytest.mark.parametrize("name, folder", [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_layout(tmp_path, few, name, folder, packed):
    for file, content in ("images-idx3", idx(IMAGES)), ("labels-idx1", idx(LABELS)):
        for split in "train", "t10k":
            path = tmp_path / folder / f"{split}-{file}-ubyte{'.gz' * packed}"
            write(path, gzip.compress(content) if packed else content)
    for split in "train", "test":
        images, labels = data.load(name, split, tmp_path)
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        assert np.array_equal(images[..., 0], IMAGES) and labels.tolist() == [7, 0, 9]


@pytest.mark.parametrize(
    "name, file, labels",
    [
        ("cifar10", "cifar-10-batches-bin/test_batch.bin", [[3], [8]]),
        ("cifar100", "cifar-100-binary/test.bin", [[19, 3], [0, 99]]),
    ],
)
def test_cifar_layout(tmp_path, few, name, file, labels):
    few(test=2)
    planes = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), np.uint8)
    records = (bytes(label) + plane.tobytes() for label, plane in zip(labels, planes, strict=True))
    write(tmp_path / file, b"".join(records))
    images, given = data.load(name, "test", tmp_path)
    assert given.tolist() == [label[-1] for label in labels]
    assert images.shape == (2, 32, 32, 3) and images[1, 5, 6].tolist() == planes[1, :, 5, 6].tolist()


def test_svhn_layout(tmp_path, few):
    frames = np.random.default_rng(1).integers(0, 256, (32, 32, 3, 3), np.uint8)
    write(tmp_path / "SVHN/test_32x32.mat", matlab(X=frames, y=np.array([[1], [10], [9]], np.uint8)))
    images, labels = data.load("svhn", "test", tmp_path)
    assert labels.tolist() == [1, 0, 9] and labels.dtype == np.int64
    assert images[2, 5, 6].tolist() == frames[5, 6, :, 2].tolist() and images.flags.c_contiguous


def test_the_environment_names_the_folder(mnist, few, monkeypatch):
    monkeypatch.setenv("BNN_DATA", str(mnist))
    assert len(data.load("mnist", "test")[1]) == 3


def test_the_table():
    lengths = {name: len(data.classes(name)) for name in datasets.DATASETS}
    assert lengths == {"cifar10": 10, "cifar100": 100, "mnist": 10, "fashion-mnist": 10, "svhn": 10}
    assert data.classes("cifar100") == tuple(sorted(set(data.classes("cifar100"))))
    for dataset in datasets.DATASETS.values():
        published = [file for source in dataset.sources for file in source.files]
        assert sorted(published) == sorted(sum(dataset.splits.values(), ()))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_real_thing(name, split):
    if not os.environ.get("BNN_DATA"):
        pytest.skip("BNN_DATA is not set: real images not checked")
    images, labels = data.load(name, split)
    assert images.shape == (datasets.DATASETS[name].counts[split], *datasets.DATASETS[name].shape)
    assert np.bincount(labels).shape == (10,)


# Other shapes


def test_grey_images_for_a_network_that_sees_colours(mnist, few):
    images, _ = data.load("mnist", "test", mnist, shape=(28, 28, 3))
    assert np.array_equal(images, np.repeat(IMAGES[..., np.newaxis], 3, axis=-1))
    images, labels = data.load("mnist", "test", mnist, shape=(32, 32, 3))
    assert images.shape == (3, 32, 32, 3) and images.dtype == np.uint8 and labels.tolist() == [7, 0, 9]
    first, labels = data.load("mnist", "test", mnist, shape=(32, 32, 3), count=2)
    assert np.array_equal(first, images[:2]) and labels.tolist() == [7, 0]


def test_colours_for_a_network_that_sees_grey(tmp_path, few):
    few(test=1)
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    write(tmp_path / "cifar-10-batches-bin/test_batch.bin", b"\5" + image.transpose(2, 0, 1).tobytes())
    images, _ = data.load("cifar10", "test", tmp_path, shape=(32, 32, 1))
    assert np.abs(images[0, ..., 0] - image @ [0.299, 0.587, 0.114]).max() <= 1
    assert data.load("cifar10", "test", tmp_path, shape=(28, 28, 1))[0].shape == (1, 28, 28, 1)


# What is missing or damaged


def test_no_folder(monkeypatch):
    monkeypatch.delenv("BNN_DATA", raising=False)
    with pytest.raises(UserError, match=r"--data DIR.*BNN_DATA"):
        data.load("mnist", "test")


@pytest.mark.parametrize(
    "name, file",
    [
        ("mnist", "train-images-idx3-ubyte"),
        ("fashion-mnist", "train-labels-idx1-ubyte"),
        ("cifar10", "data_batch_5.bin"),
        ("cifar100", "train.bin"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_missing_files_are_named(tmp_path, no_network, name, file):
    with pytest.raises(UserError, match=f"{file}.*{tmp_path}.*--data DIR.*no route to host"):
        data.load(name, "train", tmp_path)


@pytest.mark.parametrize("name, split", [("imagenet", "test"), ("mnist", "validation")])
def test_unknown_names(name, split, tmp_path):
    with pytest.raises(ValueError, match="there are"):
        data.load(name, split, tmp_path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"<html>", "not an IDX file"),
        (idx(IMAGES)[:-1], "2351 bytes of data"),
        (bytes([0, 0, 8, 3]) + b"\x80\0\0\0\x80\0\0\0\0\0\0\4", "0 bytes of data"),  # 2**64 of them
        (idx(IMAGES[:2]), r"3 test images.*not images \(2, 28, 28, 1\) and labels \(3,\)"),
        (idx(IMAGES[:, 1:]), r"images \(3, 27, 28, 1\)"),
    ],
)
def test_damaged_idx(mnist, few, content, complaint):
    write(mnist / "MNIST/raw/t10k-images-idx3-ubyte", content)
    with pytest.raises(UserError, match=complaint):
        data.load("mnist", "test", mnist)


def test_too_few_images(mnist):
    with pytest.raises(UserError, match=r"mnist has 10,000 test images.*not images \(3, 28, 28, 1\).*delete"):
        data.load("mnist", "test", mnist)


@pytest.mark.parametrize("content", [b"", b"<html>", gzip.compress(idx(IMAGES))[:-9], gzip.compress(idx(IMAGES))[:40]],
                         ids=["empty", "page", "without its end", "its head"])
def test_damaged_gz(mnist, few, content):
    (mnist / "MNIST/raw/t10k-images-idx3-ubyte").unlink()
    write(mnist / "MNIST/raw/t10k-images-idx3-ubyte.gz", content)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte"):
        data.load("mnist", "test", mnist)


@pytest.mark.parametrize("name, file, size", [
    ("cifar10", "cifar-10-batches-bin/test_batch.bin", 0),
    ("cifar10", "cifar-10-batches-bin/test_batch.bin", 3072),
    ("cifar100", "cifar-100-binary/test.bin", 3073),
])  # fmt: skip
def test_damaged_cifar(tmp_path, name, file, size):
    write(tmp_path / file, bytes(size))
    with pytest.raises(UserError, match=r"whole number of 3,07[34]-byte records"):
        data.load(name, "test", tmp_path)


@pytest.mark.parametrize("name, file, record", [
    ("cifar10", "cifar-10-batches-bin/test_batch.bin", b"\x0a"),
    ("cifar100", "cifar-100-binary/test.bin", b"\0\x64"),
])  # fmt: skip
def test_labels_out_of_range(tmp_path, few, name, file, record):
    few(test=1)
    write(tmp_path / file, record + bytes(3072))
    with pytest.raises(UserError, match=r"a label is (10, but cifar10 has 10|100, but cifar100 has 100) classes"):
        data.load(name, "test", tmp_path)


FRAMES = np.zeros((32, 32, 3, 3), np.uint8)
DIGITS = np.array([[1], [2], [3]], np.uint8)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "damaged"),
        (b"<html>" * 100, "damaged"),
        (matlab(X=FRAMES, y=DIGITS)[:-20], "damaged"),
        (matlab(X=FRAMES, y=DIGITS)[:150], "damaged"),
        (matlab(X=FRAMES), "damaged.*'y'"),
        (matlab(X=FRAMES, y=DIGITS - 1), "labels from 1 to 10"),
        (matlab(X=FRAMES, y=DIGITS + 8), "labels from 1 to 10"),
        (matlab(X=FRAMES[..., 0], y=DIGITS), "4 dimensions"),
        (matlab(X=FRAMES[..., :2], y=DIGITS), r"not images \(2, 32, 32, 3\)"),
    ],
)
def test_damaged_svhn(tmp_path, few, content, complaint):
    write(tmp_path / "SVHN/test_32x32.mat", content)
    with pytest.raises(UserError, match=f"SVHN.*{complaint}"):
        data.load("svhn", "test", tmp_path)


def test_svhn_with_any_byte_wrong(tmp_path, few):
    rng, good = np.random.default_rng(3), np.frombuffer(matlab(X=FRAMES, y=DIGITS), np.uint8)
    for _ in range(300):
        content = good.copy()
        content[rng.integers(len(content))] ^= rng.integers(1, 256, dtype=np.uint8)
        write(tmp_path / "SVHN/test_32x32.mat", content.tobytes())
        try:
            images, labels = data.load("svhn", "test", tmp_path)
        except UserError as error:
            assert "SVHN" in str(error)
        else:
            assert images.shape == (3, 32, 32, 3) and labels.shape == (3,)


def test_packages_that_are_not_there(tmp_path, few, monkeypatch):
    write(tmp_path / "SVHN/test_32x32.mat", matlab(X=FRAMES, y=DIGITS))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match=r"scipy.io.*pip install .*\[train\]"):
        data.load("svhn", "test", tmp_path)


# Downloads


@pytest.fixture
def served(monkeypatch):
    """Let addresses hold what the test says, and what is there count as published."""

    def serve(name, contents):
        sources = tuple(source._replace(md5=hashlib.md5(contents[source.url]).hexdigest())
                        for source in datasets.DATASETS[name].sources if source.url in contents)
        monkeypatch.setitem(datasets.DATASETS, name, datasets.DATASETS[name]._replace(sources=sources))
        monkeypatch.setattr(download.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(contents[url]))
        return contents

    return serve


def archive(**files):
    """Pack files as a .tar.gz, in a folder as CIFAR's are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"folder/{name}.bin")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-{}-ubyte.gz"
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"


def test_download(tmp_path, few, served):
    contents = served("mnist", {MNIST_URL.format("images-idx3"): gzip.compress(idx(IMAGES)),
                                MNIST_URL.format("labels-idx1"): gzip.compress(idx(LABELS))})
    assert data.load("mnist", "test", tmp_path / "new")[1].tolist() == [7, 0, 9]
    contents.clear()
    assert data.load("mnist", "test", tmp_path / "new")[1].tolist() == [7, 0, 9]
    assert not list(tmp_path.rglob("*.part"))


def test_download_of_an_archive(tmp_path, few, served):
    few(train=2, test=1)
    served("cifar100", {CIFAR_URL: archive(train=bytes(2 * 3074), test=bytes(3074))})
    assert data.load("cifar100", "test", tmp_path / "new")[0].shape == (1, 32, 32, 3)
    assert data.load("cifar100", "train", tmp_path / "new")[0].shape == (2, 32, 32, 3)


def test_download_of_a_file_as_it_is(tmp_path, few, served):
    served("svhn", {"http://ufldl.stanford.edu/housenumbers/test_32x32.mat": matlab(X=FRAMES, y=DIGITS)})
    assert data.load("svhn", "test", tmp_path / "new")[1].tolist() == [1, 2, 3]


def test_download_of_something_else(tmp_path, few, served):
    contents = served("mnist", {MNIST_URL.format(part): gzip.compress(b"") for part in ("images-idx3", "labels-idx1")})
    contents[MNIST_URL.format("images-idx3")] += b"\0"
    with pytest.raises(UserError, match="wrong md5"):
        data.load("mnist", "test", tmp_path)


def test_download_that_breaks_off(tmp_path, monkeypatch):
    class Broken(io.BytesIO):
        def read(self):
            raise http.client.IncompleteRead(b"", 100)

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda url, timeout: Broken())
    with pytest.raises(UserError, match="failed: IncompleteRead"):
        data.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("content", [
    b"<html>",
    archive(test=bytes(3074))[:-30],
    gzip.compress(b"<html>" * 200),
    gzip.compress(gzip.decompress(archive(test=bytes(3074)))[:2000]),
    archive(train=bytes(3074)),
], ids=["page", "without its end", "packed page", "archive without its end", "other files"])  # fmt: skip
def test_archives_that_do_not_unpack(tmp_path, few, served, content):
    served("cifar100", {CIFAR_URL: content})
    with pytest.raises(UserError, match=r"needs test.bin in .*cifar-100-binary.tar.gz sent does not unpack: ."):
        data.load("cifar100", "test", tmp_path)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_nowhere_to_write(tmp_path, few, served):
    served("svhn", {"http://ufldl.stanford.edu/housenumbers/test_32x32.mat": b""})
    write(tmp_path / "SVHN", b"a file")
    with pytest.raises(UserError, match="Writing there failed"):
        data.load("svhn", "test", tmp_path)
