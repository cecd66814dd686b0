"""Steps R10 to R18: the checks, the lock, the commit. Each is one cycle on on-chip state. [protocol.md 0.2, 1.4, 1.10]"""

from typing import TYPE_CHECKING

from amaranth import Cat, Const, Module, Mux

from .fault_context import AfterStep, ContextState
from .messages import Outcome, Step

if TYPE_CHECKING:
    from .fault_steps import FaultSteps


def check(m: Module, s: "FaultSteps") -> None:
    """R10 to R12: C1 by the counter, C2 by the invalidations seen since the walk began (`fault_tracking.py`)."""
    s.emit(m, Step.R10, Step.R12)
    s.go(m, ContextState.LOCK)
    with m.If(s.expect_unchanged(m, Step.R11, Outcome.CHANGED_C1) & s.stale):
        s.abort(m, Step.R12, Outcome.WALK_C2)


def lock(m: Module, s: "FaultSteps") -> None:
    """R13: try-lock; a busy lock sends the context back to R10 when some lock was released, unless it must not wait."""
    c = s.context
    s.emit(m, Step.R13)
    m.d.comb += s.event.addr.eq(Cat(Const(0, 12), c.pte_addr[12:]))
    with m.If(~s.lock_busy):
        m.d.comb += [s.acquire_lock.eq(1), s.next.locked.eq(1)]
        s.go(m, ContextState.RECHECK)
    with m.Elif((c.rounds == s.config.lock_rounds) | s.is_atomic):
        s.abort(m, Step.R13, Outcome.PTL_BUSY)
    with m.Else():
        m.d.comb += [s.event.outcome.eq(Outcome.PTL_WAIT), s.next.rounds.eq(c.rounds + 1)]
        s.go(m, ContextState.CHECK, AfterStep.PARK_LOCK)


def recheck(m: Module, s: "FaultSteps") -> None:
    """R14, R15: C3 under the lock."""
    s.emit(m, Step.R14, Step.R15)
    s.go(m, ContextState.COMMIT)
    s.expect_unchanged(m, Step.R14, Outcome.CHANGED_C3)


def commit(m: Module, s: "FaultSteps") -> None:
    """C4 by the changes seen since the walk began, then R17; or CLEAR, if the entry is to map another frame than before."""
    c = s.context
    m.d.comb += s.event.addr.eq(c.pte_addr)
    with m.If(c.mapped & ~c.keeps):
        _clear(m, s)
    with m.Else():
        s.emit(m, Step.R16, Step.R17)
        with m.If(s.has_raced()):
            s.abort(m, Step.R16, Outcome.RACED)
        with m.Else():
            m.d.comb += [s.event.data.eq(s.entry), s.write.eq(1), s.look_around.eq(c.around)]
            after = Mux(c.table, ContextState.TABLE, Mux(c.mapped, ContextState.FLUSH, Mux(c.around, ContextState.AROUND, ContextState.UNLOCK)))
            s.go(m, after, AfterStep.WAIT)


def _clear(m: Module, s: "FaultSteps") -> None:
    """CLEAR: the old frame goes to the released ring after this, so there must be room."""
    s.emit(m, Step.CLEAR)
    with m.If(s.has_raced()):
        s.abort(m, Step.CLEAR, Outcome.RACED)
    with m.Elif(s.releases() & ~s.released_ready):
        s.abort(m, Step.CLEAR, Outcome.RELEASED_FULL)
    with m.Else():
        m.d.comb += [s.event.data.eq(s.walked.pte), s.write.eq(1), s.write_zero.eq(1)]
        s.go(m, ContextState.FLUSH, AfterStep.WAIT)


def flush(m: Module, s: "FaultSteps") -> None:
    """FLUSH: the write is visible; no TLB keeps the entry before it. One invalidation at a time, and room for the old frame."""
    c = s.context
    m.d.comb += s.event.addr.eq(c.pte_addr)
    with m.If(s.write_error):  # nobody knows what the entry holds now
        s.emit(m, Step.FLUSH)
        m.d.comb += s.changed.eq(1)
        s.abort(m, Step.FLUSH, Outcome.BUS_ERROR)
    with m.Elif(s.flushing | (s.releases() & ~s.released_ready)):
        s.go(m, ContextState.FLUSH, AfterStep.PARK_FLUSH)
    with m.Else():
        s.emit(m, Step.FLUSH)
        m.d.comb += [s.flush.eq(1), s.release.eq(s.releases())]
        s.go(m, Mux(c.keeps, ContextState.UNLOCK, ContextState.SET), AfterStep.PARK_FLUSH)


def set_entry(m: Module, s: "FaultSteps") -> None:
    """R17 of an entry that was cleared."""
    s.emit(m, Step.R17)
    m.d.comb += [s.event.addr.eq(s.context.pte_addr), s.event.data.eq(s.entry), s.write.eq(1)]
    s.go(m, ContextState.UNLOCK, AfterStep.WAIT)


def around(m: Module, s: "FaultSteps") -> None:
    """AROUND: the pages around are mapped, and the entry itself has been written. An error there is not the fault's."""
    s.emit(m, Step.AROUND)
    m.d.comb += [s.event.addr.eq(s.surrounded.first_addr), s.event.data.eq(s.surrounded.mask), s.changed_around.eq(1)]
    with m.If(s.surrounded.error):
        m.d.comb += s.event.outcome.eq(Outcome.BUS_ERROR)
    s.go(m, ContextState.UNLOCK)


def table(m: Module, s: "FaultSteps") -> None:
    """TABLE: the table is visible; the walk begins again."""
    s.emit(m, Step.TABLE)
    m.d.comb += [s.event.addr.eq(s.context.pte_addr), s.event.data.eq(s.entry), s.changed_table.eq(1), s.next.owned.eq(0)]
    with m.If(s.write_error):
        s.abort(m, Step.TABLE, Outcome.BUS_ERROR)
    with m.Else():
        m.d.comb += [s.release_lock.eq(1), s.next.locked.eq(0), s.next.rounds.eq(0), s.next.known.eq(0), s.walk.eq(1), s.watch.eq(1)]
        s.go(m, ContextState.WALK, AfterStep.WAIT)


def unlock(m: Module, s: "FaultSteps") -> None:
    """R18: the entry is visible: unlock, fill the TLB and answer in one cycle, so that no invalidation can come between."""
    c = s.context
    s.emit(m, Step.R18)
    m.d.comb += [s.event.addr.eq(c.pte_addr), s.event.data.eq(s.entry), s.changed.eq(1)]
    with m.If(s.write_error):
        # nobody knows what the entry holds now: the frame is not used again
        m.d.comb += s.next.owned.eq(0)
        s.abort(m, Step.R18, Outcome.BUS_ERROR)
    with m.Else():
        m.d.comb += [
            s.release_lock.eq(1),
            s.next.locked.eq(0),
            s.next.owned.eq(0),
            s.unpin.eq(1),
            s.drop_vma.eq(c.holds_vma),
            s.next.holds_vma.eq(0),
            s.next.outcome.eq(Outcome.OK),
            s.fill.eq(1),
            s.answer.eq(1),
        ]
        with m.If(c.classic):
            s.go(m, ContextState.MM_UNLOCK)
        with m.Else():
            s.end(m)
