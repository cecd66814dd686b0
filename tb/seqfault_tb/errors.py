"""Errors of the testbench that a person reads."""

__all__ = ["HangError"]


class HangError(RuntimeError):
    """Nothing happened for too long; the message says what was waited for."""
