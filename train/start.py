"""Training that begins with what an earlier run of the network has learnt: in full precision, or of other images."""

import hashlib

import torch

from gen.errors import UserError
from train import checkpoints, nets

__all__ = ["digest", "start", "take_over"]


def start(model, folder):
    """Take over, in place, what the run in ``folder``, finished or stopped, has learnt.

    Raises
    ------
    UserError
        The folder holds no run, or one of another network.
    """
    path = folder / "checkpoint.pt"
    if not path.is_file():
        raise UserError(f"--start {folder}: there is no checkpoint.pt; name the folder of a run")
    state, _, _ = checkpoints.read(path, nets.binary_weights(model)[0].device)
    missing = take_over(model, state.get("model", {}))
    if missing:
        raise UserError(f"--start {folder}: a run of another network, which has no such {missing[0]}; name one of this")


@torch.no_grad()
def take_over(model, state):
    """Take over weights and BatchNorms, but not a last layer for another number of classes; returns what is missing."""
    own = {name: tensor for name, tensor in model.state_dict().items() if "quant" not in name}  # nor ranges, schedules
    fitting = {name: state[name] for name, tensor in own.items() if name in state and state[name].shape == tensor.shape}
    model.load_state_dict(fitting, strict=False)
    last = list(nets.binary_layers(model))[-1]
    return sorted(own.keys() - fitting.keys() - {f"{last}.weight"})


def digest(folder):
    """What tells the run in ``folder`` from others."""
    with open(folder / "checkpoint.pt", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
