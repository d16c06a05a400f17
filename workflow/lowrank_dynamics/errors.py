"""The exceptions that end a command with a sentence instead of a traceback."""


class UserError(Exception):
    """A problem that the user can fix: the message says what is wrong, where, and what to do."""

    status = 1
    """The exit status of a command that ends with it."""


class Interrupted(BaseException):
    """A command was asked to stop, by Ctrl-C or by a scheduler, and did.

    A signal raises it anywhere, so like KeyboardInterrupt it is no Exception, which might be taken
    for a broken file or a failed download.
    """

    status = 130
    """As shells have it for Ctrl-C."""


def first_line(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
