"""Reads the protocol's events out of a waveform (VCD or FST): what the event port showed at every rising clock edge, in order.

The simulated top `seqfault_sim` has a 64-bit counter `cycle` and, in the engine, the signals of `EVENT_SIGNALS`. An event takes
effect at the edge that ends its cycle, so the values just before that edge are the event; a cycle whose end is not in the file is none.
Meaning of the fields: docs/software-contract.md, "Steps and outcomes".
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT
from seqfault_rtl.messages import Outcome, Step

from .errors import UsageError
from .waves_faults import FaultNumbers
from .waves_file import CYCLE_SIGNAL, EVENT_FIELDS, EVENT_SIGNALS, WaveFile

__all__ = ["EVENT_ENUMS", "EVENT_SIGNALS", "OUTCOMES", "STEPS", "WaveEvent", "read_events"]

PAGE_SHIFT = 12
STEPS: dict[int, str] = {int(step.value): step.name for step in Step}
OUTCOMES: dict[int, str] = {int(outcome.value): outcome.name for outcome in Outcome}
EVENT_ENUMS = {"ev_first": STEPS, "ev_last": STEPS, "ev_outcome": OUTCOMES}
"""The names of the values of the event port's enum signals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WaveEvent:
    """One event of the event port, numbers as in the contract.

    `vpn`, `space` and `id` of a fault context's later steps are those of its attempt (the event port gives them once, at R0 and R1).
    `fault` counts the faults of the file from 1, in the order of their first events; 0: not an event of a fault.
    """

    cycle: int
    first: int
    last: int
    agent: int
    outcome: int
    space: int
    vpn: int
    id: int
    seq: int
    addr: int
    data: int
    fault: int = 0

    @property
    def va(self) -> int:
        """Virtual address of the page in bytes, 60 bits at the most."""
        return self.vpn << PAGE_SHIFT

    @property
    def steps(self) -> str:
        """The steps by name: `R10-R12`."""
        names = [STEPS.get(number, f"step {number}") for number in (self.first, self.last)]
        return names[0] if self.first == self.last else "-".join(names)

    @property
    def outcome_name(self) -> str:
        return OUTCOMES.get(self.outcome, f"outcome {self.outcome}")

    def covers(self, step: Step) -> bool:
        """Whether `step` is among the steps executed."""
        return self.first <= int(step.value) <= self.last


def read_events(path: Path | WaveFile) -> Iterator[WaveEvent]:
    """The events of a waveform file in order, lazily.

    Raises
    ------
    UsageError : no such file, not a waveform, cut off, or a waveform without the event port's signals.
    """
    file = path if isinstance(path, WaveFile) else WaveFile(path)
    signals = {name: file.signal(name) for name in (CYCLE_SIGNAL, *EVENT_SIGNALS)}
    try:
        yield from _follow(_sample(file.path, signals), FaultNumbers(file.constants()))
    except RuntimeError as error:
        raise file.unreadable(error) from None


def _sample(path: Path, signals: dict[str, Any]) -> Iterator[WaveEvent]:
    """An event for every end of a cycle at which `ev_valid` was 1."""
    cycle, valid = signals[CYCLE_SIGNAL], signals["ev_valid"]
    starts = range(len(cycle))
    for index in range(len(valid)):
        begin, value = valid[index]
        if value != 1:
            continue
        end = valid[index + 1][0] if index + 1 < len(valid) else None
        # the cycles that end within (begin, end]: each change of the counter after `begin` ends one
        at = bisect_right(starts, begin, key=lambda place: cycle[place][0])
        while at < len(cycle) and (end is None or cycle[at][0] <= end):
            if at > 0:
                yield _event_at(path, signals, cycle[at - 1][1], cycle[at][0] - 1)
            at += 1


def _event_at(path: Path, signals: dict[str, Any], cycle: object, time: int) -> WaveEvent:
    values = {name: signals[f"ev_{name}"].value_at(time) for name in EVENT_FIELDS}
    unknown = [name for name, value in values.items() if not isinstance(value, int)]
    if unknown or not isinstance(cycle, int):
        raise UsageError(f"{path}: event in cycle {cycle} has unknown bits in {', '.join(unknown) or CYCLE_SIGNAL}")
    return WaveEvent(cycle=cycle, **values)


def _follow(events: Iterator[WaveEvent], numbers: FaultNumbers) -> Iterator[WaveEvent]:
    """Give every step of a fault context the number of its fault, and the address, space and VMA id of its attempt."""
    attempts: dict[int, WaveEvent] = {}
    for event in events:
        if event.agent in (COMMAND_UNIT, UPDATE_AGENT):
            yield event
            continue
        if number := numbers.number_of(event):
            event = replace(event, fault=number)
        known = attempts.get(event.agent)
        if event.covers(Step.R0) or known is None:
            attempts[event.agent] = event
        else:
            same = event.covers(Step.R1)
            event = replace(event, vpn=known.vpn, space=known.space, id=event.id if same else event.id or known.id)
            attempts[event.agent] = event
        yield event
