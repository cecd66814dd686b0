"""What Yosys left of a component: how many cells, in which block, and which signal of the source each of them is near.

A cell that survives synthesis under its own name (a register, a memory) has the path of its block in it. Yosys' `autoname` names every
other cell after the nearest named signal that it reads or drives, so it is counted where that signal is.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .synth_target import Target
from .synth_wrapper import DUT

__all__ = ["PIN", "TOP", "Netlist", "Place", "short_sources"]

TOP = "seqfault_pins"
"""Name of the wrapper's module."""
PIN = "(pin)"
"""Stands for the block of what belongs to the wrapper."""
_CELL_SUFFIX = re.compile(r"_(?:LUT4|CCU2C|PFUMX|L6MUX21|TRELLIS_|SB_).*$")
"""What autoname appends to the signal that a cell is named after: cell type, pin, and so on."""
_SOURCE = re.compile(r'^(\s*attribute \\src )"([^"]*)"$', re.MULTILINE)
_MODULE = re.compile(r"^module \\(\S+)$", re.MULTILINE)
_REGISTER = re.compile(
    r'^\s*attribute \\src "([^"]*)"\n\s*cell \$a?dff \S+\n(?:\s+(?:parameter|connect) [^\n]*\n)*?\s+connect \\Q (?:\{ )?\\(\S+)', re.MULTILINE
)
_MEMORY = re.compile(r'^\s*attribute \\src "([^"]*)"\n\s*memory [^\n]*\\(\S+)$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the source a cell or net is: `block` (dotted path, empty for the top), `signal` in it, and its "file.py:line" or ""."""

    block: str
    signal: str
    source: str


def short_sources(rtlil: str) -> str:
    """RTLIL with source files named from their package on, so that it does not depend on where that is installed."""
    known: dict[str, str] = {}

    def short(found: re.Match[str]) -> str:
        name, _, line = found.group(2).rpartition(":")
        if name not in known:
            path = Path(name)
            root = path.parent
            while (root / "__init__.py").exists():
                root = root.parent
            known[name] = str(path.relative_to(root)) if root != path.parent else path.name
        return f'{found.group(1)}"{known[name]}:{line}"'

    return _SOURCE.sub(short, rtlil)


def _sources_of(pattern: re.Pattern[str], rtlil: str) -> dict[str, str]:
    """Source line of all that a pattern finds in the component's modules, by dotted path."""
    modules = list(_MODULE.finditer(rtlil))
    ends = [module.start() for module in modules[1:]] + [len(rtlil)]
    found = {}
    for module, end in zip(modules, ends, strict=True):
        scope = module.group(1).removeprefix(f"{TOP}.{DUT}").removeprefix(".")
        for source, name in pattern.findall(rtlil[module.end() : end]):
            found[f"{scope}.{name}" if scope else name] = source
    return found


def _python_source(attributes: Mapping[str, Any]) -> str:
    """The first of the source places that is a line of Python; the others are in Yosys' own cell libraries."""
    return next((place for place in str(attributes.get("src", "")).split("|") if ".py:" in place), "")


class Netlist:
    """The netlist of a wrapped component, and the RTLIL that it was made from.

    Parameters
    ----------
    text : JSON as Yosys writes it. rtlil : see `short_sources`. target : whose cells these are.
    """

    def __init__(self, text: str, rtlil: str, target: Target) -> None:
        modules = json.loads(text)["modules"]
        self.text = text
        self._rtlil = rtlil
        self._target = target
        self._top = modules[TOP]
        self._component = modules[self._top["cells"][DUT]["type"]]

    @cached_property
    def blocks(self) -> frozenset[str]:
        """Dotted paths of all submodules of the component."""
        return frozenset(name for name, cell in self._component["cells"].items() if cell["type"] == "$scopeinfo")

    @cached_property
    def _nets(self) -> dict[str, Any]:
        """Every name of a net, without the backslash before the $ of a signal that has no name in the source."""
        return {name.removeprefix("\\"): net for name, net in self._component["netnames"].items()}

    @cached_property
    def _sources(self) -> dict[str, str]:
        """Source line of every signal that has one, by its dotted path."""
        named = {name: _python_source(net["attributes"]) for name, net in self._nets.items()}
        signals = {name: source for name, source in named.items() if source}
        return _sources_of(_MEMORY, self._rtlil) | signals | self._registers  # Yosys maps memories to cells that know no source

    @cached_property
    def _registers(self) -> dict[str, str]:
        """Source line of the signals that are registers."""
        return _sources_of(_REGISTER, self._rtlil)

    @cached_property
    def _owners(self) -> dict[str, str]:
        """The signal that is the register, for every signal that is only another name of its output.

        Yosys names a register after any of the signals that are one net, mostly the outermost.
        """
        names: dict[Any, list[str]] = {}
        for name, net in self._nets.items():
            for bit in net["bits"] if name in self._sources else ():
                names.setdefault(bit, []).append(name)
        owners: dict[str, str] = {}
        for cell_name, cell in self._component["cells"].items():
            if "ff" not in self._target.uses(cell["type"]):
                continue
            called, source = self._signal_in(cell_name), _python_source(cell["attributes"])
            alike = names.get(cell["connections"]["Q"][0], [])
            own = [name for name in alike if name in self._registers] or [name for name in alike if self._sources[name] == source]
            if own and not any(f"{called}.".startswith(f"{name}.") for name in own):
                owners.setdefault(called, min(own))
        return owners

    def _signal_in(self, name: str) -> str:
        """The longest beginning of a cell's or net's name that is a signal with a source line; else the name as it is."""
        name = found = name.removeprefix("\\")
        while found not in self._sources:
            cut = max(found.rfind(mark) for mark in "_[.")
            if cut <= 0:
                return name
            found = found[:cut]
        return found

    def _signal_of(self, name: str) -> str:
        """The signal of the source that a cell or net of the component is named after."""
        signal = self._signal_in(name)
        return self._owners.get(signal, signal)

    def block_of(self, path: str) -> str:
        """The innermost block that a signal or block is in; empty for the component itself."""
        parts = path.split(".")
        prefixes = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
        return next((prefix for prefix in prefixes if prefix in self.blocks), "")

    def place_of(self, cell: str, net: str = "") -> Place:
        """Where a cell is, from the names that nextpnr has for it and for a net at it; with block `PIN` for a register of the wrapper."""
        inner = next((name.removeprefix(f"{DUT}.") for name in (cell, net) if name.startswith(f"{DUT}.")), "")
        if not inner:
            return Place(block=PIN, signal=re.sub(r"\$\d+", "", _CELL_SUFFIX.sub("", net or cell)), source="")
        path = self._signal_of(inner)
        block = self.block_of(path)
        signal = path.removeprefix(f"{block}.") if block else path
        return Place(block=block, signal=_CELL_SUFFIX.sub("", signal), source=self._sources.get(path, ""))

    def _count(self, cells: Mapping[str, Any]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for cell in cells.values():
            counts.update(self._target.uses(cell["type"]))
        return counts

    @property
    def wrapper_area(self) -> dict[str, int]:
        """What the registers at the pins use."""
        return _area(self._count(self._top["cells"]))

    @property
    def area(self) -> dict[str, int]:
        """What the component uses: lut4 and the parts it is made of, ff, bram, dsp."""
        counts = self._count(self._component["cells"])
        return _area(counts) | {f"lut4_{part}": counts[part] for part in ("logic", "carry", "ram")}

    @property
    def area_by_block(self) -> dict[str, dict[str, int]]:
        """What each block uses with all that is in it, by dotted path; those that use nothing are left out."""
        inside: dict[str, Counter[str]] = {}
        for name, cell in self._component["cells"].items():
            uses = self._target.uses(cell["type"])
            block = self.block_of(self._signal_of(name)) if uses else ""
            while block:
                inside.setdefault(block, Counter()).update(uses)
                block = self.block_of(block)
        return {block: _area(inside[block]) for block in sorted(inside, key=lambda path: path.split("."))}


def _area(counts: Counter[str]) -> dict[str, int]:
    return {"lut4": counts["logic"] + counts["carry"] + counts["ram"], **{name: counts[name] for name in ("ff", "bram", "dsp")}}
