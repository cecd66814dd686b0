"""The engine: wiring only. The data path of a fault, block by block, is drawn in README.md."""

from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import AxiLiteSignature, AxiSignature
from .axi_manager import AxiManager
from .command_unit import CommandUnit
from .config import EngineConfig
from .fault_queue import FaultQueue
from .fault_reports import FaultReports
from .fault_unit import FaultUnit
from .frame_pool import FramePool
from .locked_update import LockedUpdate
from .memory_updater import MemoryUpdater
from .messages import Answer, Event, Request
from .mm_locks import MmLocks
from .page_changes import PageChanges
from .page_request_queue import PageRequestQueue
from .pte_locks import PteLocks
from .registers import WIRES, Registers
from .released_ring import ReleasedRing
from .sequence_table import SequenceTable
from .space_table import SpaceTable
from .step_slot import StepSlot
from .translator import Translator
from .vma_finder import VmaFinder
from .walk_start import client_count
from .walker import Walker

__all__ = ["Engine", "EngineStatus"]


class EngineStatus(wiring.Signature):
    """The indices that the engine moves, for a testbench that does not want to poll registers."""

    def __init__(self) -> None:
        super().__init__({name: Out(32) for name in ("cq_head", "pq_tail", "free_head", "released_tail", "cqcsr")})


class Engine(wiring.Component):
    """TLB, walker and speculative fault unit behind one AXI4 manager and one AXI4-Lite subordinate.

    Parameters
    ----------
    config : sizes.

    Members
    -------
    requests, answers : one stream pair per requester port. withdraw : per port, a strobe: requests taken before this cycle are not answered
        any more (a fault that is being resolved is resolved all the same).
    axi : memory (page tables, VMA tree, queues and rings). registers : the register file.
    interrupts : level, one bit per cause (register ipsr).
    status, event, event_valid : for testbenches and formal; with `config.events` false the event is constant 0.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.make_blocks()
        super().__init__(
            {
                "requests": In(stream.Signature(Request)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "withdraw": In(1).array(config.ports),
                "axi": Out(AxiSignature(id_bits=self.memory.id_bits)),
                "registers": In(AxiLiteSignature()),
                "interrupts": Out(WIRES),
                "status": Out(EngineStatus()),
                "event": Out(Event),
                "event_valid": Out(1),
            }
        )

    def make_blocks(self) -> None:
        """The blocks; a testbench may replace one before elaboration to plant a bug."""
        config = self.config
        self.translator = Translator(config)
        self.walker = Walker(config)
        self.finder = VmaFinder(config)
        self.fault_unit = FaultUnit(config)
        self.command_unit = CommandUnit(config)
        self.spaces = SpaceTable(config)
        self.sequences = SequenceTable(config)
        self.pte_locks = PteLocks(config)
        self.mm_locks = MmLocks(config)
        self.changes = PageChanges()
        self.slot = StepSlot()
        self.pool = FramePool(config)
        self.page_requests = PageRequestQueue(config)
        self.released = ReleasedRing(config)
        self.reports = FaultReports(config)
        self.fault_records = FaultQueue(config)
        self.register_file = Registers(config)
        self.updates = LockedUpdate()
        self.updater = MemoryUpdater()
        self.memory = AxiManager(config, readers=5, writers=6)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in (
            "translator", "walker", "finder", "fault_unit", "command_unit", "spaces", "sequences", "pte_locks", "mm_locks",
            "changes", "slot", "pool", "page_requests", "released", "reports", "fault_records", "register_file", "updates", "updater", "memory",
        ):  # fmt: skip
            m.submodules[name] = getattr(self, name)
        self._connect_outside(m)
        self._connect_memory(m)
        self._connect_translation(m)
        self._connect_changes(m)
        self._connect_fault_unit(m)
        self._connect_command_unit(m)
        self._connect_queues(m)
        return m

    def _connect_outside(self, m: Module) -> None:
        for port in range(self.config.ports):
            connect(m, flipped(self.requests[port]), self.translator.requests[port])
            connect(m, self.translator.answers[port], flipped(self.answers[port]))
            m.d.comb += self.translator.withdraw[port].eq(self.withdraw[port])
        connect(m, self.memory.axi, flipped(self.axi))
        connect(m, flipped(self.registers), self.register_file.bus)
        m.d.comb += self.interrupts.eq(self.register_file.interrupts)
        connect(m, self.slot.faults, self.fault_unit.slot)
        connect(m, self.slot.commands, self.command_unit.slot)
        connect(m, self.slot.updates, self.updates.slot)
        if self.config.events:
            m.d.comb += [self.event.eq(self.slot.event), self.event_valid.eq(self.slot.event_valid)]

    def _connect_memory(self, m: Module) -> None:
        readers = (self.walker.memory, self.finder.memory, self.command_unit.read, self.pool.read, self.updater.read)
        writers = (
            self.fault_unit.write, self.command_unit.write, self.page_requests.write, self.released.write, self.updater.write,
            self.fault_records.write,
        )  # fmt: skip
        # both halves of the updater's exclusive accesses need one AXI ID, so it has the same place among readers and writers
        for index, port in enumerate(readers):
            connect(m, port, self.memory.reads[index])
        for index, port in enumerate(writers):
            connect(m, port, self.memory.writes[index])

    def _connect_translation(self, m: Module) -> None:
        translator, faults, commands = self.translator, self.fault_unit, self.command_unit
        requests = (translator.walk_request[0], faults.walk_request, commands.walk_request, translator.walk_request[1])
        responses = (translator.walk_response[0], faults.walk_response, commands.walk_response, translator.walk_response[1])
        for index in range(client_count(self.config)):
            connect(m, requests[index], self.walker.requests[index])
            connect(m, self.walker.responses[index], responses[index])
        connect(m, translator.update, self.updates.update)
        connect(m, self.updates.memory, self.updater.update)
        for index, reader in enumerate((self.walker, self.finder, self.translator)):
            query = self.spaces.queries[index]
            m.d.comb += [query.space.eq(reader.space), reader.space_entry.eq(query.entry)]
        connect(m, self.translator.faults, self.fault_unit.faults)
        connect(m, self.fault_unit.answers, self.translator.fault_answers)
        m.d.comb += [
            self.translator.fill.eq(self.fault_unit.fill),
            self.translator.fill_port.eq(self.fault_unit.fill_port),
            self.translator.fill_record.eq(self.fault_unit.fill_record),
        ]
        for block in (self.translator, self.walker, self.fault_unit):
            m.d.comb += [block.invalidate.eq(self.command_unit.invalidate), block.record.eq(self.command_unit.record)]

    def _connect_changes(self, m: Module) -> None:
        changes, unit, translator = self.changes, self.fault_unit, self.translator
        m.d.comb += [
            changes.miss_vpn.eq(translator.changes_vpn),
            translator.changes.eq(changes.miss_changes),
            changes.fault_vpn.eq(unit.changes_vpn),
            unit.changes.eq(changes.fault_changes),
            changes.command.eq(self.command_unit.slot.event_valid),
            changes.committed.eq(unit.committed),
            changes.committed_vpn.eq(unit.fill_record.vpn),
        ]

    def _connect_fault_unit(self, m: Module) -> None:
        unit, commands = self.fault_unit, self.command_unit
        connect(m, unit.find_request, self.finder.request)
        connect(m, self.finder.response, unit.find_response)
        m.d.comb += [
            self.sequences.finder.id.eq(self.finder.sequence_id),
            self.finder.sequence.eq(self.sequences.finder.sequence),
            unit.frame_available.eq(self.pool.available),
            unit.frame.eq(self.pool.frame),
            self.pool.take.eq(unit.frame_take),
            self.pool.give.eq(unit.frame_give),
            self.pool.give_frame.eq(unit.frame_back),
            unit.zero_frame.eq(self.register_file.zero_frame),
            unit.policy.eq(self.register_file.policy),
            self.pte_locks.fault_table.eq(unit.lock_table),
            self.pte_locks.fault_holder.eq(unit.lock_holder),
            self.pte_locks.fault_acquire.eq(unit.lock_acquire),
            self.pte_locks.fault_release.eq(unit.lock_release),
            unit.lock_busy.eq(self.pte_locks.fault_busy),
            self.pte_locks.update_table.eq(self.updates.lock_table),
            self.pte_locks.update_acquire.eq(self.updates.lock_acquire),
            self.pte_locks.update_release.eq(self.updates.lock_release),
            self.updates.lock_busy.eq(self.pte_locks.update_busy),
            unit.lock_freed.eq(unit.lock_release | commands.lock_release | self.updates.lock_release),
            self.mm_locks.read_space.eq(unit.mm_space),
            self.mm_locks.read_acquire.eq(unit.mm_acquire),
            self.mm_locks.read_release.eq(unit.mm_release),
            unit.mm_may_read.eq(self.mm_locks.may_read),
            unit.mm_freed.eq(commands.mm_release),
            unit.changed.eq(commands.changed),
            unit.changed_space.eq(commands.changed_space),
            unit.changed_vpn.eq(commands.changed_vpn),
        ]
        # the slot's query of the sequence table belongs to the unit that executes its step in this cycle
        m.d.comb += [
            self.sequences.slot.id.eq(unit.sequence_id),
            unit.sequence.eq(self.sequences.slot.sequence),
            self.sequences.hold.eq(unit.vma_hold),
            self.sequences.drop.eq(unit.vma_drop),
            unit.vma_free.eq(~(commands.sequence_claim & (commands.sequence_id == unit.sequence_id))),
        ]

    def _connect_command_unit(self, m: Module) -> None:
        commands, finder = self.command_unit, self.finder
        m.d.comb += [
            self.spaces.write_table.eq(commands.space_write_table),
            self.spaces.write_vmas.eq(commands.space_write_vmas),
            self.spaces.write_space.eq(commands.space_index),
            self.spaces.write_data.eq(commands.space_data),
            self.spaces.write_features.eq(commands.space_features),
            finder.flush_space.eq(commands.space_write_table),
            finder.flush_index.eq(commands.space_index),
            self.sequences.writer_id.eq(commands.sequence_id),
            self.sequences.begin.eq(commands.sequence_begin),
            self.sequences.end.eq(commands.sequence_end),
            commands.sequence_next.eq(self.sequences.following),
            commands.sequence_idle.eq(self.sequences.idle),
            commands.sequence_unread.eq(self.sequences.unread),
            self.pte_locks.command_table.eq(commands.lock_table),
            self.pte_locks.command_acquire.eq(commands.lock_acquire),
            self.pte_locks.command_release.eq(commands.lock_release),
            commands.lock_busy.eq(self.pte_locks.command_busy),
            self.mm_locks.write_space.eq(commands.mm_space),
            self.mm_locks.claim.eq(commands.mm_claim),
            self.mm_locks.write_acquire.eq(commands.mm_acquire),
            self.mm_locks.write_release.eq(commands.mm_release),
            commands.mm_free.eq(self.mm_locks.free),
            commands.mm_held.eq(self.mm_locks.held),
            commands.pinned.eq(self.fault_unit.pinned),
            commands.walking.eq(Cat(self.walker.active, self.translator.updating)),
            commands.invalidating.eq(self.translator.busy),
            commands.released_idle.eq(self.released.idle),
        ]
        connect(m, commands.released, self.released.record)

    def _connect_queues(self, m: Module) -> None:
        registers, commands, status = self.register_file, self.command_unit, self.status
        connect(m, self.fault_unit.page_request, self.page_requests.request)
        connect(m, self.page_requests.done, self.fault_unit.page_done)
        connect(m, registers.page_queue, self.page_requests.queue)
        connect(m, registers.fault_queue, self.fault_records.queue)
        connect(m, registers.free_ring, self.pool.ring)
        connect(m, registers.released_ring, self.released.ring)
        connect(m, self.translator.reports[0], self.reports.ended)
        connect(m, self.translator.reports[1], self.reports.updated)
        connect(m, self.fault_unit.report, self.reports.refused)
        queue = registers.command_queue
        m.d.comb += [
            self.fault_records.report.valid.eq(self.reports.output.valid),
            self.fault_records.report.payload.eq(self.reports.output.payload),
            commands.queue.eq(queue.settings),
            commands.tail.eq(queue.tail),
            commands.stop.eq(queue.stop),
            queue.head.eq(commands.head),
            queue.busy.eq(commands.busy),
            queue.illegal.eq(commands.illegal),
            queue.memory_fault.eq(commands.memory_fault),
            queue.fence_done.eq(commands.fence_interrupt),
            registers.counters.how.eq(self.fault_unit.count_how),
            registers.counters.outcome_valid.eq(self.fault_unit.count_abort),
            registers.counters.outcome.eq(self.fault_unit.abort_reason),
            status.cq_head.eq(commands.head),
            status.pq_tail.eq(registers.page_queue.tail),
            status.free_head.eq(registers.free_ring.head),
            status.released_tail.eq(registers.released_ring.tail),
            status.cqcsr.eq(registers.cqcsr),
        ]
