"""Steps R0 to R7: find the VMA, take the snapshot, walk. Nothing here is visible to others. [protocol.md 0.2]"""

from typing import TYPE_CHECKING

from amaranth import Cat, Const, Module, Mux, Value

from .fault_context import AfterStep, ContextState, Policy
from .fault_exit import give_up
from .fault_pages import take_frame
from .messages import Outcome, Step, WalkOutcome
from .paging import EXCLUSIVE, UFFD_WP, Access

if TYPE_CHECKING:
    from .fault_steps import FaultSteps


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
    with m.If(~c.reading):
        m.d.comb += [s.enter.eq(1), s.next.reading.eq(1), s.next.bank.eq(s.enter_bank)]
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
    fields, flags, r = s.found.fields, s.flags, s.request
    m.d.comb += [s.event.data.eq(Cat(fields.flags, fields.page_prot)), s.next.page_prot.eq(fields.page_prot)]
    readable = flags.read | flags.write | flags.exec
    allowed = Mux(s.is_store, flags.write, Mux(r.access == Access.FETCH, flags.exec, readable))
    with m.If(flags.huge | flags.growsdown):
        s.abort(m, Step.R3, Mux(flags.huge, Outcome.HUGE, Outcome.UNSUPPORTED))
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
    """R7: what the walk ended at decides what the fault does; a sufficient entry is the answer. [docs/software-contract.md, Frames]"""
    s.emit(m, Step.R7)
    m.d.comb += [field.eq(0) for field in (s.next.table, s.next.mapped, s.next.keeps, s.next.around)]
    with m.If(s.context.known):
        m.d.comb += [s.event.addr.eq(s.request.pte_addr), s.next.pte_addr.eq(s.request.pte_addr)]
        _empty(m, s)
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
            with m.Elif((walked.level != 0) | pte.n):
                s.abort(m, Step.R7, Outcome.HUGE)
            with m.Else():
                _mapped(m, s)
        with m.Case(WalkOutcome.NONE):
            with m.If(Value.cast(pte).any()):  # V=0 with content (a swap entry, say) belongs to software
                s.abort(m, Step.R7, Outcome.PRESENT)
            with m.Elif(walked.level == 0):
                _empty(m, s)
            with m.Elif(s.is_atomic):
                s.abort(m, Step.R7, Outcome.NO_TABLE)
            with m.Else():
                m.d.comb += s.next.table.eq(1)
                s.go(m, ContextState.ALLOCATE)
        with m.Case(WalkOutcome.BUS_ERROR):
            s.abort(m, Step.R7, Outcome.BUS_ERROR)
        with m.Case(WalkOutcome.NO_SPACE):
            s.abort(m, Step.R7, Outcome.NO_TABLE)
        with m.Default():
            s.abort(m, Step.R7, Outcome.BAD_TABLE)


def _empty(m: Module, s: "FaultSteps") -> None:
    """Anonymous memory is allocated in the same step; a page of a file is looked up first."""
    with m.If(~s.flags.is_anonymous()):
        m.d.comb += s.look.eq(1)
        s.go(m, ContextState.PAGE, AfterStep.WAIT)
    with m.Elif(s.flags.uffd):
        s.abort(m, Step.R7, Outcome.USERFAULT)
    with m.Else():
        s.emit(m, Step.R7, Step.R9)
        take_frame(m, s, pooled=s.is_store, copied=Const(0), other=s.zero_frame)


def _mapped(m: Module, s: "FaultSteps") -> None:
    """A right is missing, or A or D: the entry's frame stays if nobody else maps it, or all who map it share it."""
    pte, flags = s.walked.pte, s.flags
    keeps = ~s.is_store | pte.w | pte.rsw[EXCLUSIVE] | flags.shared
    m.d.comb += [s.next.mapped.eq(1), s.next.keeps.eq(keeps)]
    with m.If(s.is_store & pte.rsw[UFFD_WP] & flags.uffd_wp):
        s.abort(m, Step.R7, Outcome.USERFAULT)
    with m.Elif(~keeps & s.is_atomic & (pte.ppn != s.zero_frame)):
        s.abort(m, Step.R7, Outcome.PRESENT)
    with m.Elif(s.is_store & ~pte.w & ~pte.rsw[EXCLUSIVE] & flags.shared):
        m.d.comb += s.look.eq(1)
        s.go(m, ContextState.PAGE, AfterStep.WAIT)
    with m.Else():
        s.go(m, ContextState.ALLOCATE)


def _already_mapped(m: Module, s: "FaultSteps") -> None:
    """Somebody else resolved it: answer from the entry that was read, without a fill (it is not checked under the lock)."""
    m.d.comb += [
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
