"""The reader's protocol as combinational steps: R0 to R18 of protocol.md 0.2, and the ways out.

`FaultSteps` looks at one context and says what its next step does, in one cycle: the context's next content, the event, and the strobes
for the blocks that hold the on-chip state. The fault unit applies them when the step slot is granted.
"""

from collections.abc import Callable
from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import fault_commit, fault_exit, fault_lookup, fault_pages
from .config import EngineConfig
from .fault_context import AfterStep, Context, ContextState, Policy
from .messages import AnswerStatus, ChangeCount, Event, FaultAnswer, FaultRequest, FindResponse, How, Outcome, Step, WalkResponse
from .miss_records import exception_of
from .page_messages import FaultAroundAnswer, PageLookupResponse, Slot
from .paging import EXCLUSIVE, PPN_BITS, Access, Pte
from .vma_flags import VmaFlags

__all__ = ["FaultSteps"]


class FaultSteps(wiring.Component):
    """One protocol step of one context, combinational.

    Members
    -------
    agent, request, context : the context to step: number, the fault, its state.
    found, walked, looked, handed, write_error, move_error, surrounded : what the finder, the walker, the page lookup, the page-request queue,
        memory, the mover and the fault-around answered last.
    sequence_id, sequence : combinational query: the sequence of that VMA id now. vma_free : no writer claims the VMA (policy vma-lock).
    stale : an invalidation touched the page since the walk began. raced : the page's leaf entry may have changed since then. table_raced : a
        table may have been made in the space since then.
    changes : combinational query: the count of changes for the fault's page now (`page_changes.py`).
    lock_busy : the leaf table's lock is held. may_read : the mm lock can be taken by a reader. patience_over : it was waited for too long.
    frame_available, frame, zero_frame, policy, unzeroed : the pool's next frame (PPN) and the settings (`unzeroed`: frames of the pool are).
    used_available, used_frame : a frame (PPN) that came back after a copy into it; taken before one of the pool, but only to be copied into.
    released_ready : the released ring takes a record. flushing : the TLBs are not done with the last invalidation.
    enter_bank : the bank that an SRCU reader enters now.
    next, after : what to store, and what the context waits for.
    event, event_valid : the step (none when the context parks for the mm lock).
    entry : the entry that this fault installs, made from the snapshot. flags, slot, source : the VMA's flags, the slot of the page, and the
        frame (PPN) that is copied.
    The other outputs are strobes, to be gated by the slot's grant.
    """

    STEPS: ClassVar[dict[ContextState, Callable[[Module, "FaultSteps"], None]]] = {
        ContextState.BEGIN: fault_lookup.begin,
        ContextState.MM_LOCK: fault_lookup.mm_lock,
        ContextState.FIND: fault_lookup.find,
        ContextState.WALK: fault_lookup.walk,
        ContextState.CHECK: fault_commit.check,
        ContextState.LOCK: fault_commit.lock,
        ContextState.RECHECK: fault_commit.recheck,
        ContextState.COMMIT: fault_commit.commit,
        ContextState.UNLOCK: fault_commit.unlock,
        ContextState.UNDO: fault_exit.undo,
        ContextState.MM_UNLOCK: fault_exit.mm_unlock,
        ContextState.HANDOVER: fault_exit.handover,
        ContextState.ANSWER: fault_exit.answer,
        ContextState.PAGE: fault_pages.page,
        ContextState.ALLOCATE: fault_pages.allocate,
        ContextState.FILL: fault_pages.fill,
        ContextState.FLUSH: fault_commit.flush,
        ContextState.SET: fault_commit.set_entry,
        ContextState.AROUND: fault_commit.around,
        ContextState.TABLE: fault_commit.table,
    }

    agent: In(6)
    request: In(FaultRequest)
    context: In(Context)
    found: In(FindResponse)
    walked: In(WalkResponse)
    looked: In(PageLookupResponse)
    handed: In(Outcome)
    write_error: In(1)
    move_error: In(1)
    surrounded: In(FaultAroundAnswer)
    sequence_id: Out(16)
    sequence: In(32)
    vma_free: In(1)
    stale: In(1)
    raced: In(1)
    table_raced: In(1)
    changes: In(ChangeCount)
    lock_busy: In(1)
    may_read: In(1)
    patience_over: In(1)
    frame_available: In(1)
    frame: In(PPN_BITS)
    used_available: In(1)
    used_frame: In(PPN_BITS)
    zero_frame: In(PPN_BITS)
    policy: In(Policy)
    unzeroed: In(1)
    released_ready: In(1)
    flushing: In(1)
    enter_bank: In(1)

    next: Out(Context)
    after: Out(AfterStep)
    event: Out(Event)
    event_valid: Out(1)
    entry: Out(Pte)
    flags: Out(VmaFlags)
    slot: Out(Slot)
    source: Out(PPN_BITS)
    find: Out(1)
    walk: Out(1)
    look: Out(1)
    move: Out(1)
    move_copies: Out(1)
    look_around: Out(1)
    watch: Out(1)
    enter: Out(1)
    leave: Out(1)
    take_frame: Out(1)
    take_used: Out(1)
    give_frame: Out(1)
    give_used: Out(1)
    hold_vma: Out(1)
    drop_vma: Out(1)
    acquire_lock: Out(1)
    release_lock: Out(1)
    acquire_mm: Out(1)
    release_mm: Out(1)
    pin: Out(1)
    unpin: Out(1)
    write: Out(1)
    write_zero: Out(1)
    release: Out(1)
    flush: Out(1)
    hand_over: Out(1)
    changed: Out(1)
    changed_around: Out(1)
    changed_table: Out(1)
    fill: Out(1)
    answer: Out(1)
    answer_record: Out(FaultAnswer)

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.flags.eq(self.found.fields.flags),
            self.slot.eq(self.looked.word),
            self.source.eq(Mux(self.context.mapped, self.walked.pte.ppn, self.slot.ppn)),
            self.sequence_id.eq(self.context.id),
            self.next.eq(self.context),
            self.event.agent.eq(self.agent),
            self.event.space.eq(self.request.space),
            self.event.vpn.eq(self.request.vpn),
            self.event.id.eq(self.context.id),
        ]
        self._compose_entry(m)
        self._compose_answer(m)
        with m.Switch(self.context.state):
            for state, step in self.STEPS.items():
                with m.Case(state):
                    step(m, self)
        return m

    def _compose_entry(self, m: Module) -> None:
        """A pointer to a new table; or a leaf with the rights of the snapshot, W for a store only, that keeps what the entry has if it stays."""
        c, old, template = self.context, self.walked.pte, Signal(Pte)
        stays = c.mapped & c.keeps
        with m.If(c.table):
            m.d.comb += self.entry.v.eq(1)
        with m.Else():
            m.d.comb += [
                template.eq(self.page_prot()),
                self.entry.eq(template),
                self.entry.a.eq(1),
                self.entry.d.eq(self.is_store),
                self.entry.w.eq(template.w & self.is_store),
                self.entry.rsw.eq(c.owned << EXCLUSIVE),
            ]
            with m.If(stays):
                m.d.comb += [
                    *(self.entry[right].eq(old[right] | template[right]) for right in ("r", "x", "u")),
                    self.entry.d.eq(old.d | self.is_store),
                    self.entry.w.eq(old.w | (template.w & self.is_store)),
                    self.entry.g.eq(old.g),
                    self.entry.rsw.eq(old.rsw),
                    self.entry.pbmt.eq(old.pbmt),
                ]
        m.d.comb += self.entry.ppn.eq(c.frame)

    def _compose_answer(self, m: Module) -> None:
        """The answer's fields as most steps need them: OK, with the page just committed or found mapped."""
        c, answer = self.context, self.answer_record.answer
        mapped = c.state == ContextState.ANSWER
        found = self.walked.pte.translate(Cat(self.request.offset, self.request.vpn), self.walked.size)
        m.d.comb += [answer.pa.eq(Cat(self.request.offset, c.frame)), answer.pbmt.eq(self.entry.pbmt)]
        with m.If(mapped):
            m.d.comb += [answer.pa.eq(found), answer.pbmt.eq(self.walked.pte.pbmt)]
        m.d.comb += [
            self.answer_record.port.eq(self.request.port),
            answer.tag.eq(self.request.tag),
            answer.status.eq(AnswerStatus.OK),
            answer.reason.eq(Mux(mapped, c.outcome, Outcome.OK)),
            answer.how.eq(Mux(c.attempt == 0, How.SPECULATIVE, How.RETRIED)),
        ]
        with m.If(self.needs_mm_lock()):
            m.d.comb += answer.how.eq(How.CLASSIC)
        with m.If(mapped & (c.outcome != Outcome.MAPPED)):
            m.d.comb += [answer.status.eq(AnswerStatus.RETRY), answer.how.eq(How.SOFTWARE), answer.pa.eq(0), answer.pbmt.eq(0)]
            with m.If(~self.may_be_handed_over):
                exception = exception_of(self.request.access, c.outcome)
                m.d.comb += [answer.status.eq(AnswerStatus.FAULT), answer.how.eq(How.TRANSLATED), answer.exception.eq(exception)]

    # --- what the steps are written with ---------------------------------------------------------------------------

    def emit(self, m: Module, first: Step, last: Step | None = None) -> None:
        """The event of this cycle covers `first` to `last`."""
        m.d.comb += [self.event_valid.eq(1), self.event.first.eq(first), self.event.last.eq(last or first)]

    def go(self, m: Module, state: ContextState | Value, after: AfterStep = AfterStep.GO_ON) -> None:
        """Continue with `state`, after what is to be waited for."""
        m.d.comb += [self.next.state.eq(state), self.after.eq(after)]

    def end(self, m: Module) -> None:
        """The fault is answered: the context is free, and no reader any more."""
        m.d.comb += self.leave.eq(self.context.reading)
        self.go(m, ContextState.BEGIN, AfterStep.FREE)

    def abort(self, m: Module, step: Step, outcome: Outcome | Value) -> None:
        """The attempt ends at `step`; the next step undoes it."""
        m.d.comb += [self.event.last.eq(step), self.event.outcome.eq(outcome), self.next.outcome.eq(outcome)]
        self.go(m, ContextState.UNDO)

    @property
    def is_store(self) -> Value:
        """The access that faulted is a store."""
        return self.request.access == Access.STORE

    @property
    def is_atomic(self) -> Value:
        """The requester must not sleep, and so must not wait for a lock or for software."""
        return self.request.flags.atomic

    @property
    def may_be_handed_over(self) -> Value:
        """The requester comes back after software's work, and can wait for that. [docs/software-contract.md, Flags of a request]"""
        return self.request.flags.allow_retry & ~self.request.flags.atomic

    def needs_mm_lock(self) -> Value:
        """This attempt is made under the mm lock: the policy's wish, or speculation has failed `max_retries` times."""
        return (self.policy == Policy.MM_LOCK) | (self.context.attempt >= self.config.max_retries)

    def is_odd(self) -> Value:
        """R2: a writer is active on the VMA."""
        return self.sequence[0]

    def has_changed(self, step: Step) -> Value:
        """The counter differs from the snapshot, and no lock keeps writers out; asked at R8, C1 (R11) and C3 (R14). [protocol.md 1.3]"""
        return ~self.context.classic & ~self.context.holds_vma & (self.sequence != self.context.seq)

    def expect_unchanged(self, m: Module, step: Step, outcome: Outcome) -> Value:
        """Abort at `step` if the VMA has changed since the snapshot. True: unchanged."""
        changed = self.has_changed(step)
        m.d.comb += self.event.seq.eq(self.sequence)
        with m.If(changed):
            self.abort(m, step, outcome)
        return ~changed

    def is_walk_known(self) -> Value:
        """The walk of the miss found the leaf entry empty, and nothing has changed since it began."""
        return self.request.empty & (self.changes == self.request.changes)

    def has_raced(self) -> Value:
        """C4: the entry may not be what the walk saw."""
        return self.raced | (self.context.table & self.table_raced)

    def copies(self) -> Value:
        """After R7: the frame of the pool gets a copy, of the entry's frame or of the slot's."""
        c = self.context
        first_store = ~c.table & ~c.mapped & self.is_store & ~self.flags.is_anonymous() & ~self.flags.shared
        return first_store | self.releases()

    def releases(self) -> Value:
        """The fault takes the entry's frame away: the copy on write of a frame that is not the zero frame."""
        c = self.context
        return c.mapped & ~c.keeps & (self.walked.pte.ppn != self.zero_frame)

    def page_prot(self) -> Value:
        """The PTE template that the commit uses: the snapshot's, never the VMA's of now. [protocol.md 1.5]"""
        return self.context.page_prot
