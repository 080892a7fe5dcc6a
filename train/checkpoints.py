"""What a run keeps in its folder to go on from: a checkpoint, and the log of its epochs."""

import csv
import hashlib
import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch

from gen.errors import UserError
from train import files, parallel, quantizers
from train.freeze import freeze
from train.recipes import Recipe

__all__ = ["COLUMNS", "Run", "digest", "read", "restore"]

COLUMNS = "epoch", "loss", "accuracy", "rate", "flips", "uncertain", "seconds"


class Run(NamedTuple):
    """A run and its folder.

    Attributes
    ----------
    folder
        A path; it holds ``checkpoint.pt`` and ``log.csv``.
    recipe
        How it is trained.
    images
        What tells the images that it learns from, see `digest`.
    parts
        What has a state, by name: ``model``, ``optimiser``, and ``average`` where there is one.
    """

    folder: Path
    recipe: Recipe
    images: str
    parts: dict

    def save(self, log):
        """Replace the checkpoint, then the log, which :meth:`resume` mends should only the first have come about."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"recipe": asdict(self.recipe), "images": self.images, "log": log} | states
        torch.save(state, self.folder / "checkpoint.new")
        (self.folder / "checkpoint.new").replace(self.folder / "checkpoint.pt")
        self._write(log)

    def resume(self, device):
        """Load the state in the checkpoint, if there is one.

        Returns
        -------
        list of dict
            Its log, keyed by `COLUMNS`.

        Raises
        ------
        UserError
            It was made by another recipe or with other images, or is of another network; or not all processes see it.
        """
        path, log = self.folder / "checkpoint.pt", []
        if path.is_file():
            state, recipe, log = read(path, device)
            self._check(path, recipe, state.get("images"), len(log))
            freeze(self.parts["model"], self.recipe.frozen_at(len(log) - 1))
            restore(path, state, self.parts)
            quantizers.observe(self.parts["model"], self.parts["optimiser"])
            if parallel.rank() == 0:
                self._write(log)
        if parallel.largest(torch.tensor(len(log), device=device)) != len(log):
            raise UserError(f"{path} is not there for every process; name a folder that all machines share")
        return log

    def _check(self, path, recipe, images, epochs):
        """Whether what was begun by ``recipe``, ``epochs`` ago, would have come to the same by ours."""
        constant = self.recipe.schedule == "linear" and epochs <= min(recipe.epochs, self.recipe.epochs) / 2
        if constant and self.recipe.quantiser == "ste":
            recipe = replace(recipe, epochs=self.recipe.epochs)
        differences = [f"{key} {was!r} there, {value!r} here" for key, value in asdict(self.recipe).items()
                       if (was := getattr(recipe, key)) != value]
        if differences:
            raise UserError(f"{path} was made by another recipe ({', '.join(differences)}); name another folder")
        if images != self.images:
            raise UserError(f"{path} was made with other images; name another folder")

    def _write(self, log):
        """Replace ``log.csv``."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in log)
        files.write(self.folder, {"log.csv": text.getvalue().encode()})


def digest(tensors):
    """What tells ``tensors`` from others."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.cpu().numpy())
    return sha.hexdigest()


def read(path, device):
    """Read a checkpoint; returns its state, recipe and log."""
    try:
        state = torch.load(path, weights_only=True, map_location=device)
        return state, Recipe(**state["recipe"]), [dict(row) for row in state["log"]]
    except Exception as error:  # whatever the bytes make of PyTorch's reader
        raise UserError(f"{path} is no checkpoint of ours, or is damaged ({type(error).__name__}): "
                        f"remove it, or name another folder") from None


def restore(path, state, parts):
    """Load what ``state``, from the checkpoint ``path``, has of ``parts``: models and optimisers by name."""
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is of another network ({str(error).splitlines()[0]}); "
                        f"name another folder") from None
