"""Writes page-request records for software in the RISC-V IOMMU's page-request queue.

A record is in memory (both words answered) before the tail moves, and the tail has moved before `done` says OK. Nothing waits for
software: a record that finds the queue full, stopped (`pqof` or `pqmf` set) or disabled is dropped and answered QUEUE_FULL.
[IOMMU 3.3, 5.12 to 5.17]
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .config import EngineConfig
from .messages import MemoryWriteSignature, Outcome, PageRequest, PageRequestDone
from .paging import Access
from .queue_port import INDEX_BITS, QueueProducerPort, entry_address, next_index
from .record_writer import RecordWriter

__all__ = ["PageRequestQueue", "PageRequestWord0", "PageRequestWord1"]

RECORD_BYTES = 16
WORDS = 2


class PageRequestWord0(data.Struct):
    """First word of a record; `reason` is the engine's own, in bits that the standard reserves."""

    reason: Outcome
    reserved_5: 7
    pid: 20
    pv: 1
    priv: 1
    exec: 1
    reserved_35: 5
    did: 24


class PageRequestWord1(data.Struct):
    """Second word of a record; `page` is the page address without its 12 low bits."""

    r: 1
    w: 1
    l: 1  # noqa: E741 (the standard's name)
    prgi: 9
    page: 52


class PageRequestQueue(wiring.Component):
    """One record at a time: write two words, wait for both answers, move the tail, answer.

    Members
    -------
    request : the fault to hand over; of R, W and EXEC the one that the access asks for is set.
    done : one for each request, in order: OK, QUEUE_FULL or BUS_ERROR.
    write : memory; tag 0 and 1 for the words, at most two writes under way.
    queue : registers; `overflow` when the queue is full, `memory_fault` when a write failed, `dropped` whenever `done` is not OK.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "request": In(stream.Signature(PageRequest)),
                "done": Out(stream.Signature(PageRequestDone)),
                "write": Out(MemoryWriteSignature()),
                "queue": In(QueueProducerPort()),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        settings = self.queue.settings
        tail = Signal(INDEX_BITS)
        held = Signal(PageRequest)
        outcome = Signal(Outcome)
        was_enabled = Signal()
        starting = settings.enable & ~was_enabled
        refused = ~settings.enable | self.queue.stop
        full = next_index(settings, tail) == self.queue.head
        m.submodules.writer = writer = RecordWriter(WORDS)
        connect(m, writer.write, flipped(self.write))
        m.d.sync += was_enabled.eq(settings.enable)
        m.d.comb += [
            self.queue.tail.eq(tail),
            writer.address.eq(entry_address(settings, tail, RECORD_BYTES)),
            writer.words.eq(Cat(self._words(m, held))),
        ]
        with m.If(starting):
            m.d.sync += tail.eq(0)  # [IOMMU 5.17, pqen]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.request.ready.eq(~starting)
                m.d.sync += held.eq(self.request.payload)
                with m.If(self.request.valid & self.request.ready):
                    with m.If(refused | full):
                        m.d.comb += [self.queue.dropped.eq(1), self.queue.overflow.eq(~refused)]
                        m.d.sync += outcome.eq(Outcome.QUEUE_FULL)
                        m.next = "DONE"
                    with m.Else():
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.queue.busy.eq(1), writer.run.eq(1)]
                with m.If(writer.done):
                    m.next = "MOVE"
            with m.State("MOVE"):
                m.d.comb += [self.queue.busy.eq(1), self.queue.memory_fault.eq(writer.failed), self.queue.dropped.eq(writer.failed)]
                m.d.comb += self.queue.written.eq(~writer.failed)
                m.d.sync += outcome.eq(Mux(writer.failed, Outcome.BUS_ERROR, Outcome.OK))
                with m.If(~writer.failed):
                    m.d.sync += tail.eq(next_index(settings, tail))
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [self.done.valid.eq(1), self.done.payload.agent.eq(held.agent), self.done.payload.outcome.eq(outcome)]
                with m.If(self.done.ready):
                    m.next = "IDLE"
        return m

    def _words(self, m: Module, request: data.View) -> list[Value]:
        word0 = Signal(PageRequestWord0)
        word1 = Signal(PageRequestWord1)
        m.d.comb += [
            word0.reason.eq(request.reason),
            word0.pid.eq(request.space),
            word0.pv.eq(1),
            word0.exec.eq(request.access == Access.FETCH),
            word0.did.eq(request.port),
            word1.r.eq(request.access == Access.LOAD),
            word1.w.eq(request.access == Access.STORE),
            word1.l.eq(1),
            word1.prgi.eq(request.tag),
            word1.page.eq(request.vpn),
        ]
        return [word0.as_value(), word1.as_value()]
