"""Print a program of the array, a record a line: ``python -m gen.disasm FILE``, a memory image as written by the build.

If there is a file of the same name that ends in .json, as is written with the image, layers are named, too.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .errors import UserError, reported
from .svpe.model import program
from .svpe.records import Load, Op

__all__ = ["app", "listing"]

app = typer.Typer(add_completion=False)


def listing(records, names=()):
    """Lines of text, one a record.

    Parameters
    ----------
    records : list of Record
    names : list of (str or None), optional
        Layer of each record.
    """
    layer = None
    for number, record in enumerate(records):
        name = names[number] if names else None
        if name and name != layer:
            yield f"{name}:"
            layer = name
        waits = " ".join(f"{what}>={wanted}" for what in ("loads", "passes", "drains")
                         if (wanted := getattr(record, f"after_{what}")))
        fields = " ".join(f"{field}={_text(record.op, field, value)}" for field, value in record.fields.items())
        yield f"{number:6} {record.op.name:8}" + f" {fields}" * bool(fields) + f" [{waits}]" * bool(waits)


def _text(op, field, value):
    if field in ("address", "build"):
        return f"{value:#x}"
    return Load(value).name.lower() if (op, field) == (Op.LOAD, "kind") and value in list(Load) else str(value)


def _names(path, count):
    """Layer of each record, as the file beside ``path`` tells; none if there is no such file."""
    beside = path.with_suffix(".json")
    if not beside.is_file() or beside == path:
        return ()
    try:
        facts = json.loads(beside.read_text())
        names = [None if owner is None else str(facts["layers"][owner]) for owner in facts["owners"]]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{beside}: does not tell a program's layers ({error}): remove it, or build again") from None
    if len(names) != count:
        raise UserError(f"{beside}: is of a program of {len(names)} records, not {count}: remove it, or build again")
    return names


@app.command()
def main(file: Annotated[Path, typer.Argument(help="A memory image.")]):
    """Print the program in a memory image of the array."""
    with reported():
        try:
            records = program(np.frombuffer(file.read_bytes(), np.uint8))
        except ValueError as error:
            raise UserError(f"{file}: is no program of the array: {error}") from None
        lines = list(listing(records, _names(file, len(records))))
    print("\n".join(lines))


if __name__ == "__main__":
    app()
