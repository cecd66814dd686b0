"""Documents of which a part, between two marker lines, is made by a command (or, in one that is made, kept)."""

from .errors import UsageError

__all__ = ["split_document"]


def split_document(text: str, where: object, begin: str, end: str) -> tuple[str, str, str]:
    """What is up to and with the marker `begin`, the part, and what is from `end` on.

    Raises `UsageError` unless each marker is there once, in this order; `where` : what the message calls the document.
    """
    before, found, rest = text.partition(begin)
    part, ended, after = rest.partition(end)
    if not found or not ended or begin in rest or end in before + after:
        raise UsageError(f"{where} must have the line {begin} and, below it, {end}, each once")
    return before + begin, part, end + after
