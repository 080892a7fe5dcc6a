"""Names of classes, made fit to be shown: a model file may hold anything."""

import json

from gen.errors import UserError
from gen.golden import class_count
from train.data import DATASETS

__all__ = ["clean", "names"]


def clean(name, length=60):
    """One line of visible characters, so many at most: what would steer a terminal or turn text becomes U+FFFD."""
    spaced = " ".join(name.split())
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in spaced)
    return visible if len(visible) <= length else visible[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def names(network):
    """Names of what ``network`` tells apart, in the order of its scores.

    They are those in the model file (metadata key ``classes``, a JSON list), or else those of its data set, or else
    numbers.

    Raises
    ------
    UserError
        The model file's are no list of names, one a score.
    """
    count = class_count(network)
    if "classes" in network.metadata:
        return _told(network, count)
    dataset = DATASETS.get(network.metadata.get("dataset"))
    if dataset and len(dataset.classes) == count:
        return [clean(name) for name in dataset.classes]
    return [str(number) for number in range(count)]


def _told(network, count):
    try:
        told = json.loads(network.metadata["classes"])
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list) or len(told) != count or not all(isinstance(name, str) for name in told):
        raise UserError(f"{network.name}: the metadata key classes has to be a JSON list of {count} names; correct it "
                        "in the model file, or remove it")
    return [clean(name) for name in told]
