"""Errors that are for the user."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Something the user can mend: names the file, node or option, what was found, and what to do.

    Command lines print it without a traceback and exit with status 2.
    """
