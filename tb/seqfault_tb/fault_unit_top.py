"""The fault unit with the on-chip state that its steps work on, wired as in the engine; the command unit's side is a test's.

What a test drives or reads in every cycle is packed into few vectors: `command` and `view` for the writers' side, `strobes` for the rest.
"""

from amaranth import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.context_schedule import MAX_AGENTS
from seqfault_rtl.fault_unit import FaultUnit
from seqfault_rtl.messages import (
    ChangeCount,
    Event,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    FindRequest,
    FindResponse,
    InvalidateRecord,
    MemoryWriteSignature,
    Outcome,
    PageRequest,
    PageRequestDone,
    ReleasedRecord,
    WalkRequest,
    WalkResponse,
)
from seqfault_rtl.mm_locks import MmLocks
from seqfault_rtl.move_messages import MoveAnswer, MoveJob
from seqfault_rtl.page_changes import PageChanges
from seqfault_rtl.page_messages import FaultAroundAnswer, FaultAroundJob, PageLookupRequest, PageLookupResponse
from seqfault_rtl.paging import PPN_BITS, VPN_BITS
from seqfault_rtl.pte_locks import PteLocks
from seqfault_rtl.sequence_table import SequenceTable
from seqfault_rtl.step_slot import StepSlot

__all__ = ["TEST_CONFIG", "CommandDrive", "CommandView", "FaultStrobes", "FaultUnitTop"]

TEST_CONFIG = EngineConfig(contexts=5, sequence_entries=4, spaces=4, lock_rounds=3, mm_lock_patience=64, pool_frames=8)


class CommandDrive(data.Struct):
    """What a command unit would drive: levels, and strobes in the cycle of its grant."""

    writer_id: 16
    vma_claim: 1
    begin: 1
    end: 1
    table: PPN_BITS
    lock: 1
    unlock: 1
    mm_space: 16
    mm_claim: 1
    mm_lock: 1
    mm_unlock: 1
    invalidate: 1
    record: InvalidateRecord
    changed: 1
    changed_space: 16
    changed_vpn: VPN_BITS
    updated: 1
    updated_space: 16
    updated_vpn: VPN_BITS
    event_valid: 1
    event: Event


class CommandView(data.Struct):
    """What a command unit would see."""

    following: 32
    idle: 1
    unread: 1
    busy: 1
    mm_free: 1
    mm_held: 1


class FaultStrobes(data.Struct):
    """What the fault unit does to other blocks in this cycle.

    `stepping`: context `step_agent` has the step slot, with or without an event. `release`, `release_record`: the stream `released`.
    """

    stepping: 1
    step_agent: 6
    enter: 1
    leave: 1
    leave_bank: 1
    surrounded: 1
    flush: 1
    flush_record: InvalidateRecord
    release: 1
    release_record: ReleasedRecord

    frame_take: 1
    frame_give: 1
    vma_hold: 1
    vma_drop: 1
    lock_acquire: 1
    lock_release: 1
    mm_acquire: 1
    mm_release: 1
    fill: 1
    count_how: 5
    count_abort: 1
    frame_back: PPN_BITS
    fill_port: 8
    fill_record: FillRecord
    abort_reason: Outcome
    count_began: 1
    count_ended: 1


STREAMS_IN = {
    "faults": FaultRequest, "find_response": FindResponse, "walk_response": WalkResponse, "page_done": PageRequestDone,
    "look_response": PageLookupResponse, "move_answer": MoveAnswer, "around_answer": FaultAroundAnswer,
}  # fmt: skip
STREAMS_OUT = {
    "answers": FaultAnswer, "find_request": FindRequest, "walk_request": WalkRequest, "page_request": PageRequest,
    "look_request": PageLookupRequest, "move_job": MoveJob, "around_job": FaultAroundJob,
}  # fmt: skip
STATE = ("frame_available", "frame", "zero_frame", "policy", "unzeroed", "flushing", "enter_bank")
NOT_OF_THE_UNIT = ("stepping", "step_agent", "release", "release_record")
"""Fields of `FaultStrobes` that are no member of the unit by that name."""


class FaultUnitTop(wiring.Component):
    """Design under test of `test_fault_unit`.

    Parameters
    ----------
    unit : a unit with planted bugs.

    Members
    -------
    miss_vpn, miss_changes : the count that a walk for a miss would take with it.
    want, grant : the command unit's share of the step slot. mutant : which planted bug. released_ready : the released ring takes a record.
    The rest: module docstring.
    """

    def __init__(self, config: EngineConfig, unit: FaultUnit | None = None) -> None:
        self.config = config
        self.unit = FaultUnit(config) if unit is None else unit
        members = {name: In(stream.Signature(shape)) for name, shape in STREAMS_IN.items()}
        members |= {name: Out(stream.Signature(shape)) for name, shape in STREAMS_OUT.items()}
        members |= {name: self.unit.signature.members[name] for name in STATE}
        members |= {
            "write": Out(MemoryWriteSignature()), "want": In(1), "grant": Out(1), "command": In(CommandDrive), "view": Out(CommandView),
            "miss_vpn": In(VPN_BITS), "miss_changes": Out(ChangeCount),
            "event": Out(Event), "event_valid": Out(1), "strobes": Out(FaultStrobes), "pinned": Out(MAX_AGENTS), "mutant": In(8),
            "released_ready": In(1),
        }  # fmt: skip
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        m.submodules.sequences = sequences = SequenceTable(self.config)
        m.submodules.locks = locks = PteLocks(self.config)
        m.submodules.mm_locks = mm_locks = MmLocks(self.config)
        m.submodules.slot = slot = StepSlot()
        m.submodules.changes = changes = PageChanges()
        m.d.comb += [
            changes.miss_vpn.eq(self.miss_vpn),
            self.miss_changes.eq(changes.miss_changes),
            changes.fault_vpn.eq(unit.changes_vpn),
            unit.changes.eq(changes.fault_changes),
            changes.command.eq(self.command.event_valid | unit.surrounded),
            changes.committed.eq(unit.committed),
            changes.committed_vpn.eq(unit.fill_record.vpn),
        ]
        for name in STREAMS_IN:
            connect(m, flipped(getattr(self, name)), getattr(unit, name))
        for name in STREAMS_OUT:
            connect(m, getattr(unit, name), flipped(getattr(self, name)))
        connect(m, unit.write, flipped(self.write))
        connect(m, slot.faults, unit.slot)
        m.d.comb += [getattr(unit, name).eq(getattr(self, name)) for name in STATE]
        m.d.comb += [getattr(self.strobes, name).eq(getattr(unit, name)) for name, _ in data.Layout.cast(FaultStrobes) if name not in NOT_OF_THE_UNIT]
        m.d.comb += [
            self.strobes.stepping.eq(unit.slot.want & unit.slot.grant),
            self.strobes.step_agent.eq(unit.steps.agent),
            self.strobes.release.eq(unit.released.valid),
            self.strobes.release_record.eq(unit.released.payload),
            unit.released.ready.eq(self.released_ready),
        ]
        m.d.comb += [self.event.eq(slot.event), self.event_valid.eq(slot.event_valid), self.pinned.eq(unit.pinned)]
        self._connect_state(m, sequences, locks, mm_locks)
        self._connect_commands(m, sequences, locks, mm_locks, slot)
        return m

    def _connect_state(self, m: Module, sequences: SequenceTable, locks: PteLocks, mm_locks: MmLocks) -> None:
        unit, command = self.unit, self.command
        m.d.comb += [
            sequences.slot.id.eq(unit.sequence_id),
            unit.sequence.eq(sequences.slot.sequence),
            sequences.hold.eq(unit.vma_hold),
            sequences.drop.eq(unit.vma_drop),
            unit.vma_free.eq(~(command.vma_claim & (command.writer_id == unit.sequence_id))),
            locks.fault_table.eq(unit.lock_table),
            locks.fault_holder.eq(unit.lock_holder),
            locks.fault_acquire.eq(unit.lock_acquire),
            locks.fault_release.eq(unit.lock_release),
            unit.lock_busy.eq(locks.fault_busy),
            unit.lock_freed.eq(unit.lock_release | command.unlock),
            mm_locks.read_space.eq(unit.mm_space),
            mm_locks.read_acquire.eq(unit.mm_acquire),
            mm_locks.read_release.eq(unit.mm_release),
            unit.mm_may_read.eq(mm_locks.may_read),
            unit.mm_freed.eq(command.mm_unlock),
            unit.invalidate.eq(command.invalidate | unit.flush),
            unit.record.eq(Mux(unit.flush, unit.flush_record, command.record)),
            unit.changed.eq(command.changed),
            unit.changed_space.eq(command.changed_space),
            unit.changed_vpn.eq(command.changed_vpn),
            *(getattr(unit, name).eq(getattr(command, name)) for name in ("updated", "updated_space", "updated_vpn")),
        ]

    def _connect_commands(self, m: Module, sequences: SequenceTable, locks: PteLocks, mm_locks: MmLocks, slot: StepSlot) -> None:
        command, view = self.command, self.view
        m.d.comb += [
            slot.commands.want.eq(self.want),
            self.grant.eq(slot.commands.grant),
            slot.commands.event.eq(command.event),
            slot.commands.event_valid.eq(command.event_valid),
            sequences.writer_id.eq(command.writer_id),
            sequences.begin.eq(command.begin),
            sequences.end.eq(command.end),
            locks.command_table.eq(command.table),
            locks.command_acquire.eq(command.lock),
            locks.command_release.eq(command.unlock),
            mm_locks.write_space.eq(command.mm_space),
            mm_locks.claim.eq(command.mm_claim),
            mm_locks.write_acquire.eq(command.mm_lock),
            mm_locks.write_release.eq(command.mm_unlock),
            view.following.eq(sequences.following),
            view.idle.eq(sequences.idle),
            view.unread.eq(sequences.unread),
            view.busy.eq(locks.command_busy),
            view.mm_free.eq(mm_locks.free),
            view.mm_held.eq(mm_locks.held),
        ]
