"""Steps R0 to R9: find the VMA, take the snapshot, walk, allocate. Nothing here is visible to others. [protocol.md 0.2]"""

from typing import TYPE_CHECKING

from amaranth import Cat, Const, Module, Mux, Signal, Value

from .fault_context import AfterStep, ContextState, Policy
from .fault_exit import give_up
from .messages import Outcome, Step, WalkOutcome
from .paging import PPN_BITS, Access
from .vma_flags import VmaFlags

if TYPE_CHECKING:
    from .fault_steps import FaultSteps

FRAME_TAKEN_BIT = 63
"""Bit of R9's event data that says that the frame came from the pool."""


def begin(m: Module, s: "FaultSteps") -> None:
    """Choose between speculation and the mm lock."""
    with m.If(s.needs_mm_lock()):
        mm_lock(m, s)
    with m.Else():
        start_attempt(m, s)


def mm_lock(m: Module, s: "FaultSteps") -> None:
    """Take the mm lock as a reader, then begin; give up after `mm_lock_patience`, or at once if the fault must not wait."""
    with m.If(s.context.classic):
        start_attempt(m, s)
    with m.Elif(s.may_read):
        s.emit(m, Step.MM_READ_LOCK)
        m.d.comb += [s.acquire_mm.eq(1), s.next.classic.eq(1)]
        s.go(m, ContextState.MM_LOCK)
    with m.Elif(s.patience_over | s.request.flags.nowait | s.is_atomic):
        s.emit(m, Step.MM_READ_LOCK)
        m.d.comb += [s.event.outcome.eq(Outcome.MM_BUSY), s.next.outcome.eq(Outcome.MM_BUSY)]
        give_up(m, s)
    with m.Else():
        s.go(m, ContextState.MM_LOCK, AfterStep.PARK_MM)


def start_attempt(m: Module, s: "FaultSteps") -> None:
    """R0."""
    c, r = s.context, s.request
    s.emit(m, Step.R0)
    m.d.comb += [
        s.event.id.eq(0),
        s.event.data.eq(Cat(r.access, r.flags, r.port, r.tag, c.attempt, c.classic)),
        s.next.rounds.eq(0),
        s.pin.eq(1),
        s.find.eq(1),
    ]
    s.go(m, ContextState.FIND, AfterStep.WAIT)


def find(m: Module, s: "FaultSteps") -> None:
    """R1 to R6. The finder read the record under the sequence `found.seq`; it counts only if that is still current. Then the walk starts, unless
    that of the miss still stands."""
    c, found = s.context, s.found
    locked = s.policy == Policy.VMA_LOCK
    s.emit(m, Step.R1, Step.R6)
    m.d.comb += [
        s.sequence_id.eq(found.fields.id),
        s.event.id.eq(found.fields.id),
        s.event.addr.eq(found.record_addr),
        s.event.seq.eq(s.sequence),
        s.next.id.eq(found.fields.id),
        s.next.seq.eq(s.sequence),
    ]
    with m.If(found.outcome != Outcome.OK):
        m.d.comb += [s.event.id.eq(0), s.event.addr.eq(0), s.event.seq.eq(0), s.next.id.eq(0)]
        s.abort(m, Step.R1, found.outcome)
    with m.Elif(~c.classic & (s.is_odd() | (locked & ~s.vma_free))):
        s.abort(m, Step.R2, Outcome.ODD)
    with m.Elif(~c.classic & (s.sequence != found.seq)):
        s.abort(m, Step.R2, Outcome.CHANGED)
    with m.Else():
        with m.If(~c.classic & locked):
            m.d.comb += [s.hold_vma.eq(1), s.next.holds_vma.eq(1)]
        _fields(m, s)


def _fields(m: Module, s: "FaultSteps") -> None:
    """R3 to R6 on the record as it was read."""
    fields, r = s.found.fields, s.request
    flags = Signal(VmaFlags)
    m.d.comb += [
        flags.eq(fields.flags),
        s.event.data.eq(Cat(fields.flags, fields.page_prot)),
        s.next.page_prot.eq(fields.page_prot),
    ]
    readable = flags.read | flags.write | flags.exec
    allowed = Mux(s.is_store, flags.write, Mux(r.access == Access.FETCH, flags.exec, readable))
    with m.If(~flags.is_served()):
        s.abort(m, Step.R3, Outcome.UNSUPPORTED)
    with m.Elif((r.vpn < fields.start) | (r.vpn >= fields.end)):
        s.abort(m, Step.R5, Outcome.BOUNDS)
    with m.Elif(~allowed):
        s.abort(m, Step.R6, Outcome.ACCESS)
    with m.Else():
        m.d.comb += [s.watch.eq(1), s.next.known.eq(s.is_walk_known())]
        with m.If(s.is_walk_known()):
            s.go(m, ContextState.WALK)
        with m.Else():
            m.d.comb += s.walk.eq(1)
            s.go(m, ContextState.WALK, AfterStep.WAIT)


def walk(m: Module, s: "FaultSteps") -> None:
    """R7 to R9: only an empty leaf entry goes on; a sufficient one is the answer."""
    s.emit(m, Step.R7, Step.R9)
    with m.If(s.context.known):
        m.d.comb += [s.event.addr.eq(s.request.pte_addr), s.next.pte_addr.eq(s.request.pte_addr)]
        _allocate(m, s)
    with m.Else():
        m.d.comb += [s.event.addr.eq(s.walked.pte_addr), s.next.pte_addr.eq(s.walked.pte_addr)]
        _walked(m, s)


def _walked(m: Module, s: "FaultSteps") -> None:
    """R7 by a walk of its own."""
    walked, pte = s.walked, s.walked.pte
    m.d.comb += s.event.data.eq(pte)
    with m.Switch(walked.outcome):
        with m.Case(WalkOutcome.LEAF):
            with m.If(pte.permits(s.request.access)):
                _already_mapped(m, s)
            with m.Elif(walked.level != 0):
                s.abort(m, Step.R7, Outcome.HUGE)
            with m.Else():
                s.abort(m, Step.R7, Outcome.PRESENT)
        with m.Case(WalkOutcome.NONE):
            with m.If(walked.level != 0):
                s.abort(m, Step.R7, Outcome.NO_TABLE)
            with m.Elif(Value.cast(pte).any()):  # V=0 with content (a swap entry, say) belongs to software
                s.abort(m, Step.R7, Outcome.PRESENT)
            with m.Else():
                _allocate(m, s)
        with m.Case(WalkOutcome.BUS_ERROR):
            s.abort(m, Step.R7, Outcome.BUS_ERROR)
        with m.Default():
            s.abort(m, Step.R7, Outcome.BAD_TABLE)


def _already_mapped(m: Module, s: "FaultSteps") -> None:
    """Somebody else resolved it: answer from the entry that was read, without a fill (it is not checked under the lock)."""
    m.d.comb += [
        s.event.last.eq(Step.R7),
        s.event.outcome.eq(Outcome.MAPPED),
        s.next.outcome.eq(Outcome.MAPPED),
        s.unpin.eq(1),
        s.drop_vma.eq(s.context.holds_vma),
        s.next.holds_vma.eq(0),
    ]
    with m.If(s.context.classic):
        s.go(m, ContextState.MM_UNLOCK)
    with m.Else():
        s.go(m, ContextState.ANSWER)


def _allocate(m: Module, s: "FaultSteps") -> None:
    """R8, R9: a store takes a frame from the pool, a read maps the shared zero frame."""
    m.d.comb += s.event.data.eq(0)
    s.go(m, ContextState.CHECK)
    with m.If(s.expect_unchanged(m, Step.R8, Outcome.CHANGED)):
        with m.If(s.is_store & ~s.frame_available):
            s.abort(m, Step.R9, Outcome.POOL_EMPTY)
        with m.Else():
            frame = Mux(s.is_store, s.frame, s.zero_frame)
            m.d.comb += [
                s.take_frame.eq(s.is_store),
                s.next.owned.eq(s.is_store),
                s.next.frame.eq(frame),
                s.event.data.eq(Cat(frame, Const(0, FRAME_TAKEN_BIT - PPN_BITS), s.is_store)),
            ]
