"""A fault context's turn: the step group that is next, taken on what memory holds now. [contract, Steps and outcomes]

The steps are those of `protocol`; here is only what they are given, and the event that tells of them. A step that has to wait raises `NotYet`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..layout import FRAME_FROM_POOL, Outcome, RequestBits, RequestFlag, Status, Step, StepEvent, leaf_pa
from ..lookups import NO_TABLE_LEVEL, find_vma, read_record, walk
from ..protocol import exit_steps
from ..protocol.commit_steps import needs_frame, r8, r9, r10, r11, r12, r13, r14, r15, r16, r17, r18
from ..protocol.find_steps import r0, r1, r2, r3, r4, r5, r6, r7
from ..protocol.world import NotYet, Phase, Safeguard, classic_from, fail, is_final, keeps, may_be_handed_over
from .context import Context, Request

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["take_step"]

_OK = Outcome.OK


def take_step(engine: "Engine", context: Context) -> None:
    """Take the next step group of a context that serves a request; raises `NotYet` when it has to wait."""
    assert context.request is not None
    _HANDLERS[context.phase](engine, context, context.request)
    engine.world.attempt_moved(context)


def _emit(
    engine: "Engine", context: Context, first: Step, last: Step, outcome: Outcome = _OK, *, seq: int = 0, addr: int = 0, data: int = 0,
) -> None:  # fmt: skip
    request = context.request
    assert request is not None
    vma_id = 0 if first == Step.R0 else context.id
    engine.observe(StepEvent(first, last, context.agent, outcome, request.space, request.vpn, vma_id, seq, addr, data))


# --- begin and find -------------------------------------------------------------------------------------------------


def _begin(engine: "Engine", c: Context, request: Request) -> None:
    """R0, or what comes before it: the mm lock released or taken, or the page request when no attempt is left."""
    if c.phase == Phase.UNDONE:
        if c.holds_read_lock and c.classic:
            return _read_unlock(engine, c, request)
        if is_final(engine.world, c):
            return _hand_over(engine, c, request)
    following = c.attempt + 1 if c.phase == Phase.UNDONE else 0
    classic = following >= classic_from(engine.world) and keeps(engine.world, Safeguard.MAX_RETRIES)
    if classic and not c.holds_read_lock:
        return _read_lock(engine, c, request)
    r0(engine.world, c)
    c.rounds = 0
    bits = RequestBits(request.access, request.flags, request.port, request.tag, c.attempt, c.classic)
    _emit(engine, c, Step.R0, Step.R0, data=bits.encode())


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
        _emit(engine, c, Step.MM_READ_LOCK, Step.MM_READ_LOCK, Outcome.MM_BUSY)
    else:
        c.classic = False  # until R0 says so
        _emit(engine, c, Step.MM_READ_LOCK, Step.MM_READ_LOCK)
    c.waits_since = None


def _find(engine: "Engine", c: Context, request: Request) -> None:
    """R1-R2."""
    world = engine.world
    found, record, vma_id = find_vma(engine.read, world.vmas[request.space], request.vpn)
    c.id = vma_id
    if r1(world, c, found, record, vma_id) != _OK:
        return _emit(engine, c, Step.R1, Step.R1, found)
    seq = world.sequence(c.id)
    _emit(engine, c, Step.R1, Step.R2, r2(world, c), seq=seq, addr=record)


def _fields(engine: "Engine", c: Context, request: Request) -> None:
    """R3-R6."""
    world, record = engine.world, read_record(engine.read, c.record)
    last, outcome = Step.R3, r3(world, c, record.flags)
    if outcome == _OK:
        r4(world, c, record.page_prot)
        last, outcome = Step.R5, r5(world, c, record.start <= request.vpn < record.end)
    if outcome == _OK:
        last, outcome = Step.R6, r6(world, c)
        c.invalidated = False
    _emit(engine, c, Step.R3, last, outcome, seq=c.seq, addr=record.page_prot, data=record.flags)


def _walk(engine: "Engine", c: Context, request: Request) -> None:
    """R7. A space that has lost its table meanwhile has NO_TABLE."""
    address, entry, c.level = walk(engine.read, engine.world.tables[request.space], request.vpn)
    outcome = fail(c, Outcome.NO_TABLE) if c.level == NO_TABLE_LEVEL else r7(engine.world, c, c.level, address, entry)
    _emit(engine, c, Step.R7, Step.R7, outcome, addr=address, data=entry)


# --- allocate, check, commit ----------------------------------------------------------------------------------------


def _allocate(engine: "Engine", c: Context, request: Request) -> None:
    """R8-R9."""
    world = engine.world
    seq = world.sequence(c.id)
    outcome = r8(world, c)
    if outcome != _OK:
        return _emit(engine, c, Step.R8, Step.R8, outcome, seq=seq)
    outcome = r9(world, c, world.offered_frame() if needs_frame(c) else None)
    frame = c.frame | FRAME_FROM_POOL if c.owned else c.frame
    _emit(engine, c, Step.R8, Step.R9, outcome, seq=seq, data=frame if outcome == _OK else 0)


def _check(engine: "Engine", c: Context, request: Request) -> None:
    """R10-R12."""
    world = engine.world
    seq = world.sequence(c.id)
    r10(world, c)
    last, outcome = Step.R11, r11(world, c)
    if outcome == _OK:
        last, outcome = Step.R12, r12(world, c)
    _emit(engine, c, Step.R10, last, outcome, seq=seq)


def _lock(engine: "Engine", c: Context, request: Request) -> None:
    """R13: "parked until an unlock, then R10 again", so many rounds."""
    table = engine.world.table_of(c.entry_address)
    patient = c.rounds < engine.lock_rounds and not request.flags & RequestFlag.ATOMIC
    outcome = r13(engine.world, c, patient)
    if outcome == Outcome.PTL_WAIT:
        c.rounds += 1
        c.parked = table
    _emit(engine, c, Step.R13, Step.R13, outcome, addr=table)


def _recheck(engine: "Engine", c: Context, request: Request) -> None:
    """R14-R15."""
    seq = engine.world.sequence(c.id)
    outcome = r14(engine.world, c)
    if outcome == _OK:
        r15(engine.world, c)
    _emit(engine, c, Step.R14, Step.R15 if outcome == _OK else Step.R14, outcome, seq=seq)


def _commit(engine: "Engine", c: Context, request: Request) -> None:
    """R16-R17."""
    outcome = r16(engine.world, c)
    if outcome != _OK:
        return _emit(engine, c, Step.R16, Step.R16, outcome)
    r17(engine.world, c)
    _emit(engine, c, Step.R16, Step.R17, addr=c.entry_address, data=c.pte)


def _unlock(engine: "Engine", c: Context, request: Request) -> None:
    """R18."""
    r18(engine.world, c)
    _emit(engine, c, Step.R18, Step.R18, addr=c.entry_address, data=c.pte)
    engine.outside.committed(c)
    c.reason, c.level, c.entry = _OK, 0, c.pte
    if c.phase == Phase.IDLE:
        _conclude(engine, c, request, Status.OK)


# --- the ways out ---------------------------------------------------------------------------------------------------


def _undo(engine: "Engine", c: Context, request: Request) -> None:
    """UNDO."""
    owned = c.owned
    exit_steps.undo(engine.world, c)
    returned = owned and c.frame not in engine.world.taken
    _emit(engine, c, Step.UNDO, Step.UNDO, Outcome(c.reason), data=c.frame | FRAME_FROM_POOL if returned else 0)


def _read_unlock(engine: "Engine", c: Context, request: Request) -> None:
    """MM_READ_UNLOCK."""
    committed = c.phase == Phase.COMMITTED
    exit_steps.mm_read_unlock(engine.world, c, request.space)
    _emit(engine, c, Step.MM_READ_UNLOCK, Step.MM_READ_UNLOCK)
    if committed:
        _conclude(engine, c, request, Status.OK)


def _hand_over(engine: "Engine", c: Context, request: Request) -> None:
    """HANDOVER: the record is in memory before the fault is answered; a fault that software cannot serve is refused instead."""
    if not may_be_handed_over(c):
        return _answer(engine, c, request)
    written = engine.outside.put_page_request(c)
    outcome = Outcome(c.reason) if written == _OK else written
    exit_steps.handover(engine.world, c, outcome)
    _emit(engine, c, Step.HANDOVER, Step.HANDOVER, outcome)


def _answer(engine: "Engine", c: Context, request: Request) -> None:
    """ANSWER, after the release of the mm lock."""
    if c.holds_read_lock:
        return _read_unlock(engine, c, request)
    status = exit_steps.answer(engine.world, c)
    _emit(engine, c, Step.ANSWER, Step.ANSWER, Outcome(c.reason), data=status)
    _conclude(engine, c, request, status)


def _conclude(engine: "Engine", c: Context, request: Request, status: Status) -> None:
    """The fault is done. `how`: by the attempt that ended it."""
    pa = leaf_pa(c.entry, c.level, request.va) if status == Status.OK else 0
    engine.outside.ended(c, status, exit_steps.how_ended(c, status), c.reason, pa)
    engine.free(c)


_HANDLERS: dict[int, Callable[["Engine", Context, Request], None]] = {
    Phase.IDLE: _begin,
    Phase.UNDONE: _begin,
    Phase.R1: _find,
    Phase.R3: _fields,
    Phase.R7: _walk,
    Phase.R8: _allocate,
    Phase.R10: _check,
    Phase.R13: _lock,
    Phase.R14: _recheck,
    Phase.R16: _commit,
    Phase.R18: _unlock,
    Phase.FAILED: _undo,
    Phase.REFUSED: _hand_over,
    Phase.HANDED: _answer,
    Phase.MAPPED: _answer,
    Phase.COMMITTED: _read_unlock,
}
