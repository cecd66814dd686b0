"""A context's steps R8 to R18: what to map, the checks, the lock, the commit; on memory as it is now."""

from typing import TYPE_CHECKING

from ..layout import FRAME_FROM_POOL, PAGE_BITS, Outcome, RequestFlag, Status, Step
from ..page_cache import is_mappable, slot_ppn
from ..protocol.around import around_pte, neighbours, window_address
from ..protocol.commit_steps import (
    around,
    clear,
    fill,
    flush,
    needs_frame,
    r8,
    r9,
    r10,
    r11,
    r12,
    r13,
    r14,
    r15,
    r16,
    r17,
    r18,
    table,
)  # fmt: skip
from ..protocol.plan import copies
from ..protocol.world import Phase
from .context import Context, Request
from .ending import conclude
from .tell import tell

if TYPE_CHECKING:
    from .engine import Engine

__all__ = [
    "allocate", "check", "clear_entry", "commit", "fill_frame", "flush_page", "hang_table", "lock", "map_around", "recheck", "set_entry", "unlock",
]  # fmt: skip

_OK = Outcome.OK


def allocate(engine: "Engine", c: Context, request: Request) -> None:
    """R8-R9."""
    world = engine.world
    seq = world.sequence(c.id)
    outcome = r8(world, c)
    if outcome != _OK:
        return tell(engine, c, Step.R8, Step.R8, outcome, seq=seq)
    outcome = r9(world, c, world.offered_frame(copies=copies(c.plan)) if needs_frame(c) else None)
    frame = c.frame | FRAME_FROM_POOL if c.owned else c.frame
    tell(engine, c, Step.R8, Step.R9, outcome, seq=seq, data=frame if outcome == _OK else 0)


def fill_frame(engine: "Engine", c: Context, request: Request) -> None:
    """FILL."""
    fill(engine.world, c)
    source = c.source | FRAME_FROM_POOL if copies(c.plan) else 0
    tell(engine, c, Step.FILL, Step.FILL, addr=c.frame << PAGE_BITS, data=source)


def check(engine: "Engine", c: Context, request: Request) -> None:
    """R10-R12."""
    world = engine.world
    seq = world.sequence(c.id)
    r10(world, c)
    last, outcome = Step.R11, r11(world, c)
    if outcome == _OK:
        last, outcome = Step.R12, r12(world, c)
    tell(engine, c, Step.R10, last, outcome, seq=seq)


def lock(engine: "Engine", c: Context, request: Request) -> None:
    """R13: "parked until an unlock, then R10 again", so many rounds."""
    table = engine.world.table_of(c.entry_address)
    patient = c.rounds < engine.lock_rounds and not request.flags & RequestFlag.ATOMIC
    outcome = r13(engine.world, c, patient)
    if outcome == Outcome.PTL_WAIT:
        c.rounds += 1
        c.parked = table
    tell(engine, c, Step.R13, Step.R13, outcome, addr=table)


def recheck(engine: "Engine", c: Context, request: Request) -> None:
    """R14-R15."""
    seq = engine.world.sequence(c.id)
    outcome = r14(engine.world, c)
    if outcome == _OK:
        r15(engine.world, c)
    tell(engine, c, Step.R14, Step.R15 if outcome == _OK else Step.R14, outcome, seq=seq)


def commit(engine: "Engine", c: Context, request: Request) -> None:
    """R16-R17."""
    outcome = r16(engine.world, c)
    if outcome != _OK:
        return tell(engine, c, Step.R16, Step.R16, outcome)
    r17(engine.world, c)
    tell(engine, c, Step.R16, Step.R17, addr=c.entry_address, data=c.pte)


def clear_entry(engine: "Engine", c: Context, request: Request) -> None:
    """CLEAR; the released ring gets the old entry with it."""
    outcome = clear(engine.world, c)
    data = c.entry if outcome == _OK else 0
    tell(engine, c, Step.CLEAR, Step.CLEAR, outcome, addr=c.entry_address, data=data)


def flush_page(engine: "Engine", c: Context, request: Request) -> None:
    """FLUSH."""
    flush(engine.world, c)
    tell(engine, c, Step.FLUSH, Step.FLUSH, addr=c.entry_address)


def set_entry(engine: "Engine", c: Context, request: Request) -> None:
    """R17 alone."""
    r17(engine.world, c)
    tell(engine, c, Step.R17, Step.R17, addr=c.entry_address, data=c.pte)


def map_around(engine: "Engine", c: Context, request: Request) -> None:
    """AROUND: every entry of the window that is 0 and whose slot may be mapped for a load."""
    window, mask, entries = window_address(c.entry_address), 0, []
    for page in neighbours(request.vpn, c.start, c.end, c.slot, c.entry_address):
        slot = engine.read(page.slot)
        if is_mappable(slot) and not engine.read(page.entry):
            entries.append((page.entry, around_pte(c.page_prot, slot_ppn(slot))))
            mask |= 1 << (page.entry - window) // 8
    around(engine.world, c, entries)
    tell(engine, c, Step.AROUND, Step.AROUND, addr=window, data=mask)


def hang_table(engine: "Engine", c: Context, request: Request) -> None:
    """TABLE: walks that began before see the empty entry, which C2 and C4 notice."""
    table(engine.world, c)
    c.rounds, c.invalidated = 0, False
    tell(engine, c, Step.TABLE, Step.TABLE, addr=c.entry_address, data=c.pte)


def unlock(engine: "Engine", c: Context, request: Request) -> None:
    """R18."""
    r18(engine.world, c)
    tell(engine, c, Step.R18, Step.R18, addr=c.entry_address, data=c.pte)
    engine.outside.committed(c)
    c.reason, c.level, c.entry = _OK, 0, c.pte
    if c.phase == Phase.IDLE:
        conclude(engine, c, request, Status.OK)
