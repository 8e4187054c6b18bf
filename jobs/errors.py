"""The base of every error that a user can act on."""


class RapportError(Exception):
    """A failure whose text is one line that says what is wrong and what to do about it."""
