"""What a waveform viewer is to show of the engine: groups of signals with colours and formats, as far as a file has them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqfault_rtl.fault_context import ContextState

from .vcd_names import NAME_SUFFIX
from .waves import OUTCOMES, STEPS
from .waves_file import CYCLE_SIGNAL, EVENT_SIGNALS, WaveFile

__all__ = ["Group", "Shown", "signal_groups"]

STATES: dict[int, str] = {int(state.value): state.name for state in ContextState}
NAMES: dict[str, tuple[str, Mapping[int, str]]] = {
    "ev_first": ("step", STEPS), "ev_last": ("step", STEPS), "ev_outcome": ("outcome", OUTCOMES), "context.outcome": ("outcome", OUTCOMES),
    "abort_reason": ("outcome", OUTCOMES), "context.state": ("context_state", STATES),
}  # fmt: skip
"""Signals (the end of their names) whose values have names, and what these are called."""
DECIMAL = {"cycle", "ev_agent", "ev_space", "ev_id", "ev_seq", "agent", "attempt", "rounds", "id", "seq", "fault_holder", "held"}
ENGINE = "engine"
PATTERNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("fault contexts", "yellow", (
        r"fault_unit\.(valid|step|agent)",
        r"fault_unit\.context\.(state|attempt|classic|outcome|id|seq|pte_addr|frame|owned|locked|holds_vma|rounds)",
        r"fault_unit\.abort_reason",
        r"fault_unit\.faults__(valid|ready)",
        r"fault_unit\.answers__(valid|ready)",
    )),
    ("commands", "orange", (r"command_unit\.(busy|kind|stop|invalidating|walking)", r"command_unit\.command__(valid|ready|payload)")),
    ("locks", "red", (r"pte_locks\.(?!clk|rst)[^.$]+", r"mm_locks\.(?!clk|rst|write__|read_data)[^.$]+")),
    ("sequence table", "violet", (r"sequences\.(?!clk|rst)[^.$]+",)),
    ("A/D updates", "indigo", (r"updates\.(fsm_state|lock_acquire|lock_busy|lock_release|lock_table|outcome)",)),
    ("AXI read", "blue", (r"axi__ar(valid|ready|addr|id|len|lock)", r"axi__r(valid|ready|data|id|last|resp)")),
    ("AXI write", "blue", (r"axi__aw(valid|ready|addr|id|len|lock)", r"axi__w(valid|ready|data|strb|last)", r"axi__b(valid|ready|id|resp)")),
    ("requests and answers", "green", (
        r"requests__\d+__(valid|ready)", r"requests__\d+__payload\.(va|space|access|tag|flags)",
        r"answers__\d+__(valid|ready)", r"answers__\d+__payload\.(tag|status|how|reason|pa)",
    )),
    ("queues and registers", "orange", (
        r"status__\w+", r"\w+_(?:queue|ring)__(head|tail|busy|stop|overflow|memory_fault)", r"registers__\w+", r"bus__(aw|ar)(valid|ready|addr)",
        r"bus__(w|r)(valid|ready|data)",
    )),
    ("contexts as stored", "yellow", (r"fault_unit\.(contexts\.)?contexts\.\[\d+\]",)),
)  # fmt: skip
"""Name, colour (as GTKWave calls it), and signals below the engine, in this order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A signal. `radix`: "hex", "dec", "bin" or "text". `names`: of its values, and what they are called; None: it has none, or the file has them."""

    full_name: str
    alias: str
    bits: int
    radix: str
    names: tuple[str, Mapping[int, str]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Signals that belong together; `colour` as GTKWave calls it. `closed`: it is folded up at first."""

    name: str
    colour: str
    closed: bool
    signals: list[Shown] = field(default_factory=list)


def signal_groups(file: WaveFile) -> list[Group]:
    """The groups, without empty ones. Raises `UsageError` for a file without the event port."""
    port = file.event_port()
    scope = port["ev_valid"].full_name.rpartition(".")[0]
    clock = port[CYCLE_SIGNAL].full_name.rpartition(".")[0]
    wanted = [f"{clock}.clk", f"{clock}.rst", port[CYCLE_SIGNAL].full_name, *(f"{scope}.{name}" for name in EVENT_SIGNALS)]
    events = [_shown(file, _named(file, name), name.rpartition(".")[2]) for name in wanted if name in file.variables]
    groups = [Group(name="event port", colour="normal", closed=False, signals=events)]
    below = _below_engine(file)
    for name, colour, patterns in PATTERNS:
        signals = [_shown(file, full_name, local) for pattern in patterns for full_name, local in _matching(below, pattern)]
        groups.append(Group(name=name, colour=colour, closed=name not in ("fault contexts", "locks"), signals=signals))
    return [group for group in groups if group.signals]


def _named(file: WaveFile, full_name: str) -> str:
    """The companion with the names of its values, where the file has one."""
    companion = f"{full_name}{NAME_SUFFIX}"
    return companion if companion in file.variables else full_name


def _below_engine(file: WaveFile) -> dict[str, str]:
    """Name below the engine to full name; the engine is the outermost scope of that name."""
    scopes = {full_name.partition(f".{ENGINE}.")[0] for full_name in file.variables if f".{ENGINE}." in full_name}
    if not scopes:
        return {}
    prefix = f"{min(scopes, key=lambda scope: (scope.count('.'), scope))}.{ENGINE}."
    return {name.removeprefix(prefix): name for name in file.variables if name.startswith(prefix)}


def _matching(below: Mapping[str, str], pattern: str) -> list[tuple[str, str]]:
    """Full name and name below the engine, in the order in which the pattern names them; what has numbers by these, the rest by name."""
    options = [group.split("|") for group in re.findall(r"\((?!\?)([^()]*)\)", pattern)]
    found: list[tuple[Any, str, str]] = []
    for local, full_name in below.items():
        if match := re.fullmatch(pattern, local):
            chosen = [names.index(name) if name in names else 0 for names, name in zip(options, match.groups(), strict=True)]
            found.append((([int(number) for number in re.findall(r"\d+", local)], chosen, local), full_name, local))
    return [(full_name, local) for _, full_name, local in sorted(found)]


def _shown(file: WaveFile, full_name: str, alias: str) -> Shown:
    variable = file.variables[full_name]
    last = full_name.rpartition(".")[2]
    bits = max(1, variable.bitwidth or 1)
    names = next((names for end, names in NAMES.items() if full_name.endswith(f".{end}")), None)
    radix = "text" if variable.is_string else "dec" if last in DECIMAL else "bin" if bits == 1 else "hex"
    return Shown(full_name=full_name, alias=alias, bits=bits, radix=radix, names=names if not variable.is_string else None)
