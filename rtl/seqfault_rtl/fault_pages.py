"""Steps PAGE, R8, R9 and FILL: which frame the fault maps, and what is in it. Nothing here is visible to others. [protocol.md 0.2, 1.9, 1.11]"""

from typing import TYPE_CHECKING

from amaranth import Cat, Const, Module, Mux, Value

from .fault_context import AfterStep, ContextState
from .messages import Outcome, Step
from .paging import PPN_BITS

if TYPE_CHECKING:
    from .fault_steps import FaultSteps

__all__ = ["allocate", "fill", "page", "take_frame"]

FRAME_BIT = 63
"""Bit of the event data of R9 and UNDO that says that the frame came from the pool, and of FILL that it was copied into."""


def page(m: Module, s: "FaultSteps") -> None:
    """PAGE: only a page that is here, up to date and not locked goes on, as in `map_pages`. [protocol.md 1.8 A19]"""
    c, looked, slot, flags = s.context, s.looked, s.slot, s.flags
    absent = (looked.outcome == Outcome.NOT_CACHED) | ~(slot.present & slot.uptodate)
    s.emit(m, Step.PAGE)
    m.d.comb += [s.event.addr.eq(looked.addr), s.event.data.eq(looked.word)]
    with m.If((looked.outcome != Outcome.OK) & (looked.outcome != Outcome.NOT_CACHED)):
        s.abort(m, Step.PAGE, looked.outcome)
    with m.Elif(absent):
        s.abort(m, Step.PAGE, Mux(flags.uffd & ~c.mapped, Outcome.USERFAULT, Outcome.NOT_CACHED))
    with m.Elif(slot.locked):
        s.abort(m, Step.PAGE, Outcome.PAGE_BUSY)
    with m.Elif(flags.uffd_minor & ~c.mapped):
        s.abort(m, Step.PAGE, Outcome.USERFAULT)
    with m.Elif(s.is_store & flags.shared & ~slot.writable):
        s.abort(m, Step.PAGE, Outcome.NOT_WRITABLE)
    with m.Elif((c.mapped & (slot.ppn != s.walked.pte.ppn)) | (s.copies() & s.is_atomic)):
        s.abort(m, Step.PAGE, Outcome.PRESENT)
    with m.Else():
        m.d.comb += s.next.around.eq(~c.mapped & ~s.is_store & ~s.is_atomic & ~flags.has_userfaults())
        s.go(m, ContextState.ALLOCATE)


def allocate(m: Module, s: "FaultSteps") -> None:
    """R8, R9, where R7 could not go on at once."""
    c = s.context
    s.emit(m, Step.R8, Step.R9)
    pooled = c.table | s.copies() | (c.mapped & ~c.keeps)
    take_frame(m, s, pooled=pooled, copied=s.copies(), other=Mux(c.mapped, s.walked.pte.ppn, s.slot.ppn))


def take_frame(m: Module, s: "FaultSteps", *, pooled: Value, copied: Value, other: Value) -> None:
    """R8, R9: a frame of the pool, or an `other`; FILL follows if it is to be copied into, or to be zeroed and is not yet.

    A frame that came back after a copy is not zero any more, and whoever takes it from the pool would think so: it is copied into again.
    """
    zeroed, used = pooled & ~copied & s.unzeroed, copied & s.used_available
    m.d.comb += s.event.data.eq(0)
    with m.If(s.expect_unchanged(m, Step.R8, Outcome.CHANGED)):
        with m.If(pooled & ~used & (~s.frame_available | (zeroed & s.is_atomic))):
            s.abort(m, Step.R9, Outcome.POOL_EMPTY)
        with m.Else():
            frame = Mux(used, s.used_frame, Mux(pooled, s.frame, other))
            m.d.comb += [
                s.take_frame.eq(pooled & ~used),
                s.take_used.eq(used),
                s.next.owned.eq(pooled),
                s.next.frame.eq(frame),
                s.event.data.eq(Cat(frame, Const(0, FRAME_BIT - PPN_BITS), pooled)),
            ]
            with m.If(copied | zeroed):
                m.d.comb += [s.move.eq(1), s.move_copies.eq(copied)]
                s.go(m, ContextState.FILL, AfterStep.WAIT)
            with m.Else():
                s.go(m, ContextState.CHECK)


def fill(m: Module, s: "FaultSteps") -> None:
    """FILL: the frame holds what it shall."""
    s.emit(m, Step.FILL)
    m.d.comb += s.event.addr.eq(Cat(Const(0, 12), s.context.frame))
    with m.If(s.copies()):
        m.d.comb += s.event.data.eq(Cat(s.source, Const(0, FRAME_BIT - PPN_BITS), Const(1)))
    with m.If(s.move_error):
        s.abort(m, Step.FILL, Outcome.BUS_ERROR)
    with m.Else():
        s.go(m, ContextState.CHECK)
