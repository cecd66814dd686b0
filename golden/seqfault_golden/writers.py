"""Events of the command unit: which step with which observations each stands for."""

from collections.abc import Callable, Sequence

from . import writer_steps as steps
from .layout import EVERY_SPACE, Outcome, Step
from .state import NotAllowed, State

__all__ = ["writer_event"]

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""

_HANDLERS: dict[int, Callable[[State, Event], None]] = {
    Step.MM_LOCK: lambda s, e: steps.mm_lock(s, e[4]),
    Step.MM_UNLOCK: lambda s, e: steps.mm_unlock(s, e[4]),
    Step.SEQ_BEGIN: lambda s, e: steps.seq_begin(s, e[4], e[6], e[7]),
    Step.SEQ_END: lambda s, e: steps.seq_end(s, e[4], e[6], e[7]),
    Step.PTE_LOCK: lambda s, e: steps.pte_lock(s, e[8]),
    Step.PTE_UNLOCK: lambda s, e: steps.pte_unlock(s, e[8]),
    Step.PTE_CLEAR: lambda s, e: steps.pte_clear(s, e[4], e[5], e[8], e[9]),
    Step.PTE_PROTECT: lambda s, e: steps.pte_protect(s, e[4], e[5], e[8], e[9]),
    Step.INVALIDATE: lambda s, e: steps.invalidate(s, e[4], e[5], e[9]),
    Step.FENCE: lambda s, e: steps.fence(s, bool(e[9] & 1)),
    Step.SPACE_TABLE: lambda s, e: steps.space_table(s, e[4], e[9], e[6]),
    Step.SPACE_VMAS: lambda s, e: steps.space_vmas(s, e[4], e[9]),
    Step.ILLEGAL: lambda s, e: None,
}


def writer_event(state: State, event: Event) -> None:
    """Take the step that an event of the command unit stands for, or raise `NotAllowed`."""
    first, last, _, outcome, space = event[:5]
    handler = _HANDLERS.get(first)
    if handler is None or last != first:
        raise NotAllowed("the command unit has no such step")
    if outcome not in (Outcome.OK, Outcome.ILLEGAL if first == Step.ILLEGAL else Outcome.OK):
        raise NotAllowed("a step of the command unit cannot fail")
    if space >= state.spaces and not (first == Step.INVALIDATE and space == EVERY_SPACE) and first != Step.ILLEGAL:
        raise NotAllowed(f"there is no space {space}")
    handler(state, event)
    state.command_step = state.now
