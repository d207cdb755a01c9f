"""The one error that every process shows its operator as a single line, without a traceback."""


class StartError(Exception):
    """The process cannot start. The message is one line that says what is wrong and what to do about it."""
