"""Line and toggle coverage of the RTL: what Verilator has counted in the generated Verilog, told in lines and signals of the Python sources.

A model built with `build_engine(.., coverage=True)` leaves its counts in a .dat file; its Verilog has the Python lines in comments
(`coverage_verilog`). `read_counts` brings the two together for one run; the results of runs are added up by `add_counts`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import CheckFailed

__all__ = ["RtlCounts", "VerilogPlaces", "read_counts", "read_points"]

PACKAGE = "/seqfault_rtl/"
_MODULE_SOURCE = re.compile(r'^\(\* src = "([^"]+):\d+" \*\)$')
_MODULE = re.compile(r"^module \\?(\S+) ?\(")
_CASE = re.compile(r'^( +)/\* src = "([^"]+)" \*/$')
_SWITCH = re.compile(r"^( +)casez \((.*)\)$")
_CHOICE = re.compile(r'^  assign .* \? \(\* src = "([^"]+)" \*\) ')
_ESCAPE = re.compile("__0([0-9a-fA-F]{2})")
_TOGGLE = re.compile(r"^(.+?)(?:\[(\d+)\])?:(0->1|1->0)$")
RESET = "rst"
OPERANDS = ("cond_then", "cond_else")


@dataclass(frozen=True)
class VerilogPlaces:
    """Where what Verilator counts comes from.

    Attributes
    ----------
    statements : line of a case item to the Python lines of the assignments in it. choices : line of an `a ? b : c` to the Python line of it.
    files : module to the Python file of its elaborate(). All as "file.py:line", of the package seqfault_rtl only.
    """

    statements: dict[int, list[str]]
    choices: dict[int, str]
    files: dict[str, str]

    @staticmethod
    def of(verilog: str) -> "VerilogPlaces":
        """From the text of `sourced_verilog`."""
        statements: dict[int, list[str]] = {}
        choices: dict[int, str] = {}
        files: dict[str, str] = {}
        source = ""
        tested: dict[int, str] = {}
        for number, line in enumerate(verilog.splitlines(), 1):
            if found := _CASE.match(line):
                if tested.get(len(found[1]) - 2) != RESET:
                    statements[number + 1] = list(_own(found[2]))
            elif found := _SWITCH.match(line):
                tested[len(found[1])] = found[2].strip()
            elif found := _CHOICE.match(line):
                choices.update((number, place) for place in _own(found[1]))
            elif found := _MODULE_SOURCE.match(line):
                source = found[1]
            elif (found := _MODULE.match(line)) and PACKAGE in source:
                files[found[1]] = Path(source).name
        return VerilogPlaces(statements, choices, files)


def _own(sources: str) -> Iterator[str]:
    for source in sources.split("|"):
        if PACKAGE in source:
            yield Path(source).name


@lru_cache(maxsize=4)
def _places(verilog: Path) -> VerilogPlaces:
    return VerilogPlaces.of(verilog.read_text())


@dataclass
class RtlCounts:
    """Counts of one run, or of many.

    Attributes
    ----------
    statements : times that an assignment under a condition was made, by "file.py:line". choices : times that the first or second operand of a
    choice (Mux and alike) was taken, by "file.py:line". toggles : width of a signal and which of its bits rose and fell, by "file.py signal", over
    all its instances.
    """

    statements: dict[str, int] = field(default_factory=dict)
    choices: dict[str, list[int]] = field(default_factory=dict)
    toggles: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: "RtlCounts") -> None:
        """Those of another run too."""
        for place, count in other.statements.items():
            self.statements[place] = self.statements.get(place, 0) + count
        for place, (first, second) in other.choices.items():
            mine = self.choices.setdefault(place, [0, 0])
            mine[0] += first
            mine[1] += second
        for name, (width, rose, fell) in other.toggles.items():
            bits = self.toggles.setdefault(name, [0, 0, 0])
            bits[:] = max(bits[0], width), bits[1] | rose, bits[2] | fell

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {"statements": self.statements, "choices": self.choices, "toggles": self.toggles}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "RtlCounts":
        """Of a job's result."""
        return RtlCounts(
            dict(value["statements"]), {k: list(v) for k, v in value["choices"].items()}, {k: list(v) for k, v in value["toggles"].items()}
        )


def read_points(path: Path) -> Iterator[tuple[dict[str, str], int]]:
    """The points of a .dat file: their fields by letter, and their counts.

    Raises `CheckFailed` for what is no such file.
    """
    with path.open() as lines:
        if not next(lines, "").startswith("# SystemC::Coverage"):
            raise CheckFailed(f"{path} is no coverage file of Verilator")
        for number, line in enumerate(lines, 2):
            key, quote, count = line.rpartition("' ")
            if not key.startswith("C '") or not quote or not count.strip().isdigit():
                raise CheckFailed(f"{path}, line {number}: no point of a coverage file")
            fields = (part.partition("\2") for part in key[4:].split("\1"))
            yield {name: value for name, _, value in fields}, int(count)


def read_counts(path: Path, verilog: Path) -> RtlCounts:
    """The counts of one run of the model with this Verilog."""
    places, counts = _places(verilog), RtlCounts()
    for place in {place for found in places.statements.values() for place in found}:
        counts.statements[place] = 0
    for point, count in read_points(path):
        kind = point["t"]
        if kind == "toggle":
            _toggle(places, counts, point, count)
        elif kind == "line":
            for place in places.statements.get(int(point["l"]), ()):
                counts.statements[place] += count
        elif kind == "branch" and point["o"] in OPERANDS and (choice := places.choices.get(int(point["l"]))) is not None:
            counts.choices.setdefault(choice, [0, 0])[OPERANDS.index(point["o"])] += count
    return counts


def _toggle(places: VerilogPlaces, counts: RtlCounts, point: dict[str, str], count: int) -> None:
    file = places.files.get(point["page"].removeprefix("v_toggle/"))
    found = _TOGGLE.match(_ESCAPE.sub(lambda code: chr(int(code[1], 16)), point["o"]))
    if file is None or found is None:
        return
    bit = int(found[2] or 0)
    bits = counts.toggles.setdefault(f"{file} {found[1]}", [0, 0, 0])
    bits[0] = max(bits[0], bit + 1)
    if count:
        bits[1 if found[3] == "0->1" else 2] |= 1 << bit
