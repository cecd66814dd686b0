"""Where files made of a waveform may go: not over the waveform, not over golden's view of it, and not two to one place."""

import os
from collections.abc import Iterable
from pathlib import Path

from .errors import UsageError
from .waves_golden import golden_file

__all__ = ["check_places", "is_same_file"]


def check_places(waveform: Path, places: Iterable[Path]) -> None:
    """Raise `UsageError` unless every one of these files can be written without loss of another one, or of what is read."""
    seen: list[Path] = []
    for place in places:
        if os.path.exists(place) and not os.path.isfile(place):
            continue  # a device takes any number of files; a folder is refused where it is opened
        if is_same_file(place, waveform):
            raise UsageError(f"{place}: is the waveform that is read, and would be overwritten")
        if is_same_file(place, golden_file(waveform)):
            raise UsageError(f"{place}: is the golden view of {waveform}, and would be overwritten")
        if any(is_same_file(place, other) for other in seen):
            raise UsageError(f"{place}: is the place of two files")
        seen.append(place)


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both names lead to one file, whether it is there or not."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False
