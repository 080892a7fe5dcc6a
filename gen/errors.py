"""Errors that are for the user."""

from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["TooLarge", "UserError", "needs", "reported"]


class UserError(ValueError):
    """Something the user can mend: names the file, node or option, what was found, and what to do."""


class TooLarge(UserError):
    """The network does not fit the chip, however slow it may be."""


@contextmanager
def reported():
    """Print a :class:`UserError`, or what the system says of a file, without a traceback, and exit with status 2."""
    try:
        yield
    except (UserError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def needs(extra):
    """Say how to install what an import in the block does not find: it is of the ``extra`` in pyproject.toml."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: pip install -c constraints.txt -e '.[{extra}]'") from None
