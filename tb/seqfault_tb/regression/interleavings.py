"""Counts how often a fault and a writer's section of the same address space overlapped in time."""

from collections import Counter

from seqfault_golden import Outcome, Step
from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT

from .watch import Watcher

__all__ = ["Interleavings"]


class Interleavings(Watcher):
    """An interleaving is a pair of a fault, from its first step to its last, and a section, from MM.LOCK to MM.UNLOCK of the fault's space, that
    were both open in some cycle.

    Attributes
    ----------
    faults : faults that ended. pairs : interleavings. interleaved : faults that met at least one section.
    """

    name = "interleavings"

    def __init__(self) -> None:
        self.faults = self.pairs = self.interleaved = 0
        self._open: set[int] = set()
        self._running: dict[int, list[int]] = {}
        """[space, sections met] of each fault context that has a fault."""

    def event(self, record: list[int]) -> None:
        first, last, agent, outcome, space = record[2:7]
        if agent == COMMAND_UNIT:
            if first == Step.MM_LOCK:
                self._open.add(space)
                for fault in self._running.values():
                    fault[1] += fault[0] == space
            elif first == Step.MM_UNLOCK:
                self._open.discard(space)
        elif agent != UPDATE_AGENT:
            if agent not in self._running:
                if first == Step.R0:
                    self._running[agent] = [space, space in self._open]
            elif last == Step.ANSWER or (last == Step.R18 and outcome == Outcome.OK):
                _, met = self._running.pop(agent)
                self.faults += 1
                self.pairs += met
                self.interleaved += met > 0

    def result(self) -> Counter[str]:
        return Counter(faults=self.faults, pairs=self.pairs, interleaved=self.interleaved)
