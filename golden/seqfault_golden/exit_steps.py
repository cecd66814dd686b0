"""The ways out of an attempt, and the mm lock as readers take it. [protocol.md 0.2 "on failure"; contract, Steps and outcomes]

The functions follow the rules of `find_steps`: `NotAllowed`, or the step's change.
"""

from .layout import Outcome, Status
from .state import LAST_ATTEMPT, RETRIED, Fault, NotAllowed, Phase, State, expect_phase

__all__ = ["answer", "handover", "mm_read_lock", "mm_read_unlock", "undo"]


def undo(state: State, fault: Fault, reason: Outcome, frame: int, owned: bool) -> None:
    """ "undo R9": "lock dropped and frame returned"; exactly the frame that was taken, so that none leaks (I4)."""
    expect_phase(fault, Phase.FAILED)
    if reason != fault.reason:
        raise NotAllowed(f"UNDO for {reason.name}, the attempt failed with {fault.reason.name}")
    if owned != fault.owned:
        raise NotAllowed(f"UNDO {'returns a frame that was not taken' if owned else f'leaks frame {fault.frame:#x}'}")
    if owned:
        if frame != fault.frame:
            raise NotAllowed(f"UNDO returns frame {frame:#x}, taken was {fault.frame:#x}")
        del state.frames.taken[frame]
        state.frames.free.add(frame)
        fault.owned = False
    if fault.locked:
        del state.pte_locks[fault.locked]
        fault.locked = 0
    fault.holds_vma = False
    fault.phase = Phase.UNDONE


def mm_read_lock(state: State, fault: Fault, outcome: Outcome, space: int) -> None:
    """ "Per space: one writer or many readers"; MM_BUSY: "a reader that waited mm_lock_patience cycles hands the fault to software"."""
    if fault.phase == Phase.UNDONE:
        if fault.reason not in RETRIED or fault.attempt + 1 < state.classic_from():
            raise NotAllowed(f"mm lock after attempt {fault.attempt} failed with {fault.reason.name}")
        if space != fault.space:
            raise NotAllowed(f"mm lock of space {space}, the fault is in space {fault.space}")
    elif fault.phase != Phase.IDLE or fault.known:
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")
    elif state.policy != "mm-lock":
        raise NotAllowed(f"mm lock before the first attempt under policy {state.policy}")
    if fault.holds_read_lock:
        raise NotAllowed("mm lock taken twice")
    if outcome == Outcome.MM_BUSY:
        # a writer holds it, or held it since the fault began to wait, or one waits for the readers of now
        if space not in state.mm_writers and not state.mm_readers.get(space) and state.mm_released.get(space, 0) <= fault.began:
            raise NotAllowed(f"MM_BUSY although nobody holds the mm lock of space {space}")
        fault.space = space
        fault.reason = outcome
        fault.phase = Phase.REFUSED
        return
    if space in state.mm_writers:
        raise NotAllowed(f"a reader takes the mm lock of space {space}, which a writer holds")
    state.mm_readers.setdefault(space, set()).add(fault.agent)
    fault.space = space
    fault.holds_read_lock = True


def mm_read_unlock(state: State, fault: Fault, space: int) -> None:
    """After the commit, the undo, or when the page was found mapped."""
    if fault.phase not in (Phase.UNDONE, Phase.MAPPED, Phase.COMMITTED):
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")
    if not fault.holds_read_lock or space != fault.space:
        raise NotAllowed(f"context {fault.agent} does not hold the mm lock of space {space}")
    state.mm_readers[space].discard(fault.agent)
    fault.holds_read_lock = False
    if fault.phase == Phase.COMMITTED:
        fault.phase = Phase.IDLE
        fault.known = False


def handover(state: State, fault: Fault, outcome: Outcome) -> None:
    """ "page request written; outcome = reason, or QUEUE_FULL / BUS_ERROR". Handed over is all that another attempt cannot help."""
    if fault.phase not in (Phase.UNDONE, Phase.REFUSED):
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")
    if fault.holds_read_lock:
        raise NotAllowed("HANDOVER under the mm lock: it releases everything first")
    if fault.reason in RETRIED and fault.attempt < LAST_ATTEMPT:
        raise NotAllowed(f"HANDOVER after {fault.reason.name}, which calls for another attempt")
    if outcome not in (fault.reason, Outcome.QUEUE_FULL, Outcome.BUS_ERROR):
        raise NotAllowed(f"HANDOVER for {outcome.name}, the fault failed with {fault.reason.name}")
    if outcome == Outcome.BUS_ERROR and fault.reason != outcome and not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")
    fault.reason = outcome
    fault.phase = Phase.HANDED


def answer(state: State, fault: Fault, outcome: Outcome, status: int) -> None:
    """ "final answer without commit": RETRY after a page request, OK when the page was mapped already."""
    if fault.phase == Phase.MAPPED:
        expected = Status.OK
    elif fault.phase == Phase.HANDED:
        expected = Status.RETRY
    else:
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")
    if fault.holds_read_lock:
        raise NotAllowed("ANSWER under the mm lock")
    if (outcome, status) != (fault.reason, expected):
        raise NotAllowed(f"ANSWER {outcome.name} with status {status}, not {fault.reason.name} with {expected.name}")
    fault.phase = Phase.IDLE
    fault.known = False
