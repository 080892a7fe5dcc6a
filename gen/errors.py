"""Errors that are for the user."""

from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["UserError", "reported"]


class UserError(ValueError):
    """Something the user can mend: names the file, node or option, what was found, and what to do."""


@contextmanager
def reported():
    """Print a :class:`UserError`, or what the system says of a file, without a traceback, and exit with status 2."""
    try:
        yield
    except (UserError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
