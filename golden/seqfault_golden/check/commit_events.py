"""Events of R8 to R15 and of the ways out: the outcome that the engine reports is the step's, or a more careful one that is allowed."""

from collections.abc import Callable, Sequence

from ..layout import FRAME_FROM_POOL, PAGE_BITS, Outcome, RequestFlag, Status, Step
from ..protocol.commit_steps import fill, needs_frame, r8, r9, r10, r11, r12, r13, r14, r15
from ..protocol.exit_steps import answer, handover, mm_read_lock, mm_read_unlock, mm_refused, undo
from ..protocol.plan import Plan, copies, zeroes
from ..protocol.world import NotAllowed, Phase, fail
from .find_events import expect_id, judge_walk
from .lookups import read_record, table_of
from .state import Fault, State, bus_error

__all__ = [
    "allocate", "answered", "check", "filled", "handed_over", "lock", "read_lock", "read_unlock", "recheck", "undone", "walked_and_allocated",
]  # fmt: skip

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""
_OK = Outcome.OK


def _same_sequence(
    state: State, fault: Fault, event: Event, outcome: Outcome, step: Callable[[State, Fault], Outcome], check: str,
) -> bool:  # fmt: skip
    """R8, C1 and C3 are decided by the sequence table of this instant; under a lock it is not looked at. True: the step passed."""
    seq, current = event[7], state.sequence(fault.id)
    if not fault.classic and seq != current:
        raise NotAllowed(f"{check} reports sequence {seq:#x} of VMA {fault.id}, it is {current:#x}")
    verdict = step(state, fault)
    if verdict == outcome:
        return verdict == _OK
    if fault.classic:
        raise NotAllowed(f"{check} fails under the mm lock, where the sequence is not looked at")
    if verdict == _OK:
        raise NotAllowed(f"{check} false abort: the sequence of VMA {fault.id} is {current:#x} as in the snapshot")
    raise NotAllowed(f"{check} passed although the sequence of VMA {fault.id} went from {fault.seq:#x} to {current:#x}")


def walked_and_allocated(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R7 to R9 in one: the walk ended at an empty leaf entry of anonymous memory."""
    expect_id(fault, event)
    judge_walk(state, fault, event[8], 0, _OK)
    if fault.plan not in (Plan.ZERO, Plan.POOL):
        raise NotAllowed(f"R7 to R9 in one event, but the fault needs {Plan(fault.plan).name}: R7 is an event of its own")
    allocate(state, fault, event, outcome)


def allocate(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R8-R9: the frame is one that software has offered, or the shared zero frame."""
    expect_id(fault, event)
    if not _same_sequence(state, fault, event, outcome if event[1] == Step.R8 else _OK, r8, "R8"):
        return
    owned, frame = event[9] >= FRAME_FROM_POOL, event[9] & ~FRAME_FROM_POOL
    if outcome == Outcome.POOL_EMPTY:
        if r9(state, fault, None) != outcome:
            raise NotAllowed("R9 POOL_EMPTY for an access that needs no frame of the pool")
        return
    if owned != needs_frame(fault):
        raise NotAllowed(f"R9 takes {'a' if owned else 'no'} frame of the pool for {Plan(fault.plan).name}")
    if owned and frame not in state.frames.free:
        place = state.frames.taken.get(frame, state.frames.home.get(frame))
        raise NotAllowed(f"R9 allocates frame {frame:#x}, which is {'not offered' if place is None else 'in use'}")
    if owned and frame in state.frames.used and zeroes(fault.plan) and not state.unzeroed:
        raise NotAllowed(f"R9 allocates frame {frame:#x} for {Plan(fault.plan).name}, although a page was copied into it: it holds no zeros")
    if r9(state, fault, frame) != _OK:
        raise NotAllowed("R9 takes a frame that is to be zeroed, which an ATOMIC fault must not do")
    if frame != fault.frame:
        raise NotAllowed(f"R9 maps frame {frame:#x}, not frame {fault.frame:#x} ({Plan(fault.plan).name})")


def filled(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """FILL: what was copied is what the walk or the page cache gave."""
    expect_id(fault, event)
    expected = fault.frame << PAGE_BITS, fault.source | FRAME_FROM_POOL if copies(fault.plan) else 0
    if (event[8], event[9]) != expected:
        raise NotAllowed(f"FILL of {event[8]:#x} with {event[9]:#x}, not of {expected[0]:#x} with {expected[1]:#x}")
    if outcome == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    fill(state, fault)


def check(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R10-R12. C2 may count any INVALIDATE since the walk began."""
    expect_id(fault, event)
    r10(state, fault)
    if not _same_sequence(state, fault, event, outcome if event[1] == Step.R11 else _OK, r11, "C1"):
        return
    if outcome == Outcome.WALK_C2:
        if state.invalidated <= fault.walk_began:
            raise NotAllowed("C2 false abort: no INVALIDATE since the walk began")
        fail(fault, outcome)
    elif r12(state, fault) != outcome:
        raise NotAllowed("C2 passed although an INVALIDATE hit this page since the walk began")


def lock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R13."""
    table = event[8]
    if table != table_of(fault.entry_address):
        raise NotAllowed(f"R13 locks table {table:#x}, the entry is in table {table_of(fault.entry_address):#x}")
    holder = state.lock_holder(table)
    verdict = r13(state, fault, outcome == Outcome.PTL_WAIT)
    if verdict != outcome:
        if holder is None:
            raise NotAllowed(f"R13 {outcome.name} although the lock of table {table:#x} is free")
        raise NotAllowed(f"R13 takes the lock of table {table:#x}, which agent {holder} holds")


def recheck(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R14-R15. Until here the record was as the snapshot has it."""
    expect_id(fault, event)
    if _same_sequence(state, fault, event, outcome, r14, "C3"):
        r15(state, fault)
        record = read_record(state.memory, fault.record)
        fault.start, fault.end = record.start, record.end


def undone(state: State, fault: Fault, event: Event, reason: Outcome) -> None:
    """UNDO returns exactly what was taken."""
    owned, frame = event[9] >= FRAME_FROM_POOL, event[9] & ~FRAME_FROM_POOL
    if fault.phase == Phase.FAILED:
        if reason != fault.reason:
            raise NotAllowed(f"UNDO for {reason.name}, the attempt failed with {Outcome(fault.reason).name}")
        if owned != fault.owned:
            raise NotAllowed(f"UNDO {'returns a frame that was not taken' if owned else f'leaks frame {fault.frame:#x}'}")
        if owned and frame != fault.frame:
            raise NotAllowed(f"UNDO returns frame {frame:#x}, taken was {fault.frame:#x}")
    undo(state, fault)


def handed_over(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """HANDOVER."""
    reason = fault.reason
    if not fault.known:  # refused the mm lock before R0, so its flags are not known
        fault.flags = RequestFlag.ALLOW_RETRY
    handover(state, fault, outcome)
    if outcome == Outcome.BUS_ERROR and reason != outcome and not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")


def answered(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """ANSWER."""
    status = event[9] & 3
    if not fault.known and status == Status.FAULT:
        fault.flags = 0
    expected = answer(state, fault)
    if (outcome, status) != (fault.reason, expected):
        raise NotAllowed(f"ANSWER {outcome.name} with status {status}, not {Outcome(fault.reason).name} with {expected.name}")
    fault.known = False


def read_lock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """MM_READ_LOCK. MM_BUSY: a writer holds it, or held it since the fault began to wait, or waits for it now: then MM_LOCK comes next."""
    space = event[4]
    if fault.phase == Phase.UNDONE and space != fault.space:
        raise NotAllowed(f"mm lock of space {space}, the fault is in space {fault.space}")
    if outcome == Outcome.MM_BUSY:
        mm_refused(state, fault)
        if not state.mm_writer(space) and state.mm_released.get(space, 0) <= fault.began:
            state.mm_claimed = space
    else:
        mm_read_lock(state, fault, space)
    fault.space = space


def read_unlock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """MM_READ_UNLOCK."""
    mm_read_unlock(state, fault, event[4])
    fault.known = fault.phase != Phase.IDLE
