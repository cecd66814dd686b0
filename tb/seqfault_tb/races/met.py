"""What the runs of a sweep met: how fault and writer lay in time, why steps of faults failed, how faults ended, and how many interleavings differ."""

from collections import Counter

from seqfault_golden import Outcome, Step
from seqfault_golden.layout import UPDATE_AGENT

from ..regression.watch import Watcher
from .scenario import Scenario

__all__ = ["Met"]

WAYS_OUT = (Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK)
"""Steps that tell why an attempt failed before."""


class Met(Watcher):
    """Events between `begin` and `end` belong to one run.

    Attributes
    ----------
    names : in how many runs each thing was met. orders : different orders of the steps of faults and writer.
    """

    name = "met"

    def __init__(self) -> None:
        self.restart()
        self._steps: list[tuple[int, int, int, int]] = []

    def restart(self) -> None:
        """A new sweep."""
        self.names: Counter[str] = Counter()
        self._seen: set[int] = set()

    @property
    def orders(self) -> int:
        return len(self._seen)

    def event(self, record: list[int]) -> None:
        self._steps.append((record[4], record[2], record[3], record[5]))

    def begin(self) -> None:
        self._steps = []

    def end(self, run: Scenario, outcomes: Counter[str], reader: tuple[int, int]) -> None:
        """`outcomes`: of the run's faults. `reader`: cycles in which the fault was asked for and answered."""
        self._seen.add(hash(tuple(self._steps)))
        names = {
            Outcome(outcome).name.lower()
            for agent, _, last, outcome in self._steps if outcome and agent < UPDATE_AGENT and last not in WAYS_OUT and outcome != Outcome.MAPPED
        }  # fmt: skip
        names.add("fault first" if reader[1] <= run.began else "writer first" if run.ended <= reader[0] else "at once")
        self.names.update(names | {outcome for outcome, count in outcomes.items() if count})

    def result(self) -> dict[str, int]:
        return dict(self.names)
