"""Errors that a person reads: one line, an exit status, and (when there is more to read) details that go to a file."""

__all__ = ["CheckFailed", "EnvironmentLacks", "SeqfaultError", "UsageError"]


class SeqfaultError(Exception):
    """Base of all errors that `seqfault` reports in one or two lines.

    Parameters
    ----------
    message : one line: what is wrong and, where it helps, what to do.
    details : a longer text (a simulator's log); the command line keeps it in a file and names the file.
    """

    exit_status = 1

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class CheckFailed(SeqfaultError):
    """A check did not hold: a disagreement, a violation, a mismatch. Exit status 1."""

    exit_status = 1


class UsageError(SeqfaultError):
    """Bad usage or bad input: an option, a file's content, a place that cannot be written. Exit status 2."""

    exit_status = 2


class EnvironmentLacks(SeqfaultError):
    """A tool or header is missing or too old; the message names it and how to get it. Exit status 3."""

    exit_status = 3
