"""The fault unit's streams: what the steps ask of other blocks, and what those answer."""

from typing import TYPE_CHECKING

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import connect, flipped

from .bypass_queue import BypassQueue
from .context_schedule import ContextSchedule
from .messages import FindRequest, MemoryWriteRequest, PageRequest, WalkRequest
from .move_messages import MoveJob
from .page_messages import FaultAroundJob, PageLookupRequest
from .tagged_memory import tagged_memory

if TYPE_CHECKING:
    from .fault_unit import FaultUnit

__all__ = ["connect_answers", "connect_requests"]

WRITTEN, SURROUNDED = 3, 6
"""Wakers that a commit may wait for together."""


def connect_answers(m: Module, unit: "FaultUnit", schedule: ContextSchedule, go: Value) -> None:
    """Answers from other blocks are kept until the context's next step, and make it ready."""
    steps = unit.steps
    answers = (  # the step's name for it, the answer, whose it is, and what of it is kept
        ("found", unit.find_response, unit.find_response.payload.tag, unit.find_response.payload),
        ("walked", unit.walk_response, unit.walk_response.payload.tag, unit.walk_response.payload),
        ("handed", unit.page_done, unit.page_done.payload.agent, unit.page_done.payload.outcome),
        ("write_error", unit.write.response, unit.write.response.payload.tag, unit.write.response.payload.error),
        ("looked", unit.look_response, unit.look_response.payload.tag, unit.look_response.payload),
        ("move_error", unit.move_answer, unit.move_answer.payload.tag, unit.move_answer.payload.error),
        ("surrounded", unit.around_answer, unit.around_answer.payload.tag, unit.around_answer.payload),
    )
    for index, (name, answer, agent, content) in enumerate(answers):
        known = getattr(steps, name)
        write, kept = tagged_memory(m, name, known.shape(), unit.config.contexts, schedule.agent)
        m.d.comb += [
            answer.ready.eq(1),
            write.addr.eq(agent),
            write.data.eq(content),
            write.en.eq(answer.valid),
            known.eq(kept),
            schedule.wake_agent[index].eq(agent),
        ]
        if index not in (WRITTEN, SURROUNDED):
            m.d.comb += schedule.wake[index].eq(answer.valid)
    _wait_for_both(m, unit, schedule, go)


def _wait_for_both(m: Module, unit: "FaultUnit", schedule: ContextSchedule, go: Value) -> None:
    """A commit may wait for two answers, of its write and of the pages around: the later one makes the context ready."""
    written, surrounded, contexts = unit.write.response, unit.around_answer, unit.config.contexts
    writing, surrounding = Signal(contexts), Signal(contexts)
    for pending, begins, answer in ((writing, unit.steps.write, written), (surrounding, unit.steps.look_around, surrounded)):
        with m.If(answer.valid):
            m.d.sync += pending.bit_select(answer.payload.tag, 1).eq(0)
        with m.If(go & begins):
            m.d.sync += pending.bit_select(unit.steps.agent, 1).eq(1)
    together = surrounded.valid & (surrounded.payload.tag == written.payload.tag)
    m.d.comb += [
        schedule.wake[WRITTEN].eq(written.valid & (together | ~surrounding.bit_select(written.payload.tag, 1))),
        schedule.wake[SURROUNDED].eq(surrounded.valid & ~writing.bit_select(surrounded.payload.tag, 1)),
    ]


def _queue(
    m: Module, unit: "FaultUnit", name: str, output: stream.Interface, push: Value, payload: data.View, depth: int | None = None
) -> BypassQueue:
    """A stream behind a queue with room for every context: a step never waits for a stream, nor a stream for an empty queue."""
    m.submodules[name] = queue = BypassQueue(payload.shape(), depth or unit.config.contexts)
    connect(m, queue.output, flipped(output))
    m.d.comb += [queue.put.eq(push), queue.offer.eq(push), queue.item.eq(payload)]
    return queue


def connect_requests(m: Module, unit: "FaultUnit", schedule: ContextSchedule, go: Value) -> None:
    """What the steps ask of other blocks."""
    steps = unit.steps
    request = steps.request
    find, walk = Signal(FindRequest), Signal(WalkRequest)
    write, page = Signal(MemoryWriteRequest), Signal(PageRequest)
    m.d.comb += [
        *(field.eq(request.space) for field in (find.space, walk.space, page.space)),
        *(field.eq(request.vpn) for field in (find.vpn, walk.vpn, page.vpn)),
        *(field.eq(steps.agent) for field in (find.tag, walk.tag, write.tag, page.agent)),
        write.addr.eq(steps.context.pte_addr),
        write.data.eq(Mux(steps.write_zero, 0, steps.entry)),
        page.reason.eq(steps.next.outcome),
        page.port.eq(request.port),
        page.tag.eq(request.tag),
        page.access.eq(request.access),
    ]
    _queue(m, unit, "finds", unit.find_request, go & steps.find, find)
    _queue(m, unit, "walks", unit.walk_request, go & steps.walk, walk)
    _queue(m, unit, "writes", unit.write.request, go & steps.write, write)
    _queue(m, unit, "handovers", unit.page_request, go & steps.hand_over, page)
    _connect_pages(m, unit, go)
    # a context is free before its answer is taken: a new fault needs room for those of all contexts beside the answers that wait
    contexts = unit.config.contexts
    answers = _queue(m, unit, "answers_out", unit.answers, go & steps.answer, steps.answer_record, depth=2 * contexts)
    m.d.comb += unit.faults.ready.eq(schedule.has_free & (answers.level <= contexts))


def _connect_pages(m: Module, unit: "FaultUnit", go: Value) -> None:
    """Pages of files, and what is in frames."""
    steps = unit.steps
    request, context, fields = steps.request, steps.context, steps.found.fields
    look, move, around = Signal(PageLookupRequest), Signal(MoveJob), Signal(FaultAroundJob)
    m.d.comb += [
        *(field.eq(steps.agent) for field in (look.tag, move.tag, around.tag)),
        *(field.eq(request.vpn) for field in (look.vpn, around.vpn)),
        *(field.eq(fields.start) for field in (look.start, around.start)),
        look.pgoff.eq(fields.pgoff),
        look.backing.eq(fields.backing),
        move.operation.eq(steps.move_copies),
        move.source.eq(steps.source),
        move.target.eq(steps.next.frame),
        around.end.eq(fields.end),
        around.slot_addr.eq(steps.looked.addr),
        around.pte_addr.eq(context.pte_addr),
        around.page_prot.eq(context.page_prot),
    ]
    _queue(m, unit, "looks", unit.look_request, go & steps.look, look)
    _queue(m, unit, "moves", unit.move_job, go & steps.move, move)
    _queue(m, unit, "arounds", unit.around_job, go & steps.look_around, around)
