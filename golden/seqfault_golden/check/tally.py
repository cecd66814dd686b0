"""What the engine's counters must say, counted from the events alone."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ..layout import How, Outcome, Status, Step
from ..protocol.exit_steps import how_ended
from ..protocol.world import Phase
from .state import Fault

__all__ = ["Tally"]


class Tally:
    """Counts what the event port shows, as the registers of the same names do.

    Attributes
    ----------
    faults, fault_cycles : faults that have ended; of all those, the cycles from the first event to the last.
    answers : faults by how they were answered (TRANSLATED: refused). outcomes : aborted attempts by reason.
    page_requests_dropped, srcu_refused : page requests that are not in memory, SRCU.CALLs that were not taken.
    """

    def __init__(self) -> None:
        self.faults = self.fault_cycles = 0
        self.answers: Counter[How] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.page_requests_dropped = self.srcu_refused = 0
        self._began: dict[int, int] = {}

    def reader(self, cycle: int, event: Sequence[int], fault: Fault, reason: int) -> None:
        """An event of a fault, which is now as the event has left it; before, it had failed for `reason`, if at all.

        With injected bus errors a BUS_ERROR of the fault cannot be told from that of its page request.
        """
        step, _, agent, outcome = event[:4]
        began = self._began.setdefault(agent, cycle)
        if step == Step.UNDO:
            self.outcomes[Outcome(outcome)] += 1
        elif step == Step.R18 and outcome == Outcome.OK:
            self.answers[how_ended(fault, Status.OK)] += 1
        elif step == Step.ANSWER:
            self.answers[how_ended(fault, event[9] & 3)] += 1
        elif step == Step.HANDOVER:
            self.page_requests_dropped += outcome != reason
        if fault.phase == Phase.IDLE and step != Step.MM_READ_LOCK:
            self.faults += 1
            self.fault_cycles += cycle - began
            del self._began[agent]

    def writer(self, event: Sequence[int]) -> None:
        """An event of the command unit."""
        self.srcu_refused += event[0] == Step.SRCU_CALL and event[3] != Outcome.OK

    def registers(self) -> dict[str, int]:
        """What each counter must read, when no fault is running; those that are one of many as `outcomes[RACED]`."""
        one = {name: getattr(self, name) for name in ("faults", "fault_cycles", "page_requests_dropped", "srcu_refused")}
        answers = {f"answers[{how.name}]": self.answers[how] for how in How}
        return one | answers | {f"outcomes[{outcome.name}]": self.outcomes[outcome] for outcome in Outcome}

    def difference(self, registers: Mapping[str, int]) -> str | None:
        """How the engine's counters, by the names of `registers`, differ; None: not at all."""
        counted = self.registers()
        wrong = [
            f"the engine's counter {name} says {registers[name]}, the golden model counted {count}"
            for name, count in counted.items()
            if registers[name] != count
        ]
        return "\n".join(wrong) or None
