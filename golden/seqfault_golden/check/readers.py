"""Events of the fault contexts: which shapes there are, and what judges each."""

from collections.abc import Callable, Sequence

from ..layout import Outcome, Step
from ..protocol.world import NotAllowed, Phase, expect_phase
from .commit_events import (
    allocate,
    answered,
    check,
    filled,
    handed_over,
    lock,
    read_lock,
    read_unlock,
    recheck,
    undone,
    walked_and_allocated,
)  # fmt: skip
from .entry_events import cleared, commit, flushed, hung, mapped_around, set_alone, unlock
from .find_events import begin, fields, find, looked_up, walked
from .state import Fault, State

__all__ = ["SHAPES", "reader_event"]

_OK = Outcome.OK
_OUTCOMES = tuple(Outcome)

# fmt: off
SHAPES: dict[tuple[int, int], frozenset[int]] = {
    (Step.R0, Step.R0): frozenset({_OK}),
    (Step.R1, Step.R1): frozenset({Outcome.NO_VMA, Outcome.BUS_ERROR, Outcome.BAD_TREE}),
    (Step.R1, Step.R2): frozenset({_OK, Outcome.ODD, Outcome.CHANGED}),
    (Step.R1, Step.R3): frozenset({Outcome.UNSUPPORTED, Outcome.HUGE}),
    (Step.R1, Step.R5): frozenset({Outcome.BOUNDS}),
    (Step.R1, Step.R6): frozenset({_OK, Outcome.ACCESS}),
    (Step.R3, Step.R3): frozenset({Outcome.UNSUPPORTED, Outcome.HUGE}),
    (Step.R3, Step.R5): frozenset({Outcome.BOUNDS}),
    (Step.R3, Step.R6): frozenset({_OK, Outcome.ACCESS}),
    (Step.R7, Step.R7): frozenset({
        _OK, Outcome.NO_TABLE, Outcome.HUGE, Outcome.BAD_TABLE, Outcome.PRESENT, Outcome.USERFAULT, Outcome.BUS_ERROR, Outcome.MAPPED,
    }),
    (Step.R7, Step.R8): frozenset({Outcome.CHANGED}),
    (Step.R7, Step.R9): frozenset({_OK, Outcome.POOL_EMPTY}),
    (Step.PAGE, Step.PAGE): frozenset({
        _OK, Outcome.NOT_CACHED, Outcome.PAGE_BUSY, Outcome.NOT_WRITABLE, Outcome.PRESENT, Outcome.USERFAULT, Outcome.BAD_TREE, Outcome.BUS_ERROR,
    }),
    (Step.R8, Step.R8): frozenset({Outcome.CHANGED}),
    (Step.R8, Step.R9): frozenset({_OK, Outcome.POOL_EMPTY}),
    (Step.FILL, Step.FILL): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.R10, Step.R11): frozenset({Outcome.CHANGED_C1}),
    (Step.R10, Step.R12): frozenset({_OK, Outcome.WALK_C2}),
    (Step.R13, Step.R13): frozenset({_OK, Outcome.PTL_BUSY, Outcome.PTL_WAIT}),
    (Step.R14, Step.R14): frozenset({Outcome.CHANGED_C3}),
    (Step.R14, Step.R15): frozenset({_OK}),
    (Step.R16, Step.R16): frozenset({Outcome.RACED}),
    (Step.R16, Step.R17): frozenset({_OK}),
    (Step.CLEAR, Step.CLEAR): frozenset({_OK, Outcome.RACED, Outcome.RELEASED_FULL}),
    (Step.FLUSH, Step.FLUSH): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.R17, Step.R17): frozenset({_OK}),
    (Step.AROUND, Step.AROUND): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.TABLE, Step.TABLE): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.R18, Step.R18): frozenset({_OK, Outcome.BUS_ERROR}),
    (Step.UNDO, Step.UNDO): frozenset(Outcome) - {_OK, Outcome.MAPPED},
    (Step.HANDOVER, Step.HANDOVER): frozenset(Outcome) - {_OK, Outcome.MAPPED},
    (Step.ANSWER, Step.ANSWER): frozenset(Outcome),
    (Step.MM_READ_LOCK, Step.MM_READ_LOCK): frozenset({_OK, Outcome.MM_BUSY}),
    (Step.MM_READ_UNLOCK, Step.MM_READ_UNLOCK): frozenset(Outcome),
}
# fmt: on
"""(first, last) to the outcomes that end so: "when `outcome` is not OK, `last` is the step that failed"."""

_HANDLERS: dict[int, Callable[[State, Fault, Sequence[int], Outcome], None]] = {
    Step.R0: begin,
    Step.R1: find,
    Step.R3: fields,
    Step.R7: walked,
    Step.PAGE: looked_up,
    Step.R8: allocate,
    Step.FILL: filled,
    Step.R10: check,
    Step.R13: lock,
    Step.R14: recheck,
    Step.R16: commit,
    Step.R17: set_alone,
    Step.CLEAR: cleared,
    Step.FLUSH: flushed,
    Step.AROUND: mapped_around,
    Step.TABLE: hung,
    Step.R18: unlock,
    Step.UNDO: undone,
    Step.HANDOVER: handed_over,
    Step.ANSWER: answered,
    Step.MM_READ_LOCK: read_lock,
    Step.MM_READ_UNLOCK: read_unlock,
}


def reader_event(state: State, fault: Fault, event: Sequence[int]) -> None:
    """Take the steps that an event (first last agent outcome ..) of this fault's context stands for, or raise `NotAllowed`."""
    first, last, _, outcome = event[:4]
    allowed = SHAPES.get((first, last))
    if allowed is None or outcome not in allowed:
        raise NotAllowed("no event has this first and last step with this outcome")
    if Step.R0 < first <= Step.R18 or Step.PAGE <= first <= Step.TABLE:
        expect_phase(fault, Phase(first))
    handler = walked_and_allocated if first == Step.R7 < last else _HANDLERS[first]
    handler(state, fault, event, _OUTCOMES[outcome])
