"""Writes records of two words to a ring in memory that software reads, and loses none: removed entries, and SRCU calls that have completed.

Each record is kept until both of its words have been answered, and then the tail moves over it. A full or disabled ring, and
one stopped by a bus error, makes the writer wait; after a bus error the records not yet answered are written again. Several records are
under way at a time, in order. [docs/software-contract.md: Rings, SRCU]
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .messages import MemoryWriteSignature
from .queue_port import INDEX_BITS, QueueProducerPort, entry_address, next_index

__all__ = ["RecordRing"]

RECORD_BYTES = 16
WORD_BYTES = 8
WORD_BITS = 8 * WORD_BYTES
BUFFER_RECORDS = 8
"""Records accepted and not yet in memory; this many writes hide the bus latency."""


class RecordRing(wiring.Component):
    """The engine's end of the ring.

    Parameters
    ----------
    shape : a record as it is in memory: 128 bits, the first word lowest.

    Members
    -------
    record : what to write; taken into a small buffer, in order.
    write : memory; all writes have tag 0, so that answers come in order.
    idle : nothing is buffered: all records are in memory and the tail has moved over them. A fence waits for the released ring to be.
    ring : registers; `overflow` while a record waits because the ring is full or disabled, `memory_fault` when a write failed.

    Raises
    ------
    ValueError : a record has another size.
    """

    def __init__(self, shape: type[data.Struct]) -> None:
        if (size := data.Layout.cast(shape).size) != 8 * RECORD_BYTES:
            raise ValueError(f"shape must have {8 * RECORD_BYTES} bits, not {size}")
        self.shape = shape
        super().__init__(
            {
                "record": In(stream.Signature(shape)),
                "write": Out(MemoryWriteSignature()),
                "idle": Out(1),
                "ring": In(QueueProducerPort()),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        bits = exact_log2(BUFFER_RECORDS)
        # positions in the buffer; the extra bit tells full from empty. stored <- filling, sent <- writing, answered <- safe in memory
        stored = Signal(bits + 1)
        sent = Signal(bits + 1)
        answered = Signal(bits + 1)
        m.submodules.buffer = buffer = memory.Memory(shape=self.shape, depth=BUFFER_RECORDS, init=[])
        store = buffer.write_port()
        load = buffer.read_port(domain="comb")
        m.d.comb += [
            self.idle.eq(stored == answered),
            self.record.ready.eq((stored - answered)[: bits + 1] != BUFFER_RECORDS),
            store.addr.eq(stored),
            store.data.eq(self.record.payload),
            store.en.eq(self.record.valid & self.record.ready),
            load.addr.eq(sent),
        ]
        with m.If(store.en):
            m.d.sync += stored.eq(stored + 1)
        self._write(m, load.data, stored=stored, sent=sent, answered=answered)
        return m

    def _write(self, m: Module, record: data.View, *, stored: Signal, sent: Signal, answered: Signal) -> None:
        settings = self.ring.settings
        request, response = self.write.request, self.write.response
        tail = Signal(INDEX_BITS)  # entry of the record at `answered`
        slot = Signal(INDEX_BITS)  # entry of the record at `sent`
        writing = Signal()  # a record is being sent; it is finished whatever happens to the ring
        second = Signal()  # its second word is next
        second_answered = Signal()  # the next response is that of a second word
        pending = Signal(range(2 * BUFFER_RECORDS + 1))
        failed = Signal()
        was_enabled = Signal()
        starting = settings.enable & ~was_enabled
        blocked = ~settings.enable | (next_index(settings, slot) == self.ring.head)
        go = (sent != stored) & ~writing & ~failed & ~self.ring.stop & ~starting
        m.d.sync += was_enabled.eq(settings.enable)
        m.d.comb += [
            self.ring.tail.eq(tail),
            self.ring.busy.eq((pending != 0) | writing),
            self.ring.overflow.eq(go & blocked),
            request.valid.eq(writing),
            request.payload.addr.eq(entry_address(settings, slot, RECORD_BYTES) + Mux(second, WORD_BYTES, 0)),
            request.payload.data.eq(Value.cast(record).word_select(second, WORD_BITS)),
            response.ready.eq(1),
        ]
        m.d.sync += pending.eq(pending + (request.valid & request.ready) - response.valid)
        with m.If(go & ~blocked):
            m.d.sync += writing.eq(1)
        with m.If(request.valid & request.ready):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += [writing.eq(0), sent.eq(sent + 1), slot.eq(next_index(settings, slot))]
        with m.If(response.valid):
            m.d.sync += second_answered.eq(~second_answered)
            with m.If(response.payload.error):
                m.d.comb += self.ring.memory_fault.eq(1)
                m.d.sync += failed.eq(1)
            with m.Elif(second_answered & ~failed):
                m.d.comb += self.ring.written.eq(1)
                m.d.sync += [answered.eq(answered + 1), tail.eq(next_index(settings, tail))]
        # all answers are in: write again from the first record that is not safe
        with m.If(failed & (pending == 0) & ~writing):
            m.d.sync += [failed.eq(0), second_answered.eq(0), sent.eq(answered), slot.eq(tail)]
        with m.If(starting):
            m.d.sync += [tail.eq(0), slot.eq(0)]
