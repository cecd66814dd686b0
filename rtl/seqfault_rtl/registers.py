"""The engine's register page on AXI4-Lite: queue settings and indices, sticky errors, interrupts, policy, counters.

What there is stands in `register_map.py`; here the fields are wired to the units. Unmapped offsets read 0 and ignore writes, with OKAY.
[IOMMU 1.0, 5]
"""

from amaranth import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AXIL_DATA_BITS, AxiLiteSignature
from .axi_lite import AxiLiteSubordinate
from .config import EngineConfig
from .counters import Counters
from .paging import PPN_BITS
from .queue_port import CommandQueuePort, CounterStrobes, QueueConsumerPort, QueueProducerPort
from .register_file import RegisterFile
from .register_map import REGISTERS

__all__ = ["WIRES", "Registers"]

POLICY_BITS = 2
WIRES = 6


class Registers(wiring.Component):
    """Register block.

    Members
    -------
    bus : AXI4-Lite subordinate, 32-bit data, byte addresses of two pages.
    command_queue, page_queue, fault_queue, free_ring, released_ring, completion_ring : to the units that run them.
    srcu_refused : strobe: an SRCU.CALL was refused; sets `sccsr.refused` and counts.
    zero_frame : PPN of the shared zero frame.
    policy : 0 speculative, 1 VMA lock, 2 mm lock. unzeroed : free frames are not zeroed.
    counters : what to count, from the FaultUnit.
    interrupts : wires, level: command queue, page-request queue, free ring, released ring, fault queue, completion ring
        (`ipsr` bits cip, pip, ffip, rfip, fip, scip).
    cqcsr : the register as software reads it, for testbenches.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "bus": In(AxiLiteSignature()),
                "command_queue": Out(CommandQueuePort()),
                "page_queue": Out(QueueProducerPort()),
                "fault_queue": Out(QueueProducerPort()),
                "free_ring": Out(QueueConsumerPort()),
                "released_ring": Out(QueueProducerPort()),
                "completion_ring": Out(QueueProducerPort()),
                "srcu_refused": In(1),
                "zero_frame": Out(PPN_BITS),
                "policy": Out(POLICY_BITS),
                "unzeroed": Out(1),
                "counters": In(CounterStrobes()),
                "interrupts": Out(WIRES),
                "cqcsr": Out(AXIL_DATA_BITS),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.subordinate = subordinate = AxiLiteSubordinate()
        m.submodules.file = file = RegisterFile(REGISTERS)
        m.submodules.counters = counters = Counters()
        wiring.connect(m, wiring.flipped(self.bus), subordinate.bus)
        wiring.connect(m, subordinate.registers, file.access)
        wiring.connect(m, wiring.flipped(self.counters), counters.strobes)
        self._queues(m, file)
        self._interrupts(m, file)
        self._counters(m, file, counters)
        m.d.comb += [
            self.zero_frame.eq(file.fields.zero_frame.ppn),
            self.cqcsr.eq(file.views.cqcsr),
            self.policy.eq(file.fields.control.policy),
            self.unzeroed.eq(file.fields.control.unzeroed),
            file.set.errors.locked_write.eq(file.locked_write),
            file.set.errors.busy_write.eq(file.busy_write),
        ]
        return m

    def _queues(self, m: Module, file: RegisterFile) -> None:
        fields, hardware, sticky = file.fields, file.hardware, file.set
        command, page, fault, free, released = self.command_queue, self.page_queue, self.fault_queue, self.free_ring, self.released_ring
        completed = self.completion_ring
        errors = fields.cqcsr.cqmf | fields.cqcsr.cmd_to | fields.cqcsr.cmd_ill
        self._queue(m, file, command, letters="cq", stop=errors)
        self._queue(m, file, page, letters="pq", stop=fields.pqcsr.pqmf | fields.pqcsr.pqof)
        self._queue(m, file, fault, letters="fq", stop=fields.fqcsr.fqmf | fields.fqcsr.fqof)
        self._queue(m, file, free, letters="ff", stop=fields.ffcsr.ffmf)
        self._queue(m, file, released, letters="rf", stop=fields.rfcsr.rfmf)
        self._queue(m, file, completed, letters="sc", stop=fields.sccsr.scmf)
        m.d.comb += [
            command.tail.eq(fields.cqt.index),
            hardware.cqh.index.eq(command.head),
            sticky.cqcsr.cmd_ill.eq(command.illegal),
            sticky.cqcsr.fence_w_ip.eq(command.fence_done),
            page.head.eq(fields.pqh.index),
            hardware.pqt.index.eq(page.tail),
            sticky.pqcsr.pqof.eq(page.overflow),
            fault.head.eq(fields.fqh.index),
            hardware.fqt.index.eq(fault.tail),
            sticky.fqcsr.fqof.eq(fault.overflow),
            free.tail.eq(fields.fft.index),
            hardware.ffh.index.eq(free.head),
            released.head.eq(fields.rfh.index),
            hardware.rft.index.eq(released.tail),
            sticky.rfcsr.full.eq(released.overflow),
            completed.head.eq(fields.sch.index),
            hardware.sct.index.eq(completed.tail),
            sticky.sccsr.full.eq(completed.overflow),
            sticky.sccsr.refused.eq(self.srcu_refused),
        ]

    def _queue(self, m: Module, file: RegisterFile, port: wiring.PureInterface, *, letters: str, stop: Value) -> None:
        """What all queues have: base, csr, and the bits named by the queue's letters."""
        base, csr = f"{letters}b", f"{letters}csr"
        enable = file.fields[csr][f"{letters}en"]
        m.d.comb += [
            port.settings.base.eq(file.fields[base].ppn),
            port.settings.log2_entries.eq(file.fields[base].log2sz_minus_1 + 1),
            port.settings.enable.eq(enable),
            port.stop.eq(stop),
            file.on[csr].eq(enable | port.busy),
            file.hardware[csr][f"{letters}on"].eq(enable | port.busy),
            file.hardware[csr].busy.eq(~enable & port.busy),
            file.set[csr][f"{letters}mf"].eq(port.memory_fault),
        ]

    def _interrupts(self, m: Module, file: RegisterFile) -> None:
        """Causes set the pending bits again as long as they are there. [IOMMU 5.18]"""
        fields, pending = file.fields, file.fields.ipsr
        command, page, fault, released, completed = fields.cqcsr, fields.pqcsr, fields.fqcsr, fields.rfcsr, fields.sccsr
        m.d.comb += [
            file.set.ipsr.cip.eq(command.cie & (command.cqmf | command.cmd_to | command.cmd_ill | command.fence_w_ip)),
            file.set.ipsr.pip.eq(page.pie & (page.pqof | page.pqmf | self.page_queue.written)),
            file.set.ipsr.fip.eq(fault.fie & (fault.fqof | fault.fqmf | self.fault_queue.written)),
            file.set.ipsr.ffip.eq(fields.ffcsr.ffie & fields.ffcsr.ffmf),
            file.set.ipsr.rfip.eq(released.rfie & (released.full | released.rfmf | self.released_ring.written)),
            file.set.ipsr.scip.eq(completed.scie & (completed.full | completed.refused | completed.scmf | self.completion_ring.written)),
            self.interrupts.eq(Cat(pending.cip, pending.pip, pending.ffip, pending.rfip, pending.fip, pending.scip)),
        ]

    def _counters(self, m: Module, file: RegisterFile, counters: Counters) -> None:
        for name in ("cycles", "page_requests_dropped", "released_wait", "fault_records_dropped", "srcu_refused", "faults", "fault_cycles"):
            m.d.comb += file.hardware[name].count.eq(getattr(counters, name))
        for name in ("answers", "outcomes"):
            array = getattr(file.arrays, name)
            m.d.comb += [getattr(counters, f"{name}_index").eq(array.index), array.value.eq(getattr(counters, name))]
        m.d.comb += [
            counters.dropped.eq(self.page_queue.dropped),
            counters.waiting.eq(self.released_ring.overflow),
            counters.fault_dropped.eq(self.fault_queue.dropped),
            counters.refused.eq(self.srcu_refused),
        ]
