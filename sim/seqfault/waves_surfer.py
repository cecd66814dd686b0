"""A command file for Surfer (.sucl): the engine's signals in groups, with colours and names.

Surfer reads it at its start (`--command-file`), line by line, `#` begins a comment. Items are named by their places in the list, as letters;
an item that is added goes below the one in focus and takes the focus (Surfer 0.4 to 0.6).
"""

import re
from collections.abc import Iterable

from .waves_groups import Group, Shown

__all__ = ["surfer_commands"]

COLOURS = {
    "red": "Red", "orange": "Orange", "yellow": "Yellow", "green": "Green", "blue": "Blue", "indigo": "Blue", "violet": "Violet",
}  # fmt: skip
"""GTKWave's colours by the names that Surfer's themes have; others keep the theme's."""
FORMATS = {"dec": "Unsigned", "hex": "Hexadecimal"}


def surfer_commands(groups: Iterable[Group], *, time: int | None) -> str:
    """The file's text. `time`: where to put the cursor, in units of the waveform; None: nowhere."""
    lines = ["# seqfault waves: surfer FILE --command-file THIS"]
    place = 0
    for group in groups:
        lines += [f"# {group.name}", *_group(group, place)]
        place += 1 + len(group.signals)
    lines += ["item_unfocus", "zoom_fit"] + ([] if time is None else [f"cursor_set {time}"])
    return "\n".join(lines) + "\n"


def _group(group: Group, place: int) -> list[str]:
    """The first signal, at `place`, is put into a new group, which takes its place; the others follow it."""
    first, *others = group.signals
    lines = ["item_unfocus", f"variable_add {first.full_name}", f"item_focus {_letters(place)}_"]
    lines += [*_look(first, group), f"group_marked {re.sub(r'[^A-Za-z0-9]+', '_', group.name)}", f"item_focus {_letters(place + 1)}_"]
    for signal in others:
        lines += [f"variable_add {signal.full_name}", *_look(signal, group)]
    return lines


def _look(signal: Shown, group: Group) -> list[str]:
    """Of the item in focus. Names of values need no command: they are in the file (FST), or the signal is one of words (VCD)."""
    lines = [f"item_set_color {COLOURS[group.colour]}"] if group.colour in COLOURS else []
    if signal.radix in FORMATS and signal.names is None:
        lines.append(f"item_set_format {FORMATS[signal.radix]}")
    return lines


def _letters(number: int) -> str:
    """A place in the list, as Surfer names it: hexadecimal with the letters a to p."""
    return "".join(chr(ord("a") + int(digit, 16)) for digit in f"{number:x}")
