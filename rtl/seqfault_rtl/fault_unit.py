"""The fault unit: N fault contexts that share one protocol step per cycle.

A fault enters from the translator, waits for memory outside the step slot, and leaves with an answer. The steps are in `fault_steps.py`
(and `fault_lookup.py`, `fault_pages.py`, `fault_commit.py`, `fault_exit.py`); who steps next is decided in `context_schedule.py`; streams to
and from other blocks are in `fault_streams.py`, on-chip state in `fault_state.py`; here is the storage.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .context_schedule import MAX_AGENTS, ContextSchedule
from .fault_context import AfterStep, Context, Policy
from .fault_records import ReportSignature
from .fault_state import connect_state
from .fault_steps import FaultSteps
from .fault_streams import connect_answers, connect_requests
from .fault_tracking import FaultTracking
from .messages import (
    AnswerStatus,
    ChangeCount,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    FindRequest,
    FindResponse,
    How,
    InvalidateRecord,
    MemoryWriteSignature,
    Outcome,
    PageRequest,
    PageRequestDone,
    ReleasedRecord,
    Step,
    StepPort,
    WalkRequest,
    WalkResponse,
)
from .move_messages import MoveAnswer, MoveJob
from .page_messages import FaultAroundAnswer, FaultAroundJob, PageLookupRequest, PageLookupResponse
from .paging import PPN_BITS, VPN_BITS
from .tagged_memory import tagged_memory

__all__ = ["FaultUnit"]


class FaultUnit(wiring.Component):
    """Resolves page faults by the reader's protocol.

    Parameters
    ----------
    config : `contexts` faults are under way at a time.
    steps : the protocol's steps (tests plant broken ones).

    Members
    -------
    faults, answers : from and to the translator. fill, fill_port, fill_record : strobe: the leaf just committed, for the TLB of that port.
    report : in the cycle in which a fault is refused, before its FAULT answer is given: for the fault queue.
    committed : strobe: the entry of `fill_record.vpn` is visible, or nobody knows what it holds. surrounded : the entries around it are.
    find_request .. page_done : the finder, the walker, the commit's write port, the page lookup, the mover, the fault-around, the page-request
        queue; one request a context at most.
    frame_available, frame, frame_take, frame_give, frame_back : the frame pool (PPNs). zero_frame, policy, unzeroed : settings.
    released : entries that a copy on write took away; given only with `ready`. flush, flush_record, flushing : the page leaves all TLBs; not
        while they are busy with the last one.
    enter, enter_bank, leave, leave_bank : the fault as an SRCU reader.
    updated, updated_space, updated_vpn : an A/D update (`fault_tracking.py`).
    slot : the step slot. sequence_id, sequence, vma_hold, vma_drop, vma_free : the sequence table's side of it.
    lock_table, lock_holder, lock_acquire, lock_release, lock_busy, lock_freed : the PTE locks (`lock_freed`: somebody released one).
    mm_space, mm_acquire, mm_release, mm_may_read, mm_freed : the mm locks (`mm_freed`: a writer released one).
    changes_vpn, changes : combinational query: the count of changes for this page (`page_changes.py`).
    invalidate, record, changed, changed_space, changed_vpn : what the command unit did (`fault_tracking.py`).
    pinned : one bit per context, inside an attempt; a fence waits for them.
    count_how, count_abort, abort_reason : strobes for the counters: a fault was answered so; an attempt was aborted.
    count_began, count_ended : likewise: a fault made its first step that has an event, or its last.
    """

    faults: In(stream.Signature(FaultRequest))
    answers: Out(stream.Signature(FaultAnswer))
    report: Out(ReportSignature())
    fill: Out(1)
    fill_port: Out(8)
    fill_record: Out(FillRecord)
    committed: Out(1)
    surrounded: Out(1)
    flush: Out(1)
    flush_record: Out(InvalidateRecord)
    flushing: In(1)
    find_request: Out(stream.Signature(FindRequest))
    find_response: In(stream.Signature(FindResponse))
    walk_request: Out(stream.Signature(WalkRequest))
    walk_response: In(stream.Signature(WalkResponse))
    write: Out(MemoryWriteSignature())
    look_request: Out(stream.Signature(PageLookupRequest))
    look_response: In(stream.Signature(PageLookupResponse))
    move_job: Out(stream.Signature(MoveJob))
    move_answer: In(stream.Signature(MoveAnswer))
    around_job: Out(stream.Signature(FaultAroundJob))
    around_answer: In(stream.Signature(FaultAroundAnswer))
    released: Out(stream.Signature(ReleasedRecord))
    page_request: Out(stream.Signature(PageRequest))
    page_done: In(stream.Signature(PageRequestDone))
    frame_available: In(1)
    frame: In(PPN_BITS)
    frame_take: Out(1)
    frame_give: Out(1)
    frame_back: Out(PPN_BITS)
    zero_frame: In(PPN_BITS)
    policy: In(Policy)
    unzeroed: In(1)
    slot: Out(StepPort())
    enter: Out(1)
    enter_bank: In(1)
    leave: Out(1)
    leave_bank: Out(1)
    sequence_id: Out(16)
    sequence: In(32)
    vma_hold: Out(1)
    vma_drop: Out(1)
    vma_free: In(1)
    lock_table: Out(PPN_BITS)
    lock_holder: Out(6)
    lock_acquire: Out(1)
    lock_release: Out(1)
    lock_busy: In(1)
    lock_freed: In(1)
    mm_space: Out(16)
    mm_acquire: Out(1)
    mm_release: Out(1)
    mm_may_read: In(1)
    mm_freed: In(1)
    changes_vpn: Out(VPN_BITS)
    changes: In(ChangeCount)
    invalidate: In(1)
    record: In(InvalidateRecord)
    changed: In(1)
    changed_space: In(16)
    changed_vpn: In(VPN_BITS)
    updated: In(1)
    updated_space: In(16)
    updated_vpn: In(VPN_BITS)
    pinned: Out(MAX_AGENTS)
    count_how: Out(5)
    count_abort: Out(1)
    abort_reason: Out(Outcome)
    count_began: Out(1)
    count_ended: Out(1)

    def __init__(self, config: EngineConfig, steps: FaultSteps | None = None) -> None:
        self.config = config
        self.steps = steps if steps is not None else FaultSteps(config)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.steps = steps = self.steps
        m.submodules.schedule = schedule = ContextSchedule(self.config)
        m.submodules.tracking = tracking = FaultTracking(self.config)
        go = Signal()
        m.d.comb += [
            self.slot.want.eq(schedule.valid),
            go.eq(schedule.valid & self.slot.grant),
            schedule.step.eq(go),
            schedule.after.eq(steps.after),
            self.slot.event.eq(steps.event),
            self.slot.event_valid.eq(go & steps.event_valid),
        ]
        self._store_contexts(m, steps, schedule, go)
        connect_answers(m, self, schedule, go)
        connect_requests(m, self, schedule, go)
        connect_state(m, self, schedule, tracking, go)
        self._report(m, steps, go)
        self._count(m, steps, go)
        return m

    def _store_contexts(self, m: Module, steps: FaultSteps, schedule: ContextSchedule, go: Signal) -> None:
        """The faults as they came, and the contexts' state; a context that was just taken reads as all zero (state BEGIN)."""
        request_write, request = tagged_memory(m, "requests", FaultRequest, self.config.contexts, schedule.agent)
        context_write, context = tagged_memory(m, "contexts", Context, self.config.contexts, schedule.agent)
        m.d.comb += [
            schedule.take.eq(self.faults.valid & self.faults.ready),
            request_write.addr.eq(schedule.free_agent),
            request_write.data.eq(self.faults.payload),
            request_write.en.eq(schedule.take),
            context_write.addr.eq(schedule.agent),
            context_write.data.eq(steps.next),
            context_write.en.eq(go),
            steps.agent.eq(schedule.agent),
            steps.request.eq(request),
        ]
        with m.If(~schedule.fresh):
            m.d.comb += steps.context.eq(context)

    def _report(self, m: Module, steps: FaultSteps, go: Signal) -> None:
        """A refused fault, for the fault queue; only user-mode faults come here."""
        request, answer, report = steps.request, steps.answer_record.answer, self.report.payload
        m.d.comb += [
            self.report.valid.eq(go & steps.answer & (answer.status == AnswerStatus.FAULT)),
            report.cause.eq(answer.exception),
            report.access.eq(request.access),
            report.space.eq(request.space),
            report.port.eq(request.port),
            report.tag.eq(request.tag),
            report.reason.eq(answer.reason),
            report.address.eq(Cat(request.offset, request.vpn)),
        ]

    def _count(self, m: Module, steps: FaultSteps, go: Signal) -> None:
        how, first, c = steps.answer_record.answer.how, steps.event.first, steps.context
        for member in How:
            m.d.comb += self.count_how[member.value].eq(go & steps.answer & (how == member))
        begins = (c.attempt == 0) & ((first == Step.MM_READ_LOCK) | ((first == Step.R0) & ~c.classic))
        m.d.comb += [
            self.count_abort.eq(go & steps.event_valid & (first == Step.UNDO)),
            self.abort_reason.eq(steps.event.outcome),
            self.count_began.eq(go & steps.event_valid & begins),
            self.count_ended.eq(go & (steps.after == AfterStep.FREE)),
        ]
