"""How to train, in short files that one can read: ``paper``, ``best``, ``quick``, ``ubq``, or one's own."""

import tomllib
from dataclasses import dataclass, fields, replace
from math import cos, pi
from pathlib import Path

from gen.errors import UserError

__all__ = ["Recipe", "load", "names"]

_FOLDER = Path(__file__).parent
_LIMITS = {
    "epochs": (1, 10**6), "rate": (0, 10), "batch": (2, 10**6), "freeze": (0, 10**3), "momentum": (0, 1),
    "weight_decay": (0, 1), "bits": (1, 5), "act_bits": (4, 16), "shift": (0, 100), "label_smoothing": (0, 1),
    "erase": (0, 1), "mixup": (0, 100), "distil": (0, 1), "ema": (0, 1), "keep": (0, 1),
    "dense_inputs": (0, 10**6),
}  # fmt: skip
_CHOICES = {
    "schedule": ("linear", "cosine", "halving", "tenths"), "optimiser": ("adam", "sgd"),
    "thresholds": ("largest", "variance"),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """All that, with the network, the data and the seed, decides the result.

    Parameters
    ----------
    epochs : int
        Length of the schedule.
    rate : float
        Learning rate at the start.
    batch : int
        Images a step.
    schedule : str
        ``linear``: constant for the first half, then in a line to 0; ``cosine``: to 0; ``halving``: every 40 epochs;
        ``tenths``: to a tenth after half of the epochs, and again after three quarters.
    quantiser : str
        A key of `train.quantizers.QUANTIZERS`.
    optimiser : str
        ``adam`` or ``sgd``.
    momentum : float
        Of ``sgd``.
    weight_decay : float
        Added to each gradient, times the parameter.
    bits : int
        Of power-of-two weights.
    thresholds : str
        Which real weight becomes which power of two, one of `train.powers.THRESHOLDS`.
    act_bits : int
        Of activations in fixed point.
    start : str
        Recipe of a full-precision network, trained first, whose weights this one starts from, or the SHA-256 of the
        checkpoint that ``--start`` names; empty: random ones.
    shift : int
        Move each image by up to so many pixels each way, the border filled with black.
    mirror : bool
        Mirror images at random; not those of digits.
    label_smoothing : float
        Share of the target that all classes get alike.
    erase : float
        Probability that a rectangle of an image is blacked out.
    mixup : float
        Mix pairs of images and labels, shares from a beta distribution with both parameters this; 0: do not.
    teacher : str
        Recipe of a teacher, the same network with real weights and activations, which is trained first; empty: none.
    distil : float
        Share of the target that is the teacher's probabilities.
    ema : float
        What is kept at the end is a moving average of the latent weights, which decays by this at each step; 0: do not.
    keep : float
        Share of each hidden layer's filters that stay, see `train.prune`; 1: all.
    dense_inputs : int
        Of the random weights of each output of a dense layer so many at random places, and 0 at all others; 0: all.
    bfloat16 : bool
        Train in bfloat16 where that is safe (autocast); evaluation is always in float32.
    freeze : int
        After ``epochs``, freeze one layer after the other, input to output, and train the rest for so many epochs each;
        0: none. See `train.freeze`.
    seed : int
        Of the first weights, of each epoch's order and of its augmentation.
    """

    epochs: int
    rate: float = 0.02
    batch: int = 100
    schedule: str = "linear"
    quantiser: str = "ste"
    optimiser: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    bits: int = 3
    thresholds: str = "largest"
    act_bits: int = 16
    start: str = ""
    shift: int = 0
    mirror: bool = False
    label_smoothing: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    teacher: str = ""
    distil: float = 0.0
    ema: float = 0.0
    keep: float = 1.0
    dense_inputs: int = 0
    bfloat16: bool = False
    freeze: int = 0
    seed: int = 1

    def rate_at(self, epoch):
        """Learning rate at ``epoch``, a float; from the first to 0 again after each layer that is frozen."""
        if epoch >= self.epochs:
            return self.rate * (1 + cos(pi * ((epoch - self.epochs) / self.freeze % 1))) / 2
        fraction = epoch / self.epochs
        return self.rate * {"linear": min(1, 2 * (1 - fraction)), "cosine": (1 + cos(pi * fraction)) / 2,
                            "halving": 0.5 ** (epoch // 40),
                            "tenths": 0.1 ** ((fraction >= 0.5) + (fraction >= 0.75))}[self.schedule]

    def frozen_at(self, epoch):
        """Layers that are frozen in ``epoch``, from the input on."""
        return (epoch - self.epochs) // self.freeze + 1 if self.freeze and epoch >= self.epochs else 0


def names():
    """The recipes that come with us."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name, **changes):
    """The recipe called ``name``, or in the file of that name, with ``changes`` that are not None.

    Raises
    ------
    UserError
        There is no such recipe, or something in it is not as it should be.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    try:
        entries = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"no recipe {name!r} ({error.strerror}); there are {', '.join(names())}, "
                        f"or give the path of a .toml file") from None
    except ValueError as error:
        raise UserError(f"recipe {path}: {error}") from None
    kinds = {field.name: field.type for field in fields(Recipe)}
    for key, value in entries.items():
        if key not in kinds:
            raise UserError(f"recipe {path}: no setting {key!r}; there are {', '.join(kinds)}")
        if type(value) is not kinds[key] and not (kinds[key] is float and type(value) is int):
            raise UserError(f"recipe {path}: {key} is {value!r}, not of type {kinds[key].__name__}")
    if "epochs" not in entries:
        raise UserError(f"recipe {path}: epochs are missing")
    recipe = replace(Recipe(**entries), **{key: value for key, value in changes.items() if value is not None})
    return _checked(recipe, path)


def _checked(recipe, path):
    for key, (least, most) in _LIMITS.items():
        if not least <= getattr(recipe, key) <= most:
            raise UserError(f"recipe {path}: {key} is {getattr(recipe, key)}, not in {least} to {most:,}")
    for key, choices in _CHOICES.items():
        if getattr(recipe, key) not in choices:
            raise UserError(f"recipe {path}: no {key} {getattr(recipe, key)!r}; there are {', '.join(choices)}")
    if bool(recipe.teacher) != bool(recipe.distil):
        raise UserError(f"recipe {path}: teacher and distil go together, one of them is missing")
    if recipe.freeze and recipe.ema:
        raise UserError(f"recipe {path}: layers that freeze have no moving average; set ema or freeze to 0")
    return recipe
