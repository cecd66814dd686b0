"""Errors of the testbench that a person reads."""

__all__ = ["HangError", "WrongAnswer"]


class HangError(RuntimeError):
    """Nothing happened for too long; the message says what was waited for."""


class WrongAnswer(RuntimeError):
    """A measured component answered wrongly, or did what it must not; the message says what."""
