"""Training that begins with the weights of a full-precision network, which few bits then fine-tune."""

import hashlib

import torch

from gen.errors import UserError
from train import checkpoints, nets

__all__ = ["digest", "full_precision", "start"]


def full_precision(folder, net, classes, device):
    """The network of a finished or stopped run with quantiser ``real``.

    Raises
    ------
    UserError
        The folder holds no such run.
    """
    path = folder / "checkpoint.pt"
    if not path.is_file():
        raise UserError(f"--start {folder}: there is no checkpoint.pt; name the folder of a full-precision run")
    state, recipe, _ = checkpoints.read(path, device)
    if recipe.quantiser != "real":
        raise UserError(f"--start {folder}: trained with quantiser {recipe.quantiser}; name a run of real weights "
                        "(recipe full or teacher)")
    model = nets.build(net, "real", classes).to(device)
    checkpoints.restore(path, state, {"model": model})
    return model


def digest(folder):
    """What tells the run in ``folder`` from others."""
    with open(folder / "checkpoint.pt", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@torch.no_grad()
def start(model, full):
    """Take over the weights of ``full``, and what its BatchNorms have learnt."""
    model.load_state_dict(full.state_dict(), strict=False)  # whose activations have no ranges
