"""Writes fault records for software in the RISC-V IOMMU's fault queue. [IOMMU 4.2, 5.9 to 5.11, 5.16]

Nobody waits for it: a report is taken in the cycle in which it is made, always. A record that cannot be written is dropped and counted: the
queue is full (`fqof`), stopped (`fqof` or `fqmf` is set) or off, the bus answers with an error (`fqmf`), or reports came faster than memory
takes records. What was reported before the first record that is dropped is in memory, in order, and nothing after it until software clears
the sticky bit.
"""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .config import EngineConfig
from .fault_records import RECORD_WORDS, FaultReport, record_words
from .messages import MemoryWriteSignature
from .queue_port import INDEX_BITS, QueueProducerPort, entry_address, next_index
from .record_writer import RecordWriter

__all__ = ["FaultQueue"]

WORD_BYTES = 8
RECORD_BYTES = RECORD_WORDS * WORD_BYTES
BUFFER_REPORTS = 16
"""Reports taken and not yet in memory, beside the one that is being written; as many as one primitive of distributed RAM holds."""


class FaultQueue(wiring.Component):
    """One record at a time: write four words, wait for all answers, move the tail.

    A report that finds the buffer full is lost; then all are, until what is buffered is done with, and `overflow` says so: to software it is
    a queue that was full. Not lost in any case: `BUFFER_REPORTS` reports in as many cycles, and then one for each record that is written.

    Members
    -------
    report : always ready, whatever the queue and memory do. Nobody is told when its record is in memory: a requester may be answered before.
    write : memory; the tag is the word's number, at most four writes under way.
    queue : registers. `overflow` when a record was dropped because the queue was full, or reports were lost as said above; `memory_fault` when
        a write failed; `dropped` one cycle for each record dropped, for whatever reason, at most `BUFFER_REPORTS` + 2 cycles later; `busy`
        while a record is being written, or reports are held and the queue is off (they are dropped, one a cycle).
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "report": In(stream.Signature(FaultReport)),
                "write": Out(MemoryWriteSignature()),
                "queue": In(QueueProducerPort()),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        queue, settings = self.queue, self.queue.settings
        tail = Signal(INDEX_BITS)
        leave, dropped = Signal(), Signal()  # strobes: the oldest report is done with, it is dropped
        losing, was_enabled = Signal(), Signal()
        starting = settings.enable & ~was_enabled
        refused = ~settings.enable | queue.stop
        following = next_index(settings, tail)
        held, report, lost = self._buffer(m, leave, closed=losing | ~settings.enable)
        m.submodules.writer = writer = RecordWriter(RECORD_WORDS)
        failed = writer.failed
        connect(m, writer.write, flipped(self.write))
        m.d.sync += was_enabled.eq(settings.enable)
        m.d.comb += [
            queue.tail.eq(tail),
            writer.address.eq(entry_address(settings, tail, RECORD_BYTES)),
            writer.words.eq(Cat(record_words(m, report))),
        ]
        with m.If(lost):
            m.d.sync += losing.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += queue.busy.eq(held & ~settings.enable)
                with m.If(losing & ~held):
                    m.d.comb += queue.overflow.eq(~refused)
                    m.d.sync += losing.eq(0)
                with m.If(held & ~starting):
                    with m.If(refused | (following == queue.head)):
                        m.d.comb += [leave.eq(1), dropped.eq(1), queue.overflow.eq(~refused)]
                    with m.Else():
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [queue.busy.eq(1), writer.run.eq(1)]
                with m.If(writer.done):
                    m.next = "MOVE"
            with m.State("MOVE"):
                m.d.comb += [queue.busy.eq(1), leave.eq(1), queue.memory_fault.eq(failed), dropped.eq(failed), queue.written.eq(~failed)]
                with m.If(~failed):
                    m.d.sync += tail.eq(following)
                m.next = "IDLE"
        with m.If(starting):
            m.d.sync += tail.eq(0)  # [IOMMU 5.16, fqen]
        with m.If(~settings.enable):
            m.d.sync += losing.eq(0)
        self._count(m, lost, dropped)
        return m

    def _buffer(self, m: Module, leave: Value, *, closed: Value) -> tuple[Value, FaultReport, Value]:
        """Keep reports in order, but none while `closed`; the result is whether one is held, the oldest, and a strobe: one was not kept."""
        bits = exact_log2(BUFFER_REPORTS)
        m.submodules.buffer = buffer = memory.Memory(shape=FaultReport, depth=BUFFER_REPORTS, init=[])
        store, load = buffer.write_port(), buffer.read_port(domain="comb")
        stored, left = Signal(bits + 1), Signal(bits + 1)  # positions in the buffer; the extra bit tells full from empty
        full = (stored - left)[: bits + 1] == BUFFER_REPORTS
        m.d.comb += [
            self.report.ready.eq(1),
            store.addr.eq(stored[:bits]),
            store.data.eq(self.report.payload),
            store.en.eq(self.report.valid & ~closed & ~full),
            load.addr.eq(left[:bits]),
        ]
        with m.If(store.en):
            m.d.sync += stored.eq(stored + 1)
        with m.If(leave):
            m.d.sync += left.eq(left + 1)
        return stored != left, load.data, self.report.valid & ~store.en

    def _count(self, m: Module, lost: Value, dropped: Value) -> None:
        """`dropped` of the register port counts one a cycle; two can be dropped in a cycle, but not more than were reported."""
        uncounted = Signal(range(BUFFER_REPORTS + 3))
        m.d.comb += self.queue.dropped.eq(uncounted.any())
        m.d.sync += uncounted.eq(uncounted + lost + dropped - self.queue.dropped)
