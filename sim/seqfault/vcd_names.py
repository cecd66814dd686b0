"""Gives the enum signals of a VCD file a companion that shows the member's name, so that GTKWave and Surfer show words instead of numbers.

VCD has no enums, but strings: for `ev_first` a variable `ev_first_name` is added beside it, as Amaranth's own simulator writes them.
Names with a colon, that Yosys gives to variables of its own, are changed: GTKWave takes them for a range, and gives up at the hundredth.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from .errors import UsageError
from .output import OutputFile

__all__ = ["NAME_SUFFIX", "annotate_vcd", "names_with_points", "plain_name"]

NAME_SUFFIX = "_name"
FIRST_CODE, LAST_CODE = 33, 126
"""VCD identifier codes are made of these characters. [IEEE 1364-2005, 18.2.1]"""

Names = Mapping[int, str]


def plain_name(name: str) -> str:
    """A variable's name as GTKWave can read it."""
    return re.sub(r"[.:]", "_", name) if ":" in name else name


def annotate_vcd(path: Path, enums: Mapping[str, Names]) -> int:
    """Add name variables to the VCD file `path`, in one pass, in place (the old file stays until the new one is complete).

    Parameters
    ----------
    path : the VCD file.
    enums : for a signal (its name without scopes) the name of each value; another value is shown as its number, unknown bits as `x`.

    Returns the number of variables added: 0 when it has none of these signals, or their names already.
    Raises `UsageError` for a file that cannot be read or written or has no VCD header.
    """
    try:
        with path.open("rb") as source, OutputFile(path) as output:
            lines = _read_header(path, source)
            header, variables, added = _header(lines, enums)
            if header == lines:
                return 0
            with output.temporary.open("wb") as target:
                target.writelines(header)
                _copy_values(source, target, variables)
            output.commit()
            return added
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def names_with_points(path: Path) -> set[str]:
    """The names of variables of a VCD file that have points in them (fields of a struct), without their scopes. Raises `UsageError`."""
    try:
        with path.open("rb") as source:
            declared = (line.split() for line in _read_header(path, source))
            names = (words[4] for words in declared if len(words) >= 5 and words[0] == b"$var" and b"." in words[4])
            return {name.partition(b"[")[0].decode(errors="replace") for name in names}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _code(number: int) -> bytes:
    """The `number`-th identifier code."""
    base = LAST_CODE - FIRST_CODE + 1
    code = bytearray()
    while True:
        number, digit = divmod(number, base)
        code.append(FIRST_CODE + digit)
        if number == 0:
            return bytes(code)
        number -= 1


def _read_header(path: Path, source: IO[bytes]) -> list[bytes]:
    lines: list[bytes] = []
    for line in source:
        lines.append(line)
        if line.lstrip().startswith(b"$enddefinitions"):
            return lines
    raise UsageError(f"{path}: is no VCD file, or cut off in its header")


def _header(lines: list[bytes], enums: Mapping[str, Names]) -> tuple[list[bytes], dict[bytes, list[tuple[bytes, Names]]], int]:
    """The header with the new variables, and for each old identifier code the new ones with their names."""
    declared = [words for words in (line.split() for line in lines) if len(words) >= 5 and words[0] == b"$var"]
    used = {words[3] for words in declared}
    present = {words[4] for words in declared}
    result: list[bytes] = []
    variables: dict[bytes, list[tuple[bytes, Names]]] = {}
    fresh, added = 0, 0
    for line in lines:
        words = line.split()
        odd = len(words) >= 6 and words[0] == b"$var" and b":" in words[4]
        result.append(line.replace(words[4], plain_name(words[4].decode(errors="replace")).encode()) if odd else line)
        if len(words) < 6 or words[0] != b"$var" or words[1] == b"string":
            continue
        name = words[4].partition(b"[")[0].decode(errors="replace")
        if name not in enums or f"{name}{NAME_SUFFIX}".encode() in present:
            continue
        known = variables.setdefault(words[3], [])
        code = next((code for code, names in known if names is enums[name]), None)
        if code is None:
            code = _code(fresh)
            while code in used:
                fresh += 1
                code = _code(fresh)
            used.add(code)
            known.append((code, enums[name]))
        indent = line[: len(line) - len(line.lstrip())]
        result.append(b"%s$var string 1 %s %s%s $end\n" % (indent, code, name.encode(), NAME_SUFFIX.encode()))
        added += 1
    return result, variables, added


def _copy_values(source: IO[bytes], target: IO[bytes], variables: Mapping[bytes, list[tuple[bytes, Names]]]) -> None:
    """Copy the value changes; after each change of an enum signal the change of its name."""
    for line in source:
        target.write(line)
        kind = line[:1]
        if kind in b"bB":
            value, _, code = line[1:].strip().rpartition(b" ")
        elif kind in b"01xXzZ":
            value, code = kind, line[1:].strip()
        else:
            continue
        for name_code, names in variables.get(code, ()):
            if not line.endswith(b"\n"):
                target.write(b"\n")
            target.write(b"s%s %s\n" % (_word(value, names), name_code))


def _word(value: bytes, names: Names) -> bytes:
    try:
        number = int(value, 2)
    except ValueError:
        return b"x"
    return names.get(number, str(number)).replace(" ", "_").encode()
