"""What `--preset` and `--set key=value` say."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    from seqfault_rtl.config import EngineConfig

__all__ = ["configuration", "parse_settings"]


def parse_settings(texts: Iterable[str] | None) -> dict[str, str]:
    """Keys and values. Raises `UsageError` for a text that is not of the form key=value."""
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set: {text!r} is not of the form key=value")
        pairs[key] = value
    return pairs


def configuration(preset: str, settings: Mapping[str, str]) -> "EngineConfig":
    """The engine's parameters. Raises `UsageError` for an unknown preset or key, or a value that is out of range."""
    from seqfault_rtl.config import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"--preset: unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    try:
        return PRESETS[preset].with_settings(dict(settings))
    except ValueError as error:
        raise UsageError(f"--set: {error}") from None
