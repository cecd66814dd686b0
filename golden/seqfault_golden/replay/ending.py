"""How a context's attempt begins, and the ways out: R0, the mm lock, UNDO, HANDOVER, ANSWER."""

from typing import TYPE_CHECKING

from ..layout import FRAME_FROM_POOL, Outcome, RequestBits, RequestFlag, Status, Step, leaf_pa
from ..protocol import exit_steps
from ..protocol.find_steps import r0
from ..protocol.world import NotYet, Phase, Safeguard, classic_from, is_final, keeps, may_be_handed_over
from .context import Context, Request
from .tell import tell

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["begin", "conclude", "give_answer", "give_back", "hand_over", "read_unlock"]

_OK = Outcome.OK


def begin(engine: "Engine", c: Context, request: Request) -> None:
    """R0, or what comes before it: the mm lock released or taken, or the page request when no attempt is left."""
    if c.phase == Phase.UNDONE:
        if c.holds_read_lock and c.classic:
            return read_unlock(engine, c, request)
        if is_final(engine.world, c):
            return hand_over(engine, c, request)
    following = c.attempt + 1 if c.phase == Phase.UNDONE else 0
    classic = following >= classic_from(engine.world) and keeps(engine.world, Safeguard.MAX_RETRIES)
    if classic and not c.holds_read_lock:
        return _read_lock(engine, c, request)
    r0(engine.world, c)
    c.rounds = 0
    bits = RequestBits(request.access, request.flags, request.port, request.tag, c.attempt, c.classic)
    tell(engine, c, Step.R0, Step.R0, data=bits.encode())


def _read_lock(engine: "Engine", c: Context, request: Request) -> None:
    """MM_READ_LOCK: "`MM.LOCK` stops new readers"; who waited `mm_lock_patience` turns hands the fault to software (MM_BUSY)."""
    world, space = engine.world, request.space
    try:
        if space in world.mm_wanted:
            raise NotYet(f"a writer waits for the mm lock of space {space}")
        exit_steps.mm_read_lock(world, c, space)
    except NotYet:
        if c.waits_since is None:
            c.waits_since = engine.turns
        waits = not request.flags & (RequestFlag.NOWAIT | RequestFlag.ATOMIC)
        if waits and engine.turns < c.waits_since + engine.mm_lock_patience:
            raise
        exit_steps.mm_refused(world, c)
        tell(engine, c, Step.MM_READ_LOCK, Step.MM_READ_LOCK, Outcome.MM_BUSY)
    else:
        c.classic = False  # until R0 says so
        tell(engine, c, Step.MM_READ_LOCK, Step.MM_READ_LOCK)
    c.waits_since = None


def give_back(engine: "Engine", c: Context, request: Request) -> None:
    """UNDO."""
    owned = c.owned
    exit_steps.undo(engine.world, c)
    returned = owned and c.frame not in engine.world.taken
    tell(engine, c, Step.UNDO, Step.UNDO, Outcome(c.reason), data=c.frame | FRAME_FROM_POOL if returned else 0)


def read_unlock(engine: "Engine", c: Context, request: Request) -> None:
    """MM_READ_UNLOCK."""
    committed = c.phase == Phase.COMMITTED
    exit_steps.mm_read_unlock(engine.world, c, request.space)
    tell(engine, c, Step.MM_READ_UNLOCK, Step.MM_READ_UNLOCK)
    if committed:
        conclude(engine, c, request, Status.OK)


def hand_over(engine: "Engine", c: Context, request: Request) -> None:
    """HANDOVER: the record is in memory before the fault is answered; a fault that software cannot serve is refused instead."""
    if not may_be_handed_over(c):
        return give_answer(engine, c, request)
    written = engine.outside.put_page_request(c)
    outcome = Outcome(c.reason) if written == _OK else written
    exit_steps.handover(engine.world, c, outcome)
    tell(engine, c, Step.HANDOVER, Step.HANDOVER, outcome)


def give_answer(engine: "Engine", c: Context, request: Request) -> None:
    """ANSWER, after the release of the mm lock."""
    if c.holds_read_lock:
        return read_unlock(engine, c, request)
    status = exit_steps.answer(engine.world, c)
    tell(engine, c, Step.ANSWER, Step.ANSWER, Outcome(c.reason), data=status)
    conclude(engine, c, request, status)


def conclude(engine: "Engine", c: Context, request: Request, status: Status) -> None:
    """The fault is done. `how`: by the attempt that ended it."""
    pa = leaf_pa(c.entry, c.level, request.va) if status == Status.OK else 0
    engine.outside.ended(c, status, exit_steps.how_ended(c, status), c.reason, pa)
    engine.free(c)
