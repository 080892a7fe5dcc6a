"""Pictures against arithmetic of our own; folders of them; whatever is no picture."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gen.errors import UserError
from train import data
from train.data import pictures


def noise(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# One picture


def resized(values, start, length, size):
    """Resize ``length`` places of the first axis: cubic convolution (Keys, a = -1/2), as wide as an output pixel."""
    scale = length / size
    reach = max(scale, 1)
    centres = start + (np.arange(size) + 0.5) * scale
    x = np.abs(np.arange(len(values)) + 0.5 - centres[:, None]) / reach
    weights = np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))
    return np.tensordot(weights / weights.sum(1, keepdims=True), values, axes=1)


@pytest.mark.parametrize(
    "height, width, top, left, side", [(90, 60, 15, 0, 60), (64, 100, 0, 18, 64), (20, 20, 0, 0, 20)]
)
@pytest.mark.parametrize("size", [8, 32])
def test_fit_cuts_the_middle_out_and_resizes(height, width, top, left, side, size):
    pixels = noise(height, width, 3) // 4 + 90  # Pillow cuts off between one axis and the other
    wanted = resized(resized(pixels, top, side, size).swapaxes(0, 1), left, side, size).swapaxes(0, 1)
    given = pictures.fit(Image.fromarray(pixels), (size, size, 3))
    assert given.dtype == np.uint8 and given.flags.writeable
    assert np.abs(given - wanted).max() <= 2


def test_fit_keeps_the_aspect_of_the_network():
    pixels = noise(30, 60, 3)
    assert np.array_equal(pictures.fit(Image.fromarray(pixels), (30, 60, 3)), pixels)
    assert np.array_equal(pictures.fit(Image.fromarray(pixels), (30, 20, 3)), pixels[:, 20:40])


def test_fit_to_grey_and_from_grey():
    colours, grey = noise(9, 9, 3), noise(9, 9)
    luma = colours @ [0.299, 0.587, 0.114]
    assert np.abs(pictures.fit(Image.fromarray(colours), (9, 9, 1))[..., 0] - luma).max() <= 1
    assert np.array_equal(pictures.fit(Image.fromarray(grey), (9, 9, 3)), grey[..., None].repeat(3, axis=-1))


def test_fit_takes_pictures_of_any_mode():
    grey = noise(9, 9)
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 7)
    assert deep.mode == "I;16"
    for image in deep, deep.convert("I"):
        assert np.array_equal(pictures.fit(image, (9, 9, 1))[..., 0], grey)
    palette = Image.fromarray(noise(9, 9) // 64 * 64).convert("P")
    assert np.array_equal(pictures.fit(palette, (9, 9, 1))[..., 0], noise(9, 9) // 64 * 64)
    bits = Image.fromarray(grey > 127)
    assert bits.mode == "1"
    assert np.array_equal(pictures.fit(bits, (9, 9, 1))[..., 0], np.where(grey > 127, 255, 0))


def test_what_is_transparent_becomes_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    given = pictures.fit(Image.fromarray(pixels), (4, 4, 3))
    assert (given[:2] == 0).all() and (given[2:] == 255).all()


def test_channels_that_no_picture_has():
    with pytest.raises(UserError, match=r"1 channel \(grey\) or 3"):
        pictures.fit(Image.fromarray(noise(4, 4)), (4, 4, 2))


def test_convert_is_fit_for_each():
    images = noise(3, 28, 28, 1)
    wanted = [pictures.fit(Image.fromarray(image[..., 0]), (32, 32, 3)) for image in images]
    assert np.array_equal(pictures.convert(images, (32, 32, 3)), wanted)


@pytest.mark.parametrize("kind, suffix", [("PNG", "png"), ("BMP", "bmp"), ("PPM", "ppm"), ("WEBP", "webp")])
def test_files_without_loss(tmp_path, kind, suffix):
    pixels = noise(16, 16, 3)
    options = {"lossless": True} if kind == "WEBP" else {}
    path = write(tmp_path / f"a.{suffix}", encoded(pixels, kind, **options))
    assert np.array_equal(pictures.read(path, (16, 16, 3)), pixels)


def test_large_jpeg(tmp_path):
    smooth = np.linspace(0, 255, 1600)[:, None, None] * np.ones((1, 1200, 3))
    path = write(tmp_path / "a.jpg", encoded(smooth.astype(np.uint8), "JPEG", quality=95))
    given = pictures.read(path, (12, 12, 3)).astype(float)
    wanted = smooth[200:1400].reshape(12, 100, 1200, 3).mean((1, 2))
    assert np.abs(given - wanted[:, None]).max() <= 3


TURNED = [lambda p: p, np.fliplr, lambda p: np.rot90(p, 2), np.flipud, lambda p: p.swapaxes(0, 1),
          lambda p: np.rot90(p, -1), lambda p: np.rot90(p, 2).swapaxes(0, 1), np.rot90]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_was_held_otherwise(tmp_path, orientation):
    exif, pixels = Image.Exif(), noise(8, 8, 3)
    exif[0x0112] = orientation
    path = write(tmp_path / "a.png", encoded(pixels, exif=exif))
    assert np.array_equal(pictures.read(path, (8, 8, 3)), TURNED[orientation - 1](pixels))


def bomb(side):
    """A PNG of a few bytes that says that it has ``side`` x ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


@pytest.mark.parametrize("content, complaint", [
    (b"", "not a picture"),
    (b"<html>", "not a picture"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    (encoded(noise(9, 9), "TIFF"), "not a picture"),
    (encoded(noise(99, 99, 3))[:9000], "truncated"),
    (encoded(noise(99, 99, 3), "JPEG")[:2000], "truncated"),
    (bomb(10_000), "decompression bomb"),
    (bomb(60_000), "decompression bomb"),
    (b"P6 4000000000 4000000000 255 ", "decompression bomb"),
])  # fmt: skip
def test_hostile_files_are_named(tmp_path, content, complaint):
    path = write(tmp_path / "a.png", content)
    with pytest.raises(UserError, match=f"{path}: .*{complaint}.*remove it"):
        pictures.read(path, (8, 8, 3))


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"a.png: .*No such file"):
        pictures.read(tmp_path / "a.png", (8, 8, 3))


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_files_with_bytes_wrong(tmp_path, kind):
    rng, exif = np.random.default_rng(4), Image.Exif()
    exif[0x0112] = 6
    good = encoded(noise(24, 20, 3), kind, **({} if kind in {"BMP", "PPM"} else {"exif": exif}))
    for _ in range(200):
        content = np.frombuffer(good, np.uint8).copy()
        # Most of a file is pixels; what goes wrong goes wrong in the first bytes.
        places = rng.integers(0, rng.choice([100, len(content)]), 2)
        content[places] = rng.integers(0, 256, 2)
        path = write(tmp_path / "a", content[: rng.choice([len(content), rng.integers(len(content))])].tobytes())
        try:
            assert pictures.read(path, (8, 8, 3)).shape == (8, 8, 3)
        except UserError as error:
            assert str(path) in str(error)


# Folders

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


def fill(folder, name, count, first=0):
    """Put pictures of one colour into a class's folder."""
    for number in range(first, first + count):
        write(folder / name / f"{number}.png", encoded(np.full((6, 9, 3), COLOURS[name], np.uint8)))


def colours(images):
    return [list(COLOURS)[image[0, 0].argmax()] for image in images]


@pytest.fixture
def own(tmp_path):
    """Thirty pictures in three classes."""
    for name in COLOURS:
        fill(tmp_path / "own", name, 10)
    return tmp_path / "own"


def test_a_fifth_is_for_testing(own):
    for name in COLOURS:
        fill(own, name, 200)
    names = data.classes(own)
    assert names == ("blue", "green", "red") == data.classes(str(own))
    total = 0
    for split, least, most in ("train", 140, 180), ("test", 20, 60):
        images, labels = data.load(str(own), split, shape=(4, 4, 3))
        assert images.shape == (len(labels), 4, 4, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
        assert colours(images) == [names[label] for label in labels]
        assert all(least < count < most for count in np.bincount(labels))
        total += len(labels)
    assert total == 600


def test_classes_are_mixed(own):
    labels = data.load(own, "train", shape=(4, 4, 1))[1]
    assert set(labels[:6]) == set(labels[-6:]) == {0, 1, 2}
    images, first = data.load(own, "train", shape=(4, 4, 1), count=6)
    assert len(images) == 6 and first.tolist() == labels[:6].tolist()


def numbered(own, split):
    """Which numbers the pictures of a split have: each has its own as its brightness."""
    return set(data.load(own, split, shape=(1, 1, 1))[0].ravel().tolist())


def test_a_picture_stays_in_its_split(tmp_path):
    def add(numbers):
        for number in numbers:
            for name in "a", "b":
                write(tmp_path / name / f"IMG_{number}.PNG", encoded(np.full((2, 2), number, np.uint8)))

    add(range(0, 60, 2))
    before = {split: numbered(tmp_path, split) for split in ("train", "test")}
    assert before["train"] | before["test"] == set(range(0, 60, 2)) and not before["train"] & before["test"]
    add(range(1, 60, 2))
    assert before["train"] < numbered(tmp_path, "train") and before["test"] < numbered(tmp_path, "test")
    # Written down: it must stay so from one version to the next.
    assert before["test"] == {2, 18, 22, 24, 44, 54}


def test_splits_set_apart(tmp_path):
    for split, count in ("train", 3), ("test", 2):
        for name in COLOURS:
            fill(tmp_path / split, name, count)
    assert data.classes(tmp_path) == ("blue", "green", "red")
    assert np.bincount(data.load(tmp_path, "train", shape=(4, 4, 3))[1]).tolist() == [3, 3, 3]
    assert np.bincount(data.load(tmp_path, "test", shape=(4, 4, 3))[1]).tolist() == [2, 2, 2]


def test_what_is_passed_over(own):
    write(own / "red" / ".hidden.png", b"")
    write(own / "red" / "notes.txt", b"")
    write(own / ".cache" / "x.png", b"")
    write(own / "README.md", b"")
    assert len(data.classes(own)) == 3
    assert sum(len(data.load(own, split, shape=(4, 4, 3))[1]) for split in ("train", "test")) == 30


def test_a_class_may_be_called_train(tmp_path):
    for name in "train", "bus":
        (tmp_path / name).mkdir()
    assert data.classes(tmp_path) == ("bus", "train")


def test_a_broken_picture_is_named(own):
    write(own / "red" / "x.jpg", b"no picture")
    with pytest.raises(UserError, match=r"red/x.jpg: not a picture"):
        for split in "train", "test":
            data.load(own, split, shape=(4, 4, 3))


@pytest.mark.parametrize("made, complaint", [
    ([], "at least two; there are none"),
    (["a"], "at least two; there is only a"),
    (["train/a", "train/b"], "train and test belong side by side, but only train"),
    (["train/a", "train/b", "test/a"], "the same classes, but only one of them has b"),
    (["train/a", "test/a"], "train: .*at least two; there is only a"),
    (["train", "test"], "train: .*at least two; there are none"),
    (["a", "b"], "a: 0 pictures, and none for the train split; add some"),
])  # fmt: skip
def test_other_layouts(tmp_path, made, complaint):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{tmp_path}.*{complaint}"):
        data.load(tmp_path, "train", shape=(4, 4, 3))


def test_too_few_to_test(tmp_path):
    for name in "red", "blue":
        fill(tmp_path, name, 1, first=2)
    with pytest.raises(UserError, match=r"blue: 1 pictures, and none for the test split; add some .*test/blue"):
        data.load(tmp_path, "test", shape=(4, 4, 3))


def test_no_such_folder(tmp_path):
    for call in (lambda: data.load(tmp_path / "no", "train", shape=(4, 4, 3)), lambda: data.classes("no")):
        with pytest.raises(UserError, match=r"no'.*there are cifar10, .*svhn, or give the path"):
            call()


def test_a_folder_has_no_shape(own):
    with pytest.raises(ValueError, match="a shape is needed"):
        data.load(own, "train")
