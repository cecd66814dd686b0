"""The fault unit's share of the on-chip state: sequences, locks, frames, TLBs, and what has changed."""

from typing import TYPE_CHECKING

from amaranth import Module, Value
from amaranth.lib.fifo import SyncFIFO

from .context_schedule import ContextSchedule
from .fault_tracking import FaultTracking
from .paging import PPN_BITS

if TYPE_CHECKING:
    from .fault_unit import FaultUnit

__all__ = ["connect_state"]


def connect_state(m: Module, unit: "FaultUnit", schedule: ContextSchedule, tracking: FaultTracking, go: Value) -> None:
    """The on-chip state that the steps read and change, all in the slot's cycle."""
    steps = unit.steps
    request, context = steps.request, steps.context
    m.d.comb += [
        steps.policy.eq(unit.policy),
        steps.zero_frame.eq(unit.zero_frame),
        steps.unzeroed.eq(unit.unzeroed),
        steps.frame_available.eq(unit.frame_available),
        steps.frame.eq(unit.frame),
        unit.frame_take.eq(go & steps.take_frame),
        unit.frame_give.eq(go & steps.give_frame),
        unit.frame_back.eq(context.frame),
        unit.sequence_id.eq(steps.sequence_id),
        steps.sequence.eq(unit.sequence),
        steps.vma_free.eq(unit.vma_free),
        unit.vma_hold.eq(go & steps.hold_vma),
        unit.vma_drop.eq(go & steps.drop_vma),
        unit.lock_table.eq(context.pte_addr[12:]),
        unit.lock_holder.eq(steps.agent),
        steps.lock_busy.eq(unit.lock_busy),
        unit.lock_acquire.eq(go & steps.acquire_lock),
        unit.lock_release.eq(go & steps.release_lock),
        unit.mm_space.eq(request.space),
        steps.may_read.eq(unit.mm_may_read),
        steps.patience_over.eq(schedule.patience_over),
        unit.mm_acquire.eq(go & steps.acquire_mm),
        unit.mm_release.eq(go & steps.release_mm),
        schedule.lock_freed.eq(unit.lock_freed),
        schedule.mm_freed.eq(unit.mm_freed),
        schedule.pin.eq(steps.pin),
        schedule.unpin.eq(steps.unpin),
        unit.pinned.eq(schedule.pinned),
    ]
    _keep_used_frames(m, unit, go)
    _connect_tracking(m, unit, tracking, go)
    _connect_flush(m, unit, schedule, go)


def _keep_used_frames(m: Module, unit: "FaultUnit", go: Value) -> None:
    """Frames that came back after a copy: a frame of the pool is copied into only when none is here, so that there is one a context at most."""
    steps = unit.steps
    m.submodules.used_frames = used = SyncFIFO(width=PPN_BITS, depth=unit.config.contexts)
    m.d.comb += [
        steps.used_available.eq(used.r_rdy),
        steps.used_frame.eq(used.r_data),
        used.r_en.eq(go & steps.take_used),
        used.w_en.eq(go & steps.give_used),
        used.w_data.eq(steps.context.frame),
    ]


def _connect_tracking(m: Module, unit: "FaultUnit", tracking: FaultTracking, go: Value) -> None:
    """What changed since a walk began, and what this step changes."""
    steps, request = unit.steps, unit.steps.request
    m.d.comb += [
        unit.changes_vpn.eq(request.vpn),
        steps.changes.eq(unit.changes),
        tracking.watch.eq(go & steps.watch),
        tracking.agent.eq(steps.agent),
        tracking.space.eq(request.space),
        tracking.vpn.eq(request.vpn),
        tracking.invalidate.eq(unit.invalidate),
        tracking.record.eq(unit.record),
        tracking.committed.eq(go & steps.changed),
        tracking.changed.eq(unit.changed),
        tracking.changed_space.eq(unit.changed_space),
        tracking.changed_vpn.eq(unit.changed_vpn),
        tracking.surrounded.eq(go & steps.changed_around),
        tracking.tabled.eq(go & steps.changed_table),
        tracking.updated.eq(unit.updated),
        tracking.updated_space.eq(unit.updated_space),
        tracking.updated_vpn.eq(unit.updated_vpn),
        unit.surrounded.eq(go & steps.changed_around),
        steps.stale.eq(tracking.stale.bit_select(steps.agent, 1)),
        steps.raced.eq(tracking.raced.bit_select(steps.agent, 1)),
        steps.table_raced.eq(tracking.table_raced.bit_select(steps.agent, 1)),
        unit.committed.eq(go & steps.changed),
        unit.fill.eq(go & steps.fill),
        unit.fill_port.eq(request.port),
        unit.fill_record.space.eq(request.space),
        unit.fill_record.vpn.eq(request.vpn),
        unit.fill_record.pte.eq(steps.entry),
    ]


def _connect_flush(m: Module, unit: "FaultUnit", schedule: ContextSchedule, go: Value) -> None:
    """TLBs, the released ring, and the fault as a reader."""
    steps, request = unit.steps, unit.steps.request
    m.d.comb += [
        steps.flushing.eq(unit.flushing),
        schedule.flushed.eq(~unit.flushing),
        unit.flush.eq(go & steps.flush),
        unit.flush_record.space.eq(request.space),
        unit.flush_record.vpn.eq(request.vpn),
        steps.released_ready.eq(unit.released.ready),
        unit.released.valid.eq(go & steps.release),
        unit.released.payload.pte.eq(steps.walked.pte),
        unit.released.payload.vpn.eq(request.vpn),
        unit.released.payload.space.eq(request.space),
        steps.enter_bank.eq(unit.enter_bank),
        unit.enter.eq(go & steps.enter),
        unit.leave.eq(go & steps.leave),
        unit.leave_bank.eq(steps.context.bank),
    ]
