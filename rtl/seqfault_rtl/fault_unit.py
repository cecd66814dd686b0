"""The fault unit: N fault contexts that share one protocol step per cycle.

A fault enters from the translator, waits for memory outside the step slot, and leaves with an answer. The steps are in `fault_steps.py`
(and `fault_lookup.py`, `fault_commit.py`, `fault_exit.py`); who steps next is decided in `context_schedule.py`; here is the storage.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .context_schedule import MAX_AGENTS, ContextSchedule
from .fault_context import Context, Policy
from .fault_records import ReportSignature
from .fault_steps import FaultSteps
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
    MemoryWriteRequest,
    MemoryWriteSignature,
    Outcome,
    PageRequest,
    PageRequestDone,
    Step,
    StepPort,
    WalkRequest,
    WalkResponse,
)
from .paging import PPN_BITS, VPN_BITS

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
    committed : strobe: the entry of `fill_record.vpn` is visible, or nobody knows what it holds.
    find_request .. page_done : the finder, the walker, the commit's write port, the page-request queue; one request a context at most.
    frame_available, frame, frame_take, frame_give, frame_back : the frame pool (PPNs). zero_frame, policy : settings.
    slot : the step slot. sequence_id, sequence, vma_hold, vma_drop, vma_free : the sequence table's side of it.
    lock_table, lock_holder, lock_acquire, lock_release, lock_busy, lock_freed : the PTE locks (`lock_freed`: somebody released one).
    mm_space, mm_acquire, mm_release, mm_may_read, mm_freed : the mm locks (`mm_freed`: a writer released one).
    changes_vpn, changes : combinational query: the count of changes for this page (`page_changes.py`).
    invalidate, record, changed, changed_space, changed_vpn : what the command unit did (`fault_tracking.py`).
    pinned : one bit per context, inside an attempt; a fence waits for them.
    count_how, count_abort, abort_reason : strobes for the counters: a fault ended so; an attempt was aborted.
    """

    faults: In(stream.Signature(FaultRequest))
    answers: Out(stream.Signature(FaultAnswer))
    report: Out(ReportSignature())
    fill: Out(1)
    fill_port: Out(8)
    fill_record: Out(FillRecord)
    committed: Out(1)
    find_request: Out(stream.Signature(FindRequest))
    find_response: In(stream.Signature(FindResponse))
    walk_request: Out(stream.Signature(WalkRequest))
    walk_response: In(stream.Signature(WalkResponse))
    write: Out(MemoryWriteSignature())
    page_request: Out(stream.Signature(PageRequest))
    page_done: In(stream.Signature(PageRequestDone))
    frame_available: In(1)
    frame: In(PPN_BITS)
    frame_take: Out(1)
    frame_give: Out(1)
    frame_back: Out(PPN_BITS)
    zero_frame: In(PPN_BITS)
    policy: In(Policy)
    slot: Out(StepPort())
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
    pinned: Out(MAX_AGENTS)
    count_how: Out(5)
    count_abort: Out(1)
    abort_reason: Out(Outcome)

    def __init__(self, config: EngineConfig, steps: FaultSteps | None = None) -> None:
        self._config = config
        self.steps = steps if steps is not None else FaultSteps(config)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.steps = steps = self.steps
        m.submodules.schedule = schedule = ContextSchedule(self._config)
        m.submodules.tracking = tracking = FaultTracking(self._config)
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
        self._connect_mailboxes(m, steps, schedule)
        self._connect_requests(m, steps, schedule, go)
        self._connect_state(m, steps, schedule, tracking, go)
        self._report(m, steps, go)
        self._count(m, steps, go)
        return m

    def _memory(self, m: Module, name: str, shape: object, address: object) -> tuple[object, object]:
        """A memory with one word per context: its write port, and the word at `address` now."""
        m.submodules[name] = storage = memory.Memory(shape=shape, depth=self._config.contexts, init=[])
        read = storage.read_port(domain="comb")
        m.d.comb += read.addr.eq(address)
        return storage.write_port(), read.data

    def _store_contexts(self, m: Module, steps: FaultSteps, schedule: ContextSchedule, go: Signal) -> None:
        """The faults as they came, and the contexts' state; a context that was just taken reads as all zero (state BEGIN)."""
        request_write, request = self._memory(m, "requests", FaultRequest, schedule.agent)
        context_write, context = self._memory(m, "contexts", Context, schedule.agent)
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

    def _connect_mailboxes(self, m: Module, steps: FaultSteps, schedule: ContextSchedule) -> None:
        """Answers from other blocks are kept until the context's next step, and make it ready."""
        found_write, found = self._memory(m, "found", FindResponse, schedule.agent)
        walked_write, walked = self._memory(m, "walked", WalkResponse, schedule.agent)
        handed_write, handed = self._memory(m, "handed", data.StructLayout({"outcome": Outcome}), schedule.agent)
        written_write, written = self._memory(m, "written", 1, schedule.agent)
        answers = [
            (self.find_response, self.find_response.payload.tag, found_write, self.find_response.payload),
            (self.walk_response, self.walk_response.payload.tag, walked_write, self.walk_response.payload),
            (self.page_done, self.page_done.payload.agent, handed_write, self.page_done.payload.outcome),
            (self.write.response, self.write.response.payload.tag, written_write, self.write.response.payload.error),
        ]
        for index, (answer, agent, write, content) in enumerate(answers):
            m.d.comb += [
                answer.ready.eq(1),
                write.addr.eq(agent),
                write.data.eq(content),
                write.en.eq(answer.valid),
                schedule.wake[index].eq(answer.valid),
                schedule.wake_agent[index].eq(agent),
            ]
        m.d.comb += [
            steps.found.eq(found),
            steps.walked.eq(walked),
            steps.handed.eq(handed.outcome),
            steps.write_error.eq(written),
        ]

    def _queue(self, m: Module, name: str, output: stream.Interface, push: object, payload: object, depth: int | None = None) -> SyncFIFO:
        """A stream behind a queue with room for every context: a step never waits for a stream."""
        width = len(output.p.as_value())
        m.submodules[name] = fifo = SyncFIFO(width=width, depth=depth or self._config.contexts)
        m.d.comb += [
            fifo.w_en.eq(push),
            fifo.w_data.eq(payload),
            output.valid.eq(fifo.r_rdy),
            output.p.eq(fifo.r_data),
            fifo.r_en.eq(output.ready),
        ]
        return fifo

    def _connect_requests(self, m: Module, steps: FaultSteps, schedule: ContextSchedule, go: Signal) -> None:
        request = steps.request
        find, walk = Signal(FindRequest), Signal(WalkRequest)
        write, page = Signal(MemoryWriteRequest), Signal(PageRequest)
        m.d.comb += [
            *(field.eq(request.space) for field in (find.space, walk.space, page.space)),
            *(field.eq(request.vpn) for field in (find.vpn, walk.vpn, page.vpn)),
            *(field.eq(steps.agent) for field in (find.tag, walk.tag, write.tag, page.agent)),
            write.addr.eq(steps.context.pte_addr),
            write.data.eq(steps.entry),
            page.reason.eq(steps.next.outcome),
            page.port.eq(request.port),
            page.tag.eq(request.tag),
            page.access.eq(request.access),
        ]
        self._queue(m, "finds", self.find_request, go & steps.find, find)
        self._queue(m, "walks", self.walk_request, go & steps.walk, walk)
        self._queue(m, "writes", self.write.request, go & steps.write, write)
        self._queue(m, "handovers", self.page_request, go & steps.hand_over, page)
        # a context is free before its answer is taken: a new fault needs room for those of all contexts beside the answers that wait
        contexts = self._config.contexts
        answers = self._queue(m, "answers_out", self.answers, go & steps.answer, steps.answer_record, depth=2 * contexts)
        m.d.comb += self.faults.ready.eq(schedule.has_free & (answers.level <= contexts))

    def _connect_state(self, m: Module, steps: FaultSteps, schedule: ContextSchedule, tracking: FaultTracking, go: Signal) -> None:
        """The on-chip state that the steps read and change, all in the slot's cycle."""
        request, context = steps.request, steps.context
        m.d.comb += [
            steps.policy.eq(self.policy),
            steps.zero_frame.eq(self.zero_frame),
            steps.frame_available.eq(self.frame_available),
            steps.frame.eq(self.frame),
            self.frame_take.eq(go & steps.take_frame),
            self.frame_give.eq(go & steps.give_frame),
            self.frame_back.eq(context.frame),
            self.sequence_id.eq(steps.sequence_id),
            steps.sequence.eq(self.sequence),
            steps.vma_free.eq(self.vma_free),
            self.vma_hold.eq(go & steps.hold_vma),
            self.vma_drop.eq(go & steps.drop_vma),
            self.lock_table.eq(context.pte_addr[12:]),
            self.lock_holder.eq(steps.agent),
            steps.lock_busy.eq(self.lock_busy),
            self.lock_acquire.eq(go & steps.acquire_lock),
            self.lock_release.eq(go & steps.release_lock),
            self.mm_space.eq(request.space),
            steps.may_read.eq(self.mm_may_read),
            steps.patience_over.eq(schedule.patience_over),
            self.mm_acquire.eq(go & steps.acquire_mm),
            self.mm_release.eq(go & steps.release_mm),
            schedule.lock_freed.eq(self.lock_freed),
            schedule.mm_freed.eq(self.mm_freed),
            schedule.pin.eq(steps.pin),
            schedule.unpin.eq(steps.unpin),
            self.pinned.eq(schedule.pinned),
        ]
        m.d.comb += [
            self.changes_vpn.eq(request.vpn),
            steps.changes.eq(self.changes),
            tracking.watch.eq(go & steps.watch),
            tracking.agent.eq(steps.agent),
            tracking.space.eq(request.space),
            tracking.vpn.eq(request.vpn),
            tracking.invalidate.eq(self.invalidate),
            tracking.record.eq(self.record),
            tracking.committed.eq(go & steps.changed),
            tracking.changed.eq(self.changed),
            tracking.changed_space.eq(self.changed_space),
            tracking.changed_vpn.eq(self.changed_vpn),
            steps.stale.eq(tracking.stale.bit_select(steps.agent, 1)),
            steps.raced.eq(tracking.raced.bit_select(steps.agent, 1)),
            self.committed.eq(go & steps.changed),
            self.fill.eq(go & steps.fill),
            self.fill_port.eq(request.port),
            self.fill_record.space.eq(request.space),
            self.fill_record.vpn.eq(request.vpn),
            self.fill_record.pte.eq(steps.entry),
        ]

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
        how = steps.answer_record.answer.how
        for member in How:
            m.d.comb += self.count_how[member.value].eq(go & steps.answer & (how == member))
        m.d.comb += [
            self.count_abort.eq(go & steps.event_valid & (steps.event.first == Step.UNDO)),
            self.abort_reason.eq(steps.event.outcome),
        ]
