"""The ways out of an attempt, and the mm lock as readers take it. [protocol.md 0.2 "on failure"; contract, Steps and outcomes]

The functions follow the rules of `find_steps`: the step's change, or `NotAllowed`.
"""

from ..layout import How, Outcome, Status
from .plan import copies
from .world import Fault, NotAllowed, NotYet, Phase, Safeguard, World, classic_from, expect_phase, is_final, keeps, may_be_handed_over

__all__ = ["answer", "handover", "how_ended", "mm_read_lock", "mm_read_unlock", "mm_refused", "releases_first", "undo"]


def undo(world: World, fault: Fault) -> None:
    """ "undo R9": "lock dropped and frame returned", exactly the frame that was taken, so that none leaks (I4)."""
    expect_phase(fault, Phase.FAILED)
    if fault.owned and keeps(world, Safeguard.UNDO):
        world.return_frame(fault.frame, used=copies(fault.plan))
    fault.owned = False
    if fault.locked:
        world.drop_lock(fault.locked)
        fault.locked = 0
    fault.holds_vma = fault.pinned = False
    fault.phase = Phase.UNDONE


def _expect_turn_of_mm_lock(world: World, fault: Fault) -> None:
    """The next attempt is the first classic one."""
    if fault.phase == Phase.UNDONE:
        if is_final(world, fault) or fault.attempt + 1 < classic_from(world):
            raise NotAllowed(f"mm lock after attempt {fault.attempt} failed with {Outcome(fault.reason).name}")
    elif fault.phase != Phase.IDLE:
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    elif world.policy != "mm-lock":
        raise NotAllowed(f"mm lock before the first attempt under policy {world.policy}")
    if fault.holds_read_lock:
        raise NotAllowed("mm lock taken twice")


def mm_read_lock(world: World, fault: Fault, space: int) -> None:
    """ "Per space: one writer or many readers"."""
    _expect_turn_of_mm_lock(world, fault)
    if world.mm_writer(space):
        raise NotYet(f"a reader takes the mm lock of space {space}, which a writer holds")
    world.set_mm_reader(space, fault.agent, True)
    fault.holds_read_lock = True


def mm_refused(world: World, fault: Fault) -> None:
    """MM_BUSY: "a reader that waited mm_lock_patience cycles hands the fault to software"."""
    _expect_turn_of_mm_lock(world, fault)
    fault.reason = Outcome.MM_BUSY
    fault.phase = Phase.REFUSED


def mm_read_unlock(world: World, fault: Fault, space: int) -> None:
    """After the commit, the undo, or when the page was found mapped."""
    if fault.phase not in (Phase.UNDONE, Phase.MAPPED, Phase.COMMITTED):
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    if not fault.holds_read_lock or fault.agent not in world.mm_readers(space):
        raise NotAllowed(f"context {fault.agent} does not hold the mm lock of space {space}")
    world.set_mm_reader(space, fault.agent, False)
    fault.holds_read_lock = False
    if fault.phase == Phase.COMMITTED:
        fault.phase = Phase.IDLE


def releases_first(world: World, fault: Fault) -> bool:
    """The mm lock is to be dropped before the page request is written: software may need it to answer."""
    return fault.holds_read_lock and keeps(world, Safeguard.RELEASE_FIRST)


def handover(world: World, fault: Fault, outcome: Outcome) -> None:
    """ "page request written; outcome = reason, or QUEUE_FULL / BUS_ERROR". Handed over is all that another attempt cannot help."""
    if fault.phase not in (Phase.UNDONE, Phase.REFUSED):
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    if releases_first(world, fault):
        raise NotAllowed("HANDOVER under the mm lock: it releases everything first")
    if not is_final(world, fault):
        raise NotAllowed(f"HANDOVER after {Outcome(fault.reason).name}, which calls for another attempt")
    if not may_be_handed_over(fault):
        raise NotAllowed("HANDOVER of a fault that is to be refused: it is ATOMIC, or without ALLOW_RETRY")
    if outcome not in (fault.reason, Outcome.QUEUE_FULL, Outcome.BUS_ERROR):
        raise NotAllowed(f"HANDOVER for {outcome.name}, the fault failed with {Outcome(fault.reason).name}")
    fault.reason = outcome
    fault.phase = Phase.HANDED


def answer(world: World, fault: Fault) -> Status:
    """ "final answer without commit": RETRY after a page request, OK when the page was mapped already, FAULT when the fault is refused."""
    if fault.phase == Phase.MAPPED:
        status = Status.OK
    elif fault.phase == Phase.HANDED:
        status = Status.RETRY
    elif fault.phase in (Phase.UNDONE, Phase.REFUSED) and is_final(world, fault) and not may_be_handed_over(fault):
        status = Status.FAULT
    else:
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    if fault.holds_read_lock:
        raise NotAllowed("ANSWER under the mm lock")
    fault.phase = Phase.IDLE
    return status


def how_ended(fault: Fault, status: int) -> How:
    """An answer's `how`: by the attempt that ended the fault. [contract, Requests and answers]"""
    if status == Status.RETRY:
        return How.SOFTWARE
    if status == Status.FAULT:
        return How.TRANSLATED
    if fault.classic:
        return How.CLASSIC
    return How.RETRIED if fault.attempt else How.SPECULATIVE
