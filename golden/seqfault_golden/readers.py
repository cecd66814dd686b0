"""Events of the fault contexts: which shapes there are, and which steps with which observations each stands for."""

from collections.abc import Callable, Sequence

from .commit_steps import r8, r9, r10, r11, r12, r13, r14, r15, r16, r17, r18
from .exit_steps import answer, handover, mm_read_lock, mm_read_unlock, undo
from .find_steps import r0, r1, r2, r3, r4, r5, r6, r7
from .layout import Outcome, RequestBits, Step
from .state import Fault, NotAllowed, Phase, State

__all__ = ["FRAME_FROM_POOL", "SHAPES", "reader_event"]

FRAME_FROM_POOL = 1 << 63
"""Event data of R9 and UNDO: the frame came from the pool."""
_OK = Outcome.OK
_OUTCOMES = tuple(Outcome)

SHAPES: dict[tuple[int, int], frozenset[int]] = {
    (Step.R0, Step.R0): frozenset({_OK}),
    (Step.R1, Step.R1): frozenset({Outcome.NO_VMA, Outcome.BUS_ERROR, Outcome.BAD_TREE}),
    (Step.R1, Step.R2): frozenset({_OK, Outcome.ODD, Outcome.CHANGED}),
    (Step.R3, Step.R3): frozenset({Outcome.UNSUPPORTED}),
    (Step.R3, Step.R5): frozenset({Outcome.BOUNDS}),
    (Step.R3, Step.R6): frozenset({_OK, Outcome.ACCESS}),
    (Step.R7, Step.R7): frozenset({_OK, Outcome.NO_TABLE, Outcome.HUGE, Outcome.BAD_TABLE, Outcome.PRESENT, Outcome.BUS_ERROR, Outcome.MAPPED}),
    (Step.R8, Step.R8): frozenset({Outcome.CHANGED}),
    (Step.R8, Step.R9): frozenset({_OK, Outcome.POOL_EMPTY}),
    (Step.R10, Step.R11): frozenset({Outcome.CHANGED_C1}),
    (Step.R10, Step.R12): frozenset({_OK, Outcome.WALK_C2}),
    (Step.R13, Step.R13): frozenset({_OK, Outcome.PTL_BUSY, Outcome.PTL_WAIT}),
    (Step.R14, Step.R14): frozenset({Outcome.CHANGED_C3}),
    (Step.R14, Step.R15): frozenset({_OK}),
    (Step.R16, Step.R16): frozenset({Outcome.RACED}),
    (Step.R16, Step.R17): frozenset({_OK}),
    (Step.R18, Step.R18): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.UNDO, Step.UNDO): frozenset(Outcome) - {_OK, Outcome.MAPPED},
    (Step.HANDOVER, Step.HANDOVER): frozenset(Outcome) - {_OK, Outcome.MAPPED},
    (Step.ANSWER, Step.ANSWER): frozenset(Outcome),
    (Step.MM_READ_LOCK, Step.MM_READ_LOCK): frozenset({_OK, Outcome.MM_BUSY}),
    (Step.MM_READ_UNLOCK, Step.MM_READ_UNLOCK): frozenset(Outcome),
}
"""(first, last) to the outcomes that end so: "when `outcome` is not OK, `last` is the step that failed"."""

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""


def _begin(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    access, flags, port, tag, attempt, classic = RequestBits.decode(event[9])
    r0(state, fault, event[4], event[5], access, flags, port, tag, attempt, bool(classic))


def _find(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    last = event[1]
    if last == Step.R1:
        return r1(state, fault, outcome, event[8], event[6])
    r1(state, fault, _OK, event[8], event[6])
    r2(state, fault, outcome, event[7])


def _fields(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    last = event[1]
    _expect_id(fault, event)
    if not fault.classic and event[7] != fault.seq:
        raise NotAllowed(f"R3-R6 reports sequence {event[7]:#x}, the snapshot is {fault.seq:#x}")
    r3(state, fault, outcome if last == Step.R3 else _OK, event[9])
    if last == Step.R3:
        return
    r4(state, fault, event[8])
    r5(state, fault, outcome if last == Step.R5 else _OK)
    if last == Step.R6:
        r6(state, fault, outcome)


def _walk(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    r7(state, fault, outcome, event[8], event[9])


def _allocate(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    last = event[1]
    _expect_id(fault, event)
    r8(state, fault, outcome if last == Step.R8 else _OK, event[7])
    if last == Step.R9:
        data = event[9]
        r9(state, fault, outcome, data & ~FRAME_FROM_POOL, data >= FRAME_FROM_POOL)


def _check(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    last = event[1]
    _expect_id(fault, event)
    r10(state, fault)
    r11(state, fault, outcome if last == Step.R11 else _OK, event[7])
    if last == Step.R12:
        r12(state, fault, outcome)


def _lock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    r13(state, fault, outcome, event[8])


def _recheck(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    _expect_id(fault, event)
    r14(state, fault, outcome, event[7])
    if event[1] == Step.R15:
        r15(state, fault)


def _commit(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    r16(state, fault, outcome)
    if event[1] == Step.R17:
        r17(state, fault, event[8], event[9])


def _unlock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    r18(state, fault, outcome, event[8], event[9])


def _undo(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    undo(state, fault, outcome, event[9] & ~FRAME_FROM_POOL, event[9] >= FRAME_FROM_POOL)


def _handover(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    handover(state, fault, outcome)


def _answer(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    answer(state, fault, outcome, event[9] & 3)


def _read_lock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    mm_read_lock(state, fault, outcome, event[4])


def _read_unlock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    mm_read_unlock(state, fault, event[4])


def _expect_id(fault: Fault, event: Event) -> None:
    if event[6] != fault.id and fault.phase in _WITH_ID:
        raise NotAllowed(f"the event names VMA {event[6]}, the snapshot is of VMA {fault.id}")


_WITH_ID = frozenset({Phase.R3, Phase.R8, Phase.R10, Phase.R14})
_HANDLERS: dict[int, Callable[[State, Fault, Event, Outcome], None]] = {
    Step.R0: _begin,
    Step.R1: _find,
    Step.R3: _fields,
    Step.R7: _walk,
    Step.R8: _allocate,
    Step.R10: _check,
    Step.R13: _lock,
    Step.R14: _recheck,
    Step.R16: _commit,
    Step.R18: _unlock,
    Step.UNDO: _undo,
    Step.HANDOVER: _handover,
    Step.ANSWER: _answer,
    Step.MM_READ_LOCK: _read_lock,
    Step.MM_READ_UNLOCK: _read_unlock,
}


def reader_event(state: State, fault: Fault, event: Event) -> None:
    """Take the steps that an event of this fault's context stands for, or raise `NotAllowed`."""
    first, last, _, outcome = event[:4]
    allowed = SHAPES.get((first, last))
    if allowed is None or outcome not in allowed:
        raise NotAllowed("no event has this first and last step with this outcome")
    _HANDLERS[first](state, fault, event, _OUTCOMES[outcome])
