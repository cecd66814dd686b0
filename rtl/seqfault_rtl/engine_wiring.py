"""How the engine's blocks are connected, subject by subject. The data path of a fault, block by block, is drawn in README.md."""

from typing import TYPE_CHECKING

from amaranth import Cat, Module, Mux
from amaranth.lib.wiring import connect

from .walk_start import client_count

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["connect_blocks"]


def connect_blocks(m: Module, engine: "Engine") -> None:
    """Everything between the blocks but memory and the step slot."""
    _connect_translation(m, engine)
    _connect_changes(m, engine)
    _connect_fault_unit(m, engine)
    _connect_pages(m, engine)
    _connect_command_unit(m, engine)
    _connect_srcu(m, engine)
    _connect_queues(m, engine)


def _connect_translation(m: Module, engine: "Engine") -> None:
    """Walks, invalidations, faults and their answers."""
    translator, faults, commands = engine.translator, engine.fault_unit, engine.command_unit
    requests = (translator.walk_request[0], faults.walk_request, commands.walk_request, translator.walk_request[1])
    responses = (translator.walk_response[0], faults.walk_response, commands.walk_response, translator.walk_response[1])
    for index in range(client_count(engine.config)):
        connect(m, requests[index], engine.walker.requests[index])
        connect(m, engine.walker.responses[index], responses[index])
    connect(m, translator.update, engine.updates.update)
    connect(m, engine.updates.memory, engine.updater.update)
    for index, reader in enumerate((engine.walker, engine.finder, engine.translator)):
        query = engine.spaces.queries[index]
        m.d.comb += [query.space.eq(reader.space), reader.space_entry.eq(query.entry)]
    connect(m, engine.translator.faults, engine.fault_unit.faults)
    connect(m, engine.fault_unit.answers, engine.translator.fault_answers)
    m.d.comb += [
        engine.translator.fill.eq(engine.fault_unit.fill),
        engine.translator.fill_port.eq(engine.fault_unit.fill_port),
        engine.translator.fill_record.eq(engine.fault_unit.fill_record),
    ]
    # both are steps, so never in one cycle
    record = Mux(faults.flush, faults.flush_record, commands.record)
    for block in (engine.translator, engine.walker, engine.fault_unit):
        m.d.comb += [block.invalidate.eq(commands.invalidate | faults.flush), block.record.eq(record)]
    m.d.comb += [engine.walker.leaf_only.eq(faults.flush), faults.flushing.eq(translator.busy)]


def _connect_changes(m: Module, engine: "Engine") -> None:
    """What says whether a walk still stands."""
    changes, unit, translator = engine.changes, engine.fault_unit, engine.translator
    m.d.comb += [
        changes.miss_vpn.eq(translator.changes_vpn),
        translator.changes.eq(changes.miss_changes),
        changes.fault_vpn.eq(unit.changes_vpn),
        unit.changes.eq(changes.fault_changes),
        changes.command.eq(engine.command_unit.slot.event_valid | unit.surrounded),
        changes.committed.eq(unit.committed),
        changes.committed_vpn.eq(unit.fill_record.vpn),
    ]


def _connect_fault_unit(m: Module, engine: "Engine") -> None:
    """The state that its steps read and change."""
    unit, commands, walk = engine.fault_unit, engine.command_unit, engine.translator.walk_request[0]
    connect(m, unit.find_request, engine.finder.request)
    connect(m, engine.finder.response, unit.find_response)
    m.d.comb += [
        engine.finder.hint.eq(walk.valid & walk.ready),
        engine.finder.hint_space.eq(walk.payload.space),
        engine.finder.hint_vpn.eq(walk.payload.vpn),
        engine.finder.command.eq(commands.slot.event_valid),
        engine.sequences.finder.id.eq(engine.finder.sequence_id),
        engine.finder.sequence.eq(engine.sequences.finder.sequence),
        unit.frame_available.eq(engine.pool.available),
        unit.frame.eq(engine.pool.frame),
        engine.pool.take.eq(unit.frame_take),
        engine.pool.give.eq(unit.frame_give),
        engine.pool.give_frame.eq(unit.frame_back),
        unit.zero_frame.eq(engine.register_file.zero_frame),
        unit.unzeroed.eq(engine.register_file.unzeroed),
        unit.policy.eq(engine.register_file.policy),
        engine.pte_locks.fault_table.eq(unit.lock_table),
        engine.pte_locks.fault_holder.eq(unit.lock_holder),
        engine.pte_locks.fault_acquire.eq(unit.lock_acquire),
        engine.pte_locks.fault_release.eq(unit.lock_release),
        unit.lock_busy.eq(engine.pte_locks.fault_busy),
        engine.pte_locks.update_table.eq(engine.updates.lock_table),
        engine.pte_locks.update_acquire.eq(engine.updates.lock_acquire),
        engine.pte_locks.update_release.eq(engine.updates.lock_release),
        engine.updates.lock_busy.eq(engine.pte_locks.update_busy),
        unit.lock_freed.eq(unit.lock_release | commands.lock_release | engine.updates.lock_release),
        engine.mm_locks.read_space.eq(unit.mm_space),
        engine.mm_locks.read_acquire.eq(unit.mm_acquire),
        engine.mm_locks.read_release.eq(unit.mm_release),
        unit.mm_may_read.eq(engine.mm_locks.may_read),
        unit.mm_freed.eq(commands.mm_release),
        unit.changed.eq(commands.changed),
        unit.changed_space.eq(commands.changed_space),
        unit.changed_vpn.eq(commands.changed_vpn),
        unit.updated.eq(engine.updates.slot.event_valid),
        unit.updated_space.eq(engine.updates.slot.event.space),
        unit.updated_vpn.eq(engine.updates.slot.event.vpn),
    ]
    # the slot's query of the sequence table belongs to the unit that executes its step in this cycle
    m.d.comb += [
        engine.sequences.slot.id.eq(unit.sequence_id),
        unit.sequence.eq(engine.sequences.slot.sequence),
        engine.sequences.hold.eq(unit.vma_hold),
        engine.sequences.drop.eq(unit.vma_drop),
        unit.vma_free.eq(~(commands.sequence_claim & (commands.sequence_id == unit.sequence_id))),
    ]


def _connect_command_unit(m: Module, engine: "Engine") -> None:
    """The state that commands change, and what fences wait for."""
    commands, finder = engine.command_unit, engine.finder
    m.d.comb += [
        engine.spaces.write_table.eq(commands.space_write_table),
        engine.spaces.write_vmas.eq(commands.space_write_vmas),
        engine.spaces.write_space.eq(commands.space_index),
        engine.spaces.write_data.eq(commands.space_data),
        engine.spaces.write_features.eq(commands.space_features),
        finder.flush_space.eq(commands.space_write_table),
        finder.flush_index.eq(commands.space_index),
        engine.sequences.writer_id.eq(commands.sequence_id),
        engine.sequences.begin.eq(commands.sequence_begin),
        engine.sequences.end.eq(commands.sequence_end),
        commands.sequence_next.eq(engine.sequences.following),
        commands.sequence_idle.eq(engine.sequences.idle),
        commands.sequence_unread.eq(engine.sequences.unread),
        engine.pte_locks.command_table.eq(commands.lock_table),
        engine.pte_locks.command_acquire.eq(commands.lock_acquire),
        engine.pte_locks.command_release.eq(commands.lock_release),
        commands.lock_busy.eq(engine.pte_locks.command_busy),
        engine.mm_locks.write_space.eq(commands.mm_space),
        engine.mm_locks.claim.eq(commands.mm_claim),
        engine.mm_locks.write_acquire.eq(commands.mm_acquire),
        engine.mm_locks.write_release.eq(commands.mm_release),
        commands.mm_free.eq(engine.mm_locks.free),
        commands.mm_held.eq(engine.mm_locks.held),
        commands.pinned.eq(engine.fault_unit.pinned),
        commands.walking.eq(Cat(engine.walker.active, engine.translator.updating)),
        commands.invalidating.eq(engine.translator.busy),
        commands.released_idle.eq(engine.released.idle),
    ]
    # a fault gives its record in the cycle of its step, so it goes first
    given, record = engine.fault_unit.released, engine.released.record
    m.d.comb += [
        record.valid.eq(given.valid | commands.released.valid),
        record.payload.eq(Mux(given.valid, given.payload, commands.released.payload)),
        given.ready.eq(record.ready),
        commands.released.ready.eq(record.ready & ~given.valid),
    ]


def _connect_pages(m: Module, engine: "Engine") -> None:
    """Pages of files, and what is in frames."""
    unit = engine.fault_unit
    connect(m, unit.look_request, engine.pages.request)
    connect(m, engine.pages.response, unit.look_response)
    connect(m, unit.move_job, engine.mover.jobs)
    connect(m, engine.mover.answers, unit.move_answer)
    connect(m, unit.around_job, engine.around.jobs)
    connect(m, engine.around.answers, unit.around_answer)


def _connect_srcu(m: Module, engine: "Engine") -> None:
    """Faults as readers, calls, completions."""
    unit = engine.fault_unit
    connect(m, engine.command_unit.srcu_call, engine.srcu.call)
    m.d.comb += [
        engine.srcu.enter.eq(unit.enter),
        unit.enter_bank.eq(engine.srcu.enter_bank),
        engine.srcu.leave.eq(unit.leave),
        engine.srcu.leave_bank.eq(unit.leave_bank),
        engine.command_unit.srcu_refused.eq(engine.srcu.refused),
        engine.register_file.srcu_refused.eq(engine.srcu.refused),
        engine.completions.record.valid.eq(engine.srcu.done.valid),
        engine.completions.record.payload.cookie.eq(engine.srcu.done.payload.cookie),
        engine.completions.record.payload.space.eq(engine.srcu.done.payload.space),
        engine.srcu.done.ready.eq(engine.completions.record.ready),
    ]


def _connect_queues(m: Module, engine: "Engine") -> None:
    """Registers, and the queues and rings in memory."""
    registers, commands, status = engine.register_file, engine.command_unit, engine.status
    connect(m, engine.fault_unit.page_request, engine.page_requests.request)
    connect(m, engine.page_requests.done, engine.fault_unit.page_done)
    connect(m, registers.page_queue, engine.page_requests.queue)
    connect(m, registers.fault_queue, engine.fault_records.queue)
    connect(m, registers.free_ring, engine.pool.ring)
    connect(m, registers.released_ring, engine.released.ring)
    connect(m, registers.completion_ring, engine.completions.ring)
    connect(m, engine.translator.reports[0], engine.reports.ended)
    connect(m, engine.translator.reports[1], engine.reports.updated)
    connect(m, engine.fault_unit.report, engine.reports.refused)
    queue = registers.command_queue
    m.d.comb += [
        engine.fault_records.report.valid.eq(engine.reports.output.valid),
        engine.fault_records.report.payload.eq(engine.reports.output.payload),
        commands.queue.eq(queue.settings),
        commands.tail.eq(queue.tail),
        commands.stop.eq(queue.stop),
        queue.head.eq(commands.head),
        queue.busy.eq(commands.busy),
        queue.illegal.eq(commands.illegal),
        queue.memory_fault.eq(commands.memory_fault),
        queue.fence_done.eq(commands.fence_interrupt),
        registers.counters.how.eq(engine.fault_unit.count_how),
        registers.counters.outcome_valid.eq(engine.fault_unit.count_abort),
        registers.counters.outcome.eq(engine.fault_unit.abort_reason),
        registers.counters.began.eq(engine.fault_unit.count_began),
        registers.counters.ended.eq(engine.fault_unit.count_ended),
        status.cq_head.eq(commands.head),
        status.pq_tail.eq(registers.page_queue.tail),
        status.free_head.eq(registers.free_ring.head),
        status.released_tail.eq(registers.released_ring.tail),
        status.cqcsr.eq(registers.cqcsr),
        status.completion_tail.eq(registers.completion_ring.tail),
    ]
