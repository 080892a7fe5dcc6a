"""The networks that ship with their weights."""

from pathlib import Path

from .errors import UserError

__all__ = ["find", "names"]

_FOLDER = Path(__file__).parents[1] / "train" / "zoo"
_SUFFIXES = (".onnx.xz", ".onnx")


def names():
    """Names of all networks of the zoo, sorted."""
    return sorted({
        path.name.removesuffix(suffix) for suffix in _SUFFIXES for path in _FOLDER.glob(f"*{suffix}")
    })


def find(net):
    """Path of the model that ``net`` means: a name of the zoo, or a path.

    Raises
    ------
    UserError
        There is neither; lists what the zoo holds.
    """
    if net in names():
        return next(path for suffix in _SUFFIXES if (path := _FOLDER / f"{net}{suffix}").is_file())
    path = Path(net)
    if path.name.endswith(_SUFFIXES) or path.is_file():
        return path
    raise UserError(
        f"{net}: no network of that name, and no .onnx file; the zoo has {', '.join(names()) or 'none'}"
    )
