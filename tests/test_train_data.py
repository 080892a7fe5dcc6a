"""Images from the official layouts, and what is said when they are not there."""

import gzip
import hashlib
import io
import os
import tarfile

import numpy as np
import pytest

from train import data

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], np.uint8)


def idx(array):
    """Encode an array as an IDX file."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Three test images of MNIST's shape, in its layout."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails."""

    def refuse(url, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr(data.urllib.request, "urlopen", refuse)


def test_mnist_layout(mnist):
    images, labels = data.load("mnist", "test", mnist)
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.array_equal(images[..., 0], IMAGES) and labels.tolist() == [7, 0, 9]


def test_cifar_layout(tmp_path):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    planes = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), np.uint8)
    records = np.concatenate([np.array([[3], [8]], np.uint8), planes.reshape(2, -1)], axis=1)
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(records.tobytes())
    images, labels = data.load("cifar10", "test", tmp_path)
    assert labels.tolist() == [3, 8]
    assert images[1, 5, 6].tolist() == planes[1, :, 5, 6].tolist()


def test_the_environment_names_the_folder(mnist, monkeypatch):
    monkeypatch.setenv("BNN_DATA", str(mnist))
    assert len(data.load("mnist", "test")[1]) == 3


def test_no_folder(monkeypatch):
    monkeypatch.delenv("BNN_DATA", raising=False)
    with pytest.raises(data.UserError, match=r"--data DIR.*BNN_DATA"):
        data.load("mnist", "test")


@pytest.mark.parametrize("name, file", [("mnist", "train-images-idx3-ubyte"), ("cifar10", "data_batch_5.bin")])
def test_missing_files_are_named(tmp_path, no_network, name, file):
    with pytest.raises(data.UserError, match=f"{file}.*{tmp_path}.*--data DIR.*no route to host"):
        data.load(name, "train", tmp_path)


@pytest.mark.parametrize("name, split", [("svhn", "test"), ("mnist", "validation")])
def test_unknown_names(name, split, tmp_path):
    with pytest.raises(ValueError, match="there are"):
        data.load(name, split, tmp_path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"<html>", "not an IDX file"),
        (idx(IMAGES)[:-1], "2351 bytes of data"),
        (idx(IMAGES[:2]), "do not belong together"),
    ],
)
def test_damaged_idx(mnist, content, complaint):
    (mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(data.UserError, match=complaint):
        data.load("mnist", "test", mnist)


@pytest.mark.parametrize("size", [0, 3072])
def test_damaged_cifar(tmp_path, size):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(bytes(size))
    with pytest.raises(data.UserError, match=r"whole number of 3,073-byte records"):
        data.load("cifar10", "test", tmp_path)


def served(monkeypatch, files):
    """Let `files`, unpacked name to content, be what mnist's addresses hold."""
    packed = {name: gzip.compress(content) for name, content in files.items()}
    sources = tuple(
        data.Source(f"file:///{name}", hashlib.md5(content).hexdigest(), (name,)) for name, content in packed.items()
    )
    monkeypatch.setitem(data.DATASETS, "mnist", data.DATASETS["mnist"]._replace(sources=sources))
    return packed


@pytest.mark.parametrize("damaged", [False, True])
def test_download(tmp_path, monkeypatch, damaged):
    files = {"t10k-images-idx3-ubyte": idx(IMAGES), "t10k-labels-idx1-ubyte": idx(LABELS)}
    packed = served(monkeypatch, files)
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content[:-1] if damaged else content)
    monkeypatch.setattr(
        data.urllib.request, "urlopen", lambda url, timeout: open(tmp_path / url.rpartition("/")[2], "rb")
    )
    if damaged:
        with pytest.raises(data.UserError, match="wrong md5"):
            data.load("mnist", "test", tmp_path / "new")
    else:
        assert data.load("mnist", "test", tmp_path / "new")[1].tolist() == [7, 0, 9]


def test_download_of_an_archive(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "test_batch.bin").write_bytes(bytes(3073))
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", "cifar-10-batches-bin")
    packed = (tmp_path / "cifar.tar.gz").read_bytes()
    source = data.Source("file:///c", hashlib.md5(packed).hexdigest(), ("test_batch.bin",))
    dataset = data.DATASETS["cifar10"]._replace(sources=(source,))
    monkeypatch.setitem(data.DATASETS, "cifar10", dataset)
    monkeypatch.setattr(data.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(packed))
    assert data.load("cifar10", "test", tmp_path / "new")[0].shape == (1, 32, 32, 3)


@pytest.mark.parametrize("name, split, count", [("mnist", "test", 10_000), ("cifar10", "test", 10_000)])
def test_the_real_thing(name, split, count):
    if not os.environ.get("BNN_DATA"):
        pytest.skip("BNN_DATA is not set: real images not checked")
    images, labels = data.load(name, split)
    assert images.shape == (count, *data.DATASETS[name].shape)
    assert np.bincount(labels).shape == (10,)
