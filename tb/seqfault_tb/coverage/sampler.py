"""The Watcher that samples the cover points: counts small tuples while the run goes on, and names them at its end."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from seqfault_golden import Outcome, Step
from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT

from ..regression.watch import Watcher
from .names import WAITS, Counts, named
from .queues import watch_queues
from .tracked import Tracked

if TYPE_CHECKING:
    from ..kernel import Kernel

__all__ = ["Coverage"]

OK, PTL_WAIT, MAPPED = int(Outcome.OK), int(Outcome.PTL_WAIT), int(Outcome.MAPPED)
NOT_THE_END = frozenset((Step.AROUND, Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK))
"""Steps that do not end an attempt by failing, or that tell why it ended before."""
(R0, R1, R3, R7, PAGE, R8, R10, R18, UNDO, HANDOVER, ANSWER, MM_READ_LOCK, MM_READ_UNLOCK, TABLE, AROUND, FILL) = (int(step) for step in (
    Step.R0, Step.R1, Step.R3, Step.R7, Step.PAGE, Step.R8, Step.R10, Step.R18, Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_LOCK,
    Step.MM_READ_UNLOCK, Step.TABLE, Step.AROUND, Step.FILL,
))  # fmt: skip
SEQ_BEGIN, SEQ_END, INVALIDATE, SPACE_TABLE, AD_LOCK, FENCE, PAGE_RESPONSE = (int(step) for step in (
    Step.SEQ_BEGIN, Step.SEQ_END, Step.INVALIDATE, Step.SPACE_TABLE, Step.AD_LOCK, Step.FENCE, Step.PAGE_RESPONSE,
))  # fmt: skip
IN_TABLE = frozenset((Step.PTE_LOCK, Step.PTE_UNLOCK, Step.PTE_CLEAR, Step.PTE_PROTECT))
APART = frozenset((Step.SRCU_CALL, Step.PAGE_RESPONSE, Step.SPACE_TABLE, Step.ILLEGAL))
"""Steps that no fault is in the way of."""
EVERY_SPACE = 0xFFFF
PTE_D = 1 << 7
TRIED = 2
PHASES_OF_FAILURE = frozenset((UNDO, HANDOVER))


class Coverage(Watcher):
    """Functional coverage of one run; `points` says what the names in `result` mean."""

    name = "coverage"

    def __init__(self) -> None:
        self._contexts = [Tracked() for _ in range(UPDATE_AGENT)]
        self._used: list[Tracked] = []
        self._busy = 0
        self._zero_frame = -1
        self._modes: dict[int, int] = {}
        self._requests: dict[int, int] = {}
        self.counts = Counts()
        self._steps: Counter[tuple[int, int, int]] = Counter()
        self._meetings = self.counts.meetings

    def start(self, kernel: "Kernel") -> None:
        self._zero_frame = kernel.frames.zero
        watch_queues(kernel, self.counts.queues)

    def fault(self, context: int) -> Tracked:
        """What is known of this context's fault."""
        return self._contexts[context]

    # --- the log ----------------------------------------------------------------------------------------------------

    def event(self, record: list[int]) -> None:
        _, _, first, last, agent, outcome, space, vpn, number, _, addr, data = record
        self._steps[first, last, outcome] += 1
        if agent == COMMAND_UNIT:
            self._command(first, space, vpn, number, addr, data)
        elif agent < UPDATE_AGENT:
            self._reader(self._contexts[agent], record)
        elif first == AD_LOCK:
            self.counts.updates[bool(data & PTE_D)] += 1

    def _reader(self, fault: Tracked, record: list[int]) -> None:
        _, _, first, last, _, outcome, space, vpn, number, _, addr, data = record
        if not fault.busy:
            if first == MM_READ_UNLOCK:  # of a classic fault, after its answer
                return
            self._begins(fault, space, vpn)
        if first == R0:
            fault.attempts(data)
        elif R1 <= first <= R3:
            fault.id = number
            fault.found(first, last, data)
        elif first == R7:
            fault.walked(last, outcome, addr, data)
        elif first == PAGE:
            fault.looked_up()
        elif first == R8:
            fault.allocates(self._zero_frame)
        elif first == FILL:
            self.counts.fills[bool(data >> 63), outcome] += 1
        elif first == R10 and fault.waits:
            self.counts.after_wait[last, outcome] += 1
        elif first == MM_READ_LOCK:
            fault.takes_lock()
        elif first == AROUND:
            self.counts.around[data.bit_count()] += 1
        if outcome == OK:
            fault.phase = last
            if first == TABLE:
                self._served(fault, "table")
                fault.hung()
        else:
            self._failed(fault, last, outcome)
        if first == ANSWER or (first == R18 and outcome == OK):
            self._ends(fault, first, data)

    def _begins(self, fault: Tracked, space: int, vpn: int) -> None:
        if fault not in self._used:
            self._used.append(fault)
        fault.begin(space, vpn)
        self._busy += 1
        self.counts.busy[self._busy] += 1

    def _failed(self, fault: Tracked, step: int, outcome: int) -> None:
        if outcome == PTL_WAIT:
            fault.waits += 1
            fault.phase = WAITS
        if step in NOT_THE_END or outcome == MAPPED:
            if step in PHASES_OF_FAILURE:
                fault.leaves(step)
            if step == HANDOVER:
                self.counts.handovers[outcome if fault.failure is None or fault.failure[1] != outcome else OK] += 1
            return
        fault.failure = (step, outcome)
        if outcome != PTL_WAIT and fault.first_failure is None:
            fault.first_failure = fault.failure
        self.counts.aborts[fault.kind, step, outcome, fault.classic] += 1

    def _served(self, fault: Tracked, kind: str) -> None:
        self.counts.served[kind, fault.access, fault.flags & ~TRIED, fault.attempt, fault.classic, self._modes.get(fault.space, -1)] += 1

    def _ends(self, fault: Tracked, step: int, data: int) -> None:
        fault.busy = False
        self._busy -= 1
        status = data & 3 if step == ANSWER else 0
        if not status:
            self._served(fault, fault.kind)
        how = ("software", "refused")[status - 1] if status else "classic" if fault.classic else "retried" if fault.attempt else "speculative"
        self.counts.ends[how, fault.first_failure or (-1, OK), fault.flags] += 1
        self.counts.attempts[fault.attempt, fault.classic, bool(status)] += 1
        self.counts.tables[fault.tables] += 1

    def _command(self, step: int, space: int, vpn: int, number: int, addr: int, data: int) -> None:
        if step == SPACE_TABLE:
            self._modes[space] = data >> 60
            self.counts.modes[data >> 60, number] += 1
        elif step == INVALIDATE:
            self.counts.invalidated[space == EVERY_SPACE, data] += 1
        elif step == PAGE_RESPONSE:
            self.counts.responses[data] += 1
        running = False
        for fault in self._used:
            if not fault.busy or fault.phase is None:
                continue
            running = True
            if not fault.classic and _meets(fault, step, space, vpn, number, addr, data):
                self._meetings[step, fault.phase] += 1
        self.counts.during[step, running] += 1

    def request(self, record: list[int]) -> None:
        self._requests[record[2] | record[3] << 8] = record[7] << 2 | record[6]

    def answer(self, record: list[int]) -> None:
        asked = self._requests.pop(record[2] | record[3] << 8, 0)
        self.counts.answers[asked, record[4], record[5], record[6]] += 1

    def result(self) -> dict[str, Any]:
        """{point: {bin: count}}; of the points that only all jobs together give (`points`) their parts."""
        return named(self._steps, self.counts)


def _meets(fault: Tracked, step: int, space: int, vpn: int, number: int, addr: int, data: int) -> bool:
    """The command's step concerns what the fault works on: its VMA, the table of its entry, its page, or its space."""
    if step in APART:
        return False
    if step == FENCE:
        return True
    if step in (SEQ_BEGIN, SEQ_END):
        return number == fault.id and fault.id != 0
    if step == INVALIDATE:
        return fault.phase not in PHASES_OF_FAILURE and space in (fault.space, EVERY_SPACE) and (data == 0 or vpn <= fault.vpn < vpn + data)
    if step in IN_TABLE:
        return fault.table != 0 and addr >> 12 == fault.table
    return space == fault.space
