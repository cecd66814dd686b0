"""Events of the command unit: what it reports is judged, and its step taken."""

from collections.abc import Callable, Sequence

from ..layout import COMMAND_UNIT, EVERY_SPACE, Outcome, Step
from ..protocol import writer_steps as steps
from ..protocol.world import NotAllowed
from . import software
from .lookups import walk
from .state import State

__all__ = ["writer_event"]

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""


def _section(state: State, event: Event, step: Callable[[State, int, int], int], name: str) -> None:
    space, vma_id, seq = event[4], event[6], event[7]
    current = step(state, space, vma_id)
    if seq != current:
        raise NotAllowed(f"{name} of VMA {vma_id} reports sequence {seq:#x}, it is {current:#x}")


def _leaf(state: State, event: Event, name: str) -> int:
    """Address of the event's entry, which is the leaf entry of its page."""
    space, vpn, address = event[4], event[5], event[8]
    if not state.mm_writer(space):
        raise NotAllowed(f"{name} without the mm lock of space {space}")
    here, _, level = walk(state.memory, space, vpn)
    if here != address or level != 0:
        raise NotAllowed(f"{name} of page {vpn:#x} at {address:#x}, a walk ends at {here:#x} (level {level})")
    return address


def _clear(state: State, event: Event) -> None:
    address = _leaf(state, event, "PTE_CLEAR")
    state.entry_read(address, event[9], state.now)
    entry = steps.pte_clear(state, address, COMMAND_UNIT)
    if event[9] != entry:
        raise NotAllowed(f"PTE_CLEAR of {address:#x} removes {event[9]:#x}, the entry is {entry:#x}")


def _fence(state: State, event: Event) -> None:
    """With PR; an A/D update counts as a walk."""
    if not event[9] & 1:
        return
    steps.fence(state)
    if state.update is not None and state.update.began < state.command_step:
        raise NotAllowed(f"FENCE completed while the A/D update of {state.update.address:#x}, which began before it, is running")


_HANDLERS: dict[int, Callable[[State, Event], None]] = {
    Step.MM_LOCK: lambda s, e: steps.mm_lock(s, e[4]),
    Step.MM_UNLOCK: lambda s, e: steps.mm_unlock(s, e[4]),
    Step.SEQ_BEGIN: lambda s, e: _section(s, e, steps.seq_begin, "SEQ_BEGIN"),
    Step.SEQ_END: lambda s, e: _section(s, e, steps.seq_end, "SEQ_END"),
    Step.PTE_LOCK: lambda s, e: steps.pte_lock(s, e[8], COMMAND_UNIT),
    Step.PTE_UNLOCK: lambda s, e: steps.pte_unlock(s, e[8], COMMAND_UNIT),
    Step.PTE_CLEAR: _clear,
    Step.PTE_PROTECT: lambda s, e: steps.pte_protect(s, _leaf(s, e, "PTE_PROTECT"), e[9], COMMAND_UNIT),
    Step.INVALIDATE: lambda s, e: s.invalidate(e[4], e[5], e[9]),
    Step.FENCE: _fence,
    Step.SPACE_TABLE: lambda s, e: software.space_table(s, e[4], e[9], e[6]),
    Step.SPACE_VMAS: lambda s, e: software.space_vmas(s, e[4], e[9]),
    Step.ILLEGAL: lambda s, e: None,
    Step.SRCU_CALL: lambda s, e: None,
    Step.PAGE_RESPONSE: lambda s, e: None,
}
_FAILURES: dict[int, int] = {Step.ILLEGAL: Outcome.ILLEGAL, Step.SRCU_CALL: Outcome.QUEUE_FULL}
"""Steps that may have another outcome than OK, and which. The state of SRCU and of page requests is kept in `promises`."""


def writer_event(state: State, event: Event) -> None:
    """Take the step that an event of the command unit stands for, or raise `NotAllowed`."""
    first, last, _, outcome, space = event[:5]
    handler = _HANDLERS.get(first)
    if handler is None or last != first:
        raise NotAllowed("the command unit has no such step")
    if outcome not in (Outcome.OK, _FAILURES.get(first, Outcome.OK)):
        raise NotAllowed("a step of the command unit cannot fail, or not so")
    if space >= state.spaces and not (first == Step.INVALIDATE and space == EVERY_SPACE) and first != Step.ILLEGAL:
        raise NotAllowed(f"there is no space {space}")
    if state.mm_claimed is not None:
        if (first, space) != (Step.MM_LOCK, state.mm_claimed):
            raise NotAllowed(f"no MM_LOCK of space {state.mm_claimed}, whose mm lock was MM_BUSY although nobody held it")
        state.mm_claimed = None
    handler(state, event)
    state.command_step = state.now
