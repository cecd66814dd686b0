"""The slowest faults of a run, with what they and the command unit did meanwhile."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqfault_golden import Access, Outcome, Step

from .fault_kinds import FaultStory

__all__ = ["MEANWHILE", "SLOWEST", "SlowFaults"]

SLOWEST = 10
"""Faults that are kept."""
MEANWHILE = 512
"""Last events of the command unit that are at hand when a fault ends."""
SHOWN, SHOWN_COMMANDS = 100, 40
"""Events of a fault that is kept, and of the command unit: the first and the last of them."""
EVERY_SPACE = 0xFFFF
FLAG_NAMES = ("ALLOW_RETRY", "TRIED", "NOWAIT", "ATOMIC")


class SlowFaults:
    """Keeps the `SLOWEST` that took longest from their first event to that of their answer; of equal ones the earlier."""

    def __init__(self) -> None:
        self._faults: list[_Slow] = []
        self._bar = -1

    def takes(self, cycles: int) -> bool:
        """One that took so many cycles would be kept. Cheap."""
        return cycles > self._bar

    def add(self, events: list[list[int]], story: FaultStory, request: list[int] | None, commands: Iterable[list[int]]) -> None:
        """`request`: its record, if known; `commands`: the last events of the command unit."""
        began, space = events[0][1], events[0][6]
        meanwhile = [other for other in commands if other[1] >= began and other[6] in (space, EVERY_SPACE)]
        self._faults.append(_Slow(cycles=events[-1][1] - began, events=events, story=story, request=request, commands=meanwhile))
        self._faults.sort(key=lambda fault: -fault.cycles)
        del self._faults[SLOWEST:]
        if len(self._faults) == SLOWEST:
            self._bar = self._faults[-1].cycles

    def result(self) -> list[dict[str, Any]]:
        """Slowest first. `began`, `requested`: cycles of the run (`requested`: acceptance at the port, else None). `events`, `commands`: lists
        of [cycles since `began`, steps, outcome]; `events_left_out`, `commands_left_out`: how many are missing from their middle."""
        return [fault.result() for fault in self._faults]


@dataclass(frozen=True, kw_only=True)
class _Slow:
    cycles: int
    events: list[list[int]]
    story: FaultStory
    request: list[int] | None
    commands: list[list[int]]

    def result(self) -> dict[str, Any]:
        story, first = self.story, self.events[0]
        return {
            "cycles": self.cycles, "kind": story.kind, "how": story.how, "reason": Outcome(story.reason).name, "attempts": story.attempts,
            "began": first[1], "requested": self.request and self.request[1], "agent": first[4], "space": first[6], "vpn": first[7],
            "access": Access(story.access).name if story.attempts else None,
            "flags": [name for bit, name in enumerate(FLAG_NAMES) if story.flags >> bit & 1],
            **_lines("events", self.events, first[1], SHOWN), **_lines("commands", self.commands, first[1], SHOWN_COMMANDS),
        }  # fmt: skip


def _lines(name: str, records: list[list[int]], began: int, most: int) -> dict[str, Any]:
    left_out = max(len(records) - most, 0)
    if left_out:
        records = records[: most // 2] + records[-(most // 2) :]
    return {name: [[record[1] - began, _steps(record[2], record[3]), Outcome(record[5]).name] for record in records], f"{name}_left_out": left_out}


def _steps(first: int, last: int) -> str:
    return Step(last).name if first == last else f"{Step(first).name}-{Step(last).name}"
