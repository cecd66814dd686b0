"""Verilog that knows where in the Python sources each conditional statement comes from, for line coverage.

Amaranth keeps the source line of every assignment until it writes RTLIL, whose processes have no place for it. Here each case of a process gets
the lines of the assignments in it as its `src` attribute, which Yosys writes as a comment above the case.
"""

import re
import sys
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import amaranth
from amaranth import tracer
from amaranth.back import rtlil, verilog
from amaranth.hdl import Elaboratable

from .verilog_text import start_constant_processes

__all__ = ["sourced_verilog"]

_MODULE = re.compile(r"^module .*?^endmodule$", re.MULTILINE | re.DOTALL)
_DECLARATION = re.compile(r"^  (?P<kind>wire|reg|input|output) (?:signed )?(?:\[\d+:\d+\] )?(?P<name>\S+) ?(?: = [^;]+)?;$", re.MULTILINE)
_LIBRARIES = (str(Path(amaranth.__file__).parent), sysconfig.get_path("stdlib"))


class _Lines:
    """The source lines of a process' assignments, in the order in which they are emitted; the first is of its default value."""

    def __init__(self, places: list[tuple[str, int]]) -> None:
        self._places = places
        self._next = -1

    def take(self) -> str:
        self._next += 1
        file, line = self._places[self._next - 1] if self._next else ("", 0)
        return f"{file}:{line}" if file else ""


class _Block:
    """A process or a case whose assignments take their lines."""

    lines: _Lines
    sources: list[str]
    contents: list[Any]

    def assign(self, lhs: str, rhs: str) -> None:
        if (source := self.lines.take()) and source not in self.sources:
            self.sources.append(source)
        self.contents.append(rtlil.Assignment(lhs, rhs))

    def switch(self, sel: str) -> "_Switch":
        made = _Switch(sel)
        made.lines = self.lines
        self.contents.append(made)
        return made


class _Case(_Block, rtlil.Case):
    def __init__(self, patterns: tuple[str, ...], lines: _Lines) -> None:
        super().__init__(patterns)
        self.lines, self.sources = lines, []

    def emit(self, line: Any) -> None:
        if self.sources:
            line(f'attribute \\src "{"|".join(self.sources)}"')
        super().emit(line)


class _Switch(rtlil.Switch):
    lines: _Lines

    def case(self, patterns: tuple[str, ...]) -> _Case:
        made = _Case(patterns, self.lines)
        if patterns:  # one that can never be taken is not part of the switch
            self.cases.append(made)
        return made

    def default(self) -> _Case:
        made = _Case((), self.lines)
        self.cases.append(made)
        return made

    def emit(self, line: Any) -> None:
        self._be_no_if()
        super().emit(line)

    def _be_no_if(self) -> None:
        """Yosys writes no attributes with `if`, which is what it makes of a switch whose first case tests bit 0 alone: say the same otherwise."""
        first = self.cases[0] if self.cases else None
        if first is None or len(first.patterns) != 1 or first.patterns[0].strip("-") != "1":
            return
        (pattern,) = first.patterns
        if len(pattern) > 1:
            first.patterns = tuple(f"{pattern[:-2]}{bit}1" for bit in "01")
        elif len(self.cases) > 1:
            self.cases[1].patterns = ("0",)
            self.cases.reverse()
        else:
            self.cases.insert(0, _Case(("0",), self.lines))


class _Process(_Block, rtlil.Process):
    def __init__(self, places: list[tuple[str, int]], **options: Any) -> None:
        super().__init__(**options)
        self.lines, self.sources = _Lines(places), []


class _Emitter(rtlil.ModuleEmitter):
    def emit_assignment_list(self, cell_idx: int, cell: Any) -> None:
        places = [assignment.src_loc for assignment in cell.assignments]
        with mock.patch.object(rtlil, "Process", partial(_Process, places)):
            super().emit_assignment_list(cell_idx, cell)


def _place_outside(src_loc_at: int = 0) -> tuple[str, int]:
    """The nearest line that is not Amaranth's own: a state's `m.next =` is an assignment that Amaranth makes."""
    frame = sys._getframe(2 + src_loc_at)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def sourced_verilog(component: Elaboratable, *, name: str) -> str:
    """Verilog of `component` as module `name`; what stands under a condition has its Python lines in a comment before it.

    Verilator is told to count the toggles of named signals where they are driven, and of no others.
    """
    with mock.patch.object(rtlil, "ModuleEmitter", _Emitter), mock.patch.object(tracer, "get_src_loc", _place_outside):
        text = str(verilog.convert(component, name=name))
    return _MODULE.sub(lambda module: _count_named(start_constant_processes(module.group(0))), text)


def _count_named(module: str) -> str:
    """Switch toggle coverage off at all declarations but those of named signals that the module drives; their fields stand for a struct."""
    declared = [(_plain(found["name"]), found["kind"]) for found in _DECLARATION.finditer(module)]
    inputs = {name for name, kind in declared if kind == "input"}
    structs = {name[: dot.start()] for name, _ in declared for dot in re.finditer(r"\.", name)}

    def mark(found: re.Match[str]) -> str:
        name = _plain(found["name"])
        counts = "$" not in name and name not in structs and name.partition(".")[0] not in inputs
        return found[0] if counts else f"/*verilator coverage_off*/{found[0]}/*verilator coverage_on*/"

    return _DECLARATION.sub(mark, module)


def _plain(name: str) -> str:
    """A Verilog name without the backslash of those with unusual characters."""
    return name.removeprefix("\\")
