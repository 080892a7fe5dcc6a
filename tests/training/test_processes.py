"""Two processes, as torchrun starts them, compute what one does; one that was killed goes on as if it had not been."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from gen.errors import UserError
from tests.training.samples import arrays
from train import parallel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures for each of ten classes."""
    images, labels = arrays(240)
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pictures" / f"{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{k}.png")
    return tmp_path / "pictures"


def command(out, pictures, recipe, *launcher):
    """Return the words that train in another process."""
    words = [sys.executable, *launcher, "-m", "tests.training.exactly", "--net", "lenet", "--dataset", pictures,
             "--recipe", recipe, "--out", out, "--device", "cpu"]
    return [str(word) for word in words]


def train(out, *arguments):
    """Train in other processes; return the weights and the log."""
    done = subprocess.run(command(out, *arguments), capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert " ".join(done.stdout.split()).count(", 0 images differ;") == 1  # by one process
    with open(out / "log.csv", newline="") as file:
        log = [float(row[key]) for row in csv.DictReader(file) for key in ("loss", "accuracy", "flips")]
    return torch.load(out / "checkpoint.pt", weights_only=True)["model"], log


@pytest.mark.parametrize("settings", ["shift = 2\nmirror = true\nmixup = 0.3", "freeze = 1", "quantiser = 'pow2'",
                                      "ema = 0.9"])
def test_two_processes_are_as_one(tmp_path, pictures, settings):
    recipe = tmp_path / "own.toml"
    recipe.write_text(f"epochs = 3\nbatch = 16\nrate = 0.01\n{settings}\n")
    alone, log = train(tmp_path / "one", pictures, recipe)
    together, same = train(tmp_path / "two", pictures, recipe, "-m", "torch.distributed.run", "--standalone",
                           "--nproc-per-node", "2")
    assert log == pytest.approx(same, rel=1e-5) and len(log) >= 9
    for name, tensor in alone.items():
        assert torch.allclose(tensor.double(), together[name].double(), rtol=1e-6, atol=1e-9), name


def test_killed_in_the_midst_of_an_epoch(tmp_path, pictures):
    recipe = tmp_path / "own.toml"
    recipe.write_text("epochs = 40\nbatch = 16\nrate = 0.01\nmirror = true\nema = 0.9\n")
    process = subprocess.Popen(command(tmp_path / "killed", pictures, recipe), stdout=subprocess.DEVNULL, cwd=ROOT)
    while not (tmp_path / "killed" / "log.csv").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = len(torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)["log"])
    assert 1 <= done < 40
    weights, log = train(tmp_path / "killed", pictures, recipe)
    same, whole = train(tmp_path / "whole", pictures, recipe)
    assert log == whole and all(torch.equal(weights[name], same[name]) for name in same)


def test_batches_that_cannot_be_shared(monkeypatch):
    monkeypatch.setattr(parallel, "world", lambda: 3)
    with pytest.raises(UserError, match="16 images a batch cannot be shared by 3 processes"):
        parallel.share(torch.zeros(16))
