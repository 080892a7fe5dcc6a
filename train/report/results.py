"""What a run of `train.run` left in its folder, read and checked."""

import csv
import json
from types import NoneType
from typing import NamedTuple

import numpy as np

from gen.errors import UserError
from train.classes import clean

__all__ = ["Results", "load"]

NUMBER = int | float
FACTS = {
    "net": str, "dataset": str, "trained": bool, "recipe": dict, "epochs": int, "seed": int, "seconds": NUMBER,
    "machine": str, "command": str, "accuracy": NUMBER | NoneType, "golden_accuracy": NUMBER | NoneType,
    "disagreements": int, "sha256": str, "classes": list | NoneType, "confusion": list | NoneType,
}  # fmt: skip
NEEDED, OPTIONAL = ("epoch", "loss", "accuracy"), ("rate", "flips", "uncertain", "seconds")


class Results(NamedTuple):
    """What is known of a run.

    Attributes
    ----------
    curves : dict of str to list of float
        The columns of ``log.csv``; None of a network that was not trained.
    facts : dict
        What ``<net>.json`` says; None while the run is going on.
    confusion : int array, shape (classes, classes)
        Test images by true class (row) and by the golden model's answer (column); None while the run is going on.
    """

    curves: dict | None
    facts: dict | None
    confusion: np.ndarray | None


def load(folder):
    """Read the results in ``folder``.

    Returns
    -------
    Results

    Raises
    ------
    UserError
        The folder is no run's, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that train.run wrote (its --out)")
    log, files = folder / "log.csv", sorted(folder.glob("*.json"))
    if not log.is_file() and not files:
        raise UserError(f"{folder}: neither log.csv nor a network's .json is there; name a folder that train.run wrote")
    if len(files) > 1:
        found = ", ".join(path.name for path in files)
        raise UserError(f"{folder}: a run has one network's .json, here are {found}; move the others away")
    facts, confusion = _facts(files[0]) if files else (None, None)
    if facts and not facts["trained"]:
        return Results(None, facts, confusion)
    if not log.is_file():
        raise UserError(f"{log} is missing, but {files[0].name} tells of a training: copy it from where that ran")
    curves = _curves(log)
    if facts and facts["epochs"] < curves["epoch"][-1]:  # gone on with more epochs
        return Results(curves, None, None)
    return Results(curves, facts, confusion)


def _curves(path):
    """Columns of a log, as numbers."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged: {error}; put back a copy, or delete it and train again") from None
    if not set(NEEDED) <= set(header):
        raise UserError(f"{path}: line 1 is {clean(','.join(header))!r}; it has to name the columns: "
                        f"{','.join((*NEEDED, *OPTIONAL))}")
    if not rows:
        raise UserError(f"{path}: no epoch has ended yet; try again later")
    columns = {name: [] for name in header if name in NEEDED + OPTIONAL}
    for line, row in enumerate(rows, 2):
        try:
            for name, text in zip(header, row, strict=True):
                if name in columns:
                    columns[name].append(int(text) if name == "epoch" else float(text))
        except ValueError:
            raise UserError(f"{path}: line {line} is {clean(','.join(row))!r}, not {len(header)} numbers; "
                            "correct it, or remove it") from None
    return columns


def _facts(path):
    """What the JSON file of a network says, and its confusion matrix."""
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; {_AGAIN}") from None
    if not isinstance(facts, dict):
        raise UserError(f"{path}: a {type(facts).__name__}, not an object; {_AGAIN}")
    for key, kind in FACTS.items():
        if key not in facts:
            raise UserError(f"{path} has no {key!r}: an earlier version wrote it; {_AGAIN}")
        if not isinstance(facts[key], kind):
            raise UserError(f"{path}: {key!r} is {clean(json.dumps(facts[key]))}, which cannot be; {_AGAIN}")
    if facts["trained"] and None in (facts["accuracy"], facts["golden_accuracy"]):
        raise UserError(f"{path}: trained, but without accuracy; {_AGAIN}")
    if facts["classes"] is None:
        raise UserError(f"{path}: its scores are not the classes of {clean(facts['dataset'])}: there is "
                        "nothing to report")
    facts["classes"] = [clean(str(name)) for name in facts["classes"]]
    return facts, _confusion(path, facts)


def _confusion(path, facts):
    count = len(facts["classes"])
    try:
        matrix = np.array(facts["confusion"])
    except ValueError:  # rows of several lengths
        matrix = np.empty(0)
    if not count or matrix.shape != (count, count) or matrix.dtype.kind != "i" or matrix.min() < 0 or not matrix.any():
        raise UserError(f"{path}: 'confusion' has to be {count} rows of {count} counts, as there are {count} classes; "
                        f"{_AGAIN}")
    return matrix


_AGAIN = "give the command of the run again, which writes it anew without training again"
