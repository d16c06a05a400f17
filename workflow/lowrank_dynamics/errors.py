"""The one exception that ends a command with a sentence instead of a traceback."""


class UserError(Exception):
    """Something a user can mend: the message says what is wrong, where, and what to do."""
