"""The engine: its blocks, the bus and the step slot; how the blocks are connected is in `engine_wiring.py`."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import AxiLiteSignature, AxiSignature
from .axi_manager import AxiManager
from .command_unit import CommandUnit
from .config import EngineConfig
from .engine_wiring import connect_blocks
from .fault_around import FaultAround
from .fault_queue import FaultQueue
from .fault_reports import FaultReports
from .fault_steps import FaultSteps
from .fault_unit import FaultUnit
from .frame_pool import FramePool
from .locked_update import LockedUpdate
from .memory_updater import MemoryUpdater
from .messages import Answer, Event, PageResponse, ReleasedRecord, Request
from .mm_locks import MmLocks
from .mover import Mover
from .page_changes import PageChanges
from .page_lookup import PageLookup
from .page_request_queue import PageRequestQueue
from .pte_locks import PteLocks
from .record_ring import RecordRing
from .registers import WIRES, Registers
from .sequence_table import SequenceTable
from .space_table import SpaceTable
from .srcu import Srcu
from .srcu_call import SrcuCompletion
from .step_slot import StepSlot
from .translator import Translator
from .vma_finder import VmaFinder
from .walker import Walker

__all__ = ["Engine", "EngineStatus"]


class EngineStatus(wiring.Signature):
    """The indices that the engine moves, for a testbench that does not want to poll registers."""

    def __init__(self) -> None:
        super().__init__({name: Out(32) for name in ("cq_head", "pq_tail", "free_head", "released_tail", "cqcsr", "completion_tail")})


class Engine(wiring.Component):
    """TLB, walker and speculative fault unit behind one AXI4 manager and one AXI4-Lite subordinate.

    Parameters
    ----------
    config : sizes.

    Members
    -------
    requests, answers : one stream pair per requester port. withdraw : per port, a strobe: requests taken before this cycle are not answered
        any more (a fault that is being resolved is resolved all the same). responses : per port, software is done with a page request; it may come
        before the answer RETRY of that request.
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
                "responses": Out(PageResponse).array(config.ports),
                "axi": Out(AxiSignature(id_bits=self.memory.id_bits)),
                "registers": In(AxiLiteSignature()),
                "interrupts": Out(WIRES),
                "status": Out(EngineStatus()),
                "event": Out(Event),
                "event_valid": Out(1),
            }
        )

    def make_steps(self) -> FaultSteps:
        """What decides the steps of faults; a testbench may make another, to plant a bug."""
        return FaultSteps(self.config)

    def make_blocks(self) -> None:
        """The blocks; a testbench may replace one before elaboration to plant a bug."""
        config = self.config
        self.translator = Translator(config)
        self.walker = Walker(config)
        self.finder = VmaFinder(config)
        self.fault_unit = FaultUnit(config, self.make_steps())
        self.command_unit = CommandUnit(config)
        self.spaces = SpaceTable(config)
        self.sequences = SequenceTable(config)
        self.pte_locks = PteLocks(config)
        self.mm_locks = MmLocks(config)
        self.changes = PageChanges()
        self.slot = StepSlot()
        self.pool = FramePool(config)
        self.pages = PageLookup(config)
        self.mover = Mover()
        self.around = FaultAround()
        self.page_requests = PageRequestQueue(config)
        self.released = RecordRing(ReleasedRecord)
        self.srcu = Srcu(config)
        self.completions = RecordRing(SrcuCompletion)
        self.reports = FaultReports(config)
        self.fault_records = FaultQueue(config)
        self.register_file = Registers(config)
        self.updates = LockedUpdate()
        self.updater = MemoryUpdater()
        self.memory = AxiManager(config, readers=8, writers=8, burst_writer=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in (
            "translator", "walker", "finder", "fault_unit", "command_unit", "spaces", "sequences", "pte_locks", "mm_locks",
            "changes", "slot", "pool", "pages", "mover", "around", "page_requests", "released", "srcu", "completions", "reports",
            "fault_records", "register_file", "updates", "updater", "memory",
        ):  # fmt: skip
            m.submodules[name] = getattr(self, name)
        self._connect_outside(m)
        self._connect_memory(m)
        connect_blocks(m, self)
        return m

    def _connect_outside(self, m: Module) -> None:
        for port in range(self.config.ports):
            connect(m, flipped(self.requests[port]), self.translator.requests[port])
            connect(m, self.translator.answers[port], flipped(self.answers[port]))
            m.d.comb += self.translator.withdraw[port].eq(self.withdraw[port])
            m.d.comb += self.responses[port].eq(self.command_unit.responses[port])
        connect(m, self.memory.axi, flipped(self.axi))
        connect(m, flipped(self.registers), self.register_file.bus)
        m.d.comb += self.interrupts.eq(self.register_file.interrupts)
        connect(m, self.slot.faults, self.fault_unit.slot)
        connect(m, self.slot.commands, self.command_unit.slot)
        connect(m, self.slot.updates, self.updates.slot)
        if self.config.events:
            m.d.comb += [self.event.eq(self.slot.event), self.event_valid.eq(self.slot.event_valid)]

    def _connect_memory(self, m: Module) -> None:
        readers = (
            self.walker.memory, self.finder.memory, self.command_unit.read, self.pool.read, self.updater.read, self.pages.memory,
            self.around.read, self.mover.read,
        )  # fmt: skip
        writers = (
            self.fault_unit.write, self.command_unit.write, self.page_requests.write, self.released.write, self.updater.write,
            self.fault_records.write, self.completions.write, self.around.write,
        )  # fmt: skip
        # both halves of the updater's exclusive accesses need one AXI ID, so it has the same place among readers and writers
        for index, port in enumerate(readers):
            connect(m, port, self.memory.reads[index])
        for index, port in enumerate(writers):
            connect(m, port, self.memory.writes[index])
        connect(m, self.mover.write, self.memory.burst)
