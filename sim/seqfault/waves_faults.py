"""Which events are those of one fault, and its number: faults count from 1, in the order in which their first events stand in the file.

This is the number that the text, the JSON and the page show, and that `--around fault=N` takes. A file that was cut out of another keeps the
numbers of that one (`FaultNumbers.constants`).
"""

from collections.abc import Mapping
from typing import Protocol

from seqfault_golden.layout import UPDATE_AGENT
from seqfault_rtl.messages import Outcome, Step

__all__ = ["BEGIN_ATTEMPT", "FaultNumbers", "ends_fault"]

BEGIN_ATTEMPT = (23, 3)
"""Low bit and width of the attempt in R0's data. [contract, Steps and outcomes]"""
NEXT, OPEN, ENDED, WAITING = "next_fault", "open_", "ended_", "waiting_"


class _Event(Protocol):
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def agent(self) -> int: ...
    @property
    def outcome(self) -> int: ...
    @property
    def data(self) -> int: ...


def ends_fault(event: _Event) -> bool:
    """The fault is answered with this; of a classic fault's commit MM_READ_UNLOCK may follow."""
    return event.last == Step.ANSWER.value or (event.last == Step.R18.value and event.outcome == Outcome.OK.value)


class FaultNumbers:
    """Numbers the faults of a stream of events.

    Parameters
    ----------
    constants : of a file that was cut out of another: what `constants()` said at the place of the cut; empty at a beginning.
    """

    def __init__(self, constants: Mapping[str, int] | None = None) -> None:
        given = constants or {}
        self._next = given.get(NEXT, 1)
        self._open = _by_agent(given, OPEN)
        """Agent to the number of its last fault."""
        self._ended = set(_by_agent(given, ENDED))
        self._begun = set(self._open) - set(_by_agent(given, WAITING))
        """Agents whose fault has had its first R0."""

    def number_of(self, event: _Event) -> int:
        """The number of the fault that the next event belongs to; 0: none (commands, A/D updates)."""
        agent = event.agent
        if agent >= UPDATE_AGENT:
            return 0
        begins = event.first == Step.R0.value
        if self._is_new(event):
            self._open[agent] = self._next
            self._next += 1
            self._ended.discard(agent)
            self._begun.discard(agent)
        if begins:
            self._begun.add(agent)
        if ends_fault(event):
            self._ended.add(agent)
        return self._open[agent]

    def _is_new(self, event: _Event) -> bool:
        agent = event.agent
        if agent not in self._open:
            return True
        if agent in self._ended:
            return event.first != Step.MM_READ_UNLOCK.value
        low, width = BEGIN_ATTEMPT
        return event.first == Step.R0.value and not event.data >> low & (1 << width) - 1 and agent in self._begun

    def constants(self) -> dict[str, int]:
        """What goes into a file that begins here, so that its faults keep their numbers."""
        constants = {NEXT: self._next} | {f"{OPEN}{agent}": number for agent, number in self._open.items()}
        constants |= {f"{ENDED}{agent}": 1 for agent in sorted(self._ended)}
        return constants | {f"{WAITING}{agent}": 1 for agent in self._open if agent not in self._begun}


def _by_agent(constants: Mapping[str, int], prefix: str) -> dict[int, int]:
    return {int(name.removeprefix(prefix)): value for name, value in constants.items() if name.startswith(prefix)}
