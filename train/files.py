"""Files that are written whole or not at all."""

from pathlib import Path
from tempfile import TemporaryDirectory

from gen.errors import UserError

__all__ = ["write"]


def write(folder, files):
    """Write files; none before all of them have found room.

    Parameters
    ----------
    folder : path
        Made if missing.
    files : dict of str to bytes
        Contents by name; files that are there are replaced.

    Raises
    ------
    UserError
        The folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".new", dir=folder) as scratch:
            for name, content in files.items():
                Path(scratch, name).write_bytes(content)
            for name in files:
                Path(scratch, name).replace(folder / name)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; mend that, or name another folder") from None
