"""What the golden model holds at each event of a run, as a file beside the run's waveform; only where one is recorded.

The file `FILE.golden.jsonl` has an object in each line: a header (`format`, `version`, `about`), one for each event of the event port in order,
one for each difference (`difference`) where it was noticed, and at the end one with `end`, without which the file is cut off. Of an event:

- `cycle`, `agent`, `first`, `last`, `outcome`: those of the event port, numbers as in the contract.
- `expected`, `next`: what golden expected this context to do, and expects it to do next: a step, or a state of the checker (`FAILED`); null for
  commands and A/D updates.
- `snapshot`, `sequence`: the sequence that the fault works with, and that of its VMA now (of a SEQ command: of its VMA); null where there is none.
- `holds`: what the agent holds now, as words. `verdict`: "allowed", "not allowed", or "not checked" (after the first difference).

Of a difference: `difference` (the checker's text), `cycle`, and `event` (the number, from 0, of the event that it is about; null: it is about an
answer, a word that software wrote, or what was left at the end).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT, Step
from seqfault_golden.protocol.world import Phase

from .watch import Watcher

if TYPE_CHECKING:
    from seqfault_golden import Checker

__all__ = ["BEFORE_SINCE", "FORMAT", "VERSION", "GoldenView", "golden_file"]

FORMAT, VERSION = "seqfault golden view", 1
SUFFIX = ".golden.jsonl"
BEFORE_SINCE = 100
"""Cycles that a waveform begins before its view: a cycle's number says only roughly when it is."""
SEQUENCE_STEPS = (Step.SEQ_BEGIN, Step.SEQ_END)


def golden_file(waveform: Path) -> Path:
    """Where the view of a waveform's run is: beside it."""
    return waveform.with_name(waveform.name + SUFFIX)


class GoldenView(Watcher):
    """Writes the view of one run. As a context manager it is closed at the end, with the error that ended the run, if one did.

    Parameters
    ----------
    checker : that of the run. Its steps come here after it has judged them (`watch`).
    path : the file, written as the run goes. about : what the run is, for people: goes into the header. since : the first cycle that is in it.
    """

    name = "golden_view"

    def __init__(self, checker: "Checker", path: Path, about: Mapping[str, Any] | None = None, *, since: int = 0) -> None:
        self._checker, self._since = checker, since
        self._file = path.open("w")
        self._events = self._differences = 0
        self._cycle = 0
        self._expected: dict[int, str] = {}
        """Agent to what golden expects next."""
        self._write({"format": FORMAT, "version": VERSION, "about": dict(about or {})})

    def __enter__(self) -> "GoldenView":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(None if error is None else f"{type(error).__name__}: {error}")

    def event(self, record: list[int]) -> None:
        _, cycle, first, last, agent, outcome, _, _, vma_id = record[:9]
        self._cycle = cycle
        verdict = self._verdict(cycle, first)
        line: dict[str, Any] = {"cycle": cycle, "agent": agent, "first": first, "last": last, "outcome": outcome}
        held = self._held(agent, first, vma_id)
        if cycle < self._since:
            return
        self._write({**line, **held, "verdict": verdict})
        if verdict == "not allowed":
            self._differ(self._events)
        self._events += 1

    def answer(self, record: list[int]) -> None:
        self._cycle = record[1]
        self._notice()

    def close(self, stopped: str | None = None) -> None:
        """The run is over: `stopped` says why, if it did not end as it should (a hang, say). Once only; later calls do nothing."""
        if self._file.closed:
            return
        self._notice()
        self._write({"end": {"events": self._events, "differences": self._differences, "stopped": stopped}})
        self._file.close()

    def result(self) -> dict[str, int]:
        """Closes the file; how many lines of each kind it has."""
        self.close()
        return {"events": self._events, "differences": self._differences}

    def _verdict(self, cycle: int, first: int) -> str:
        difference = self._checker.first_difference
        if difference is None:
            return "allowed"
        step = Step(first).name if first in Step._value2member_map_ else str(first)
        if not self._differences and difference.startswith((f"cycle {cycle}: {step} ", f"cycle {cycle}: {step}-")):
            return "not allowed"
        self._notice()
        return "not checked"

    def _notice(self) -> None:
        """A difference that is about no event."""
        if self._checker.first_difference is not None and not self._differences:
            self._differ(None)

    def _differ(self, event: int | None) -> None:
        text = self._checker.first_difference or ""
        place = re.search(r"cycle (\d+)", text.partition("\n")[0])
        self._write({"difference": text, "cycle": int(place[1]) if place else self._cycle, "event": event})
        self._differences += 1

    def _held(self, agent: int, first: int, vma_id: int) -> dict[str, Any]:
        state = self._checker.state
        expected: str | None = None
        following: str | None = None
        snapshot: int | None = None
        sequence: int | None = None
        holds: list[str] = []
        if agent < len(state.faults):
            fault = state.faults[agent]
            following = Phase(fault.phase).name
            expected = self._expected.get(agent, Phase.IDLE.name)
            self._expected[agent] = following
            if vma_id:
                snapshot, sequence = fault.seq, state.sequence(vma_id)
            holds = self._fault_holds(agent)
        elif agent == COMMAND_UNIT:
            sequence = state.sequence(vma_id) if first in SEQUENCE_STEPS else None
            holds = [f"mm lock of space {space}" for space in sorted(state.mm_writers)]
            holds += [f"section of entry {entry}" for entry in state.sequences.open_entries()]
            holds += [f"PTE lock {table:#x}" for table, holder in state.pte_locks.items() if holder == COMMAND_UNIT]
        elif agent == UPDATE_AGENT and state.update is not None:
            holds = [f"PTE lock of the entry at {state.update.address:#x}"]
        return {"expected": expected, "next": following, "snapshot": snapshot, "sequence": sequence, "holds": holds}

    def _fault_holds(self, agent: int) -> list[str]:
        fault = self._checker.state.faults[agent]
        kept = (
            (fault.holds_read_lock, "mm lock"), (fault.holds_vma, "VMA"), (fault.pinned, "pin"),
            (fault.owned, f"frame {fault.frame:#x}"), (fault.locked, f"PTE lock {fault.locked:#x}"),
        )  # fmt: skip
        return [text for held, text in kept if held]

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value) + "\n")
