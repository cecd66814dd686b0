"""Zeroes and copies whole frames by bursts, for copy-on-write and for frames that software has not zeroed. [architecture.md: Mover]

Cycles from a job's transfer to its answer, with memory that takes at once, gives its first word and its answer L cycles after the request
and after the last word, and else moves a word a cycle: ZERO 515 + L, COPY 524 + 2 L (for L of at most 115, see `READS_AHEAD`).
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .axi import AXI_DATA_BITS
from .memory_bursts import MemoryBurstSignature
from .messages import MemoryReadSignature
from .move_messages import MoveAnswer, MoveJob, MoveOperation
from .page_bursts import BURST_WORDS, BURSTS, PAGE_WORDS, PageBursts

__all__ = ["Mover"]

READS_AHEAD = 16
"""Read bursts under way at most: full rate up to a latency of 115 cycles, and a bound on what others find ahead of them in a slow memory."""


class Mover(wiring.Component):
    """One job at a time, in order.

    Of a copy, reads and writes overlap. Reads are asked for at the pace at which the bus gives words, so that they do not queue up ahead of
    a walk; a write burst is offered when all its words are here, and then a word in each cycle, so that it holds up nobody.

    After a bus error nothing new is asked for. The job ends with `error` when all that was asked for has been answered; of the target
    frame then any bursts are written. No word of a burst that was read with an error is written, and nothing outside the target frame.

    Members
    -------
    jobs, answers : one answer for each job, in order, when its writes are visible or failed. A job waits for the answer before it.
    read, write : memory; bursts of `BURST_WORDS` words, naturally aligned, all with tag 0, so that answers come in order. Responses are
        always accepted.
    """

    jobs: In(stream.Signature(MoveJob))
    answers: Out(stream.Signature(MoveAnswer))
    read: Out(MemoryReadSignature())
    write: Out(MemoryBurstSignature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reads = reads = PageBursts()
        m.submodules.writes = writes = PageBursts()
        job = Signal(MoveJob)
        copying, failed = Signal(), Signal()
        m.d.comb += [
            copying.eq(job.operation == MoveOperation.COPY),
            reads.ppn.eq(job.source),
            writes.ppn.eq(job.target),
            self.answers.payload.tag.eq(job.tag),
            self.answers.payload.error.eq(failed),
        ]
        with m.If(self._failing()):
            m.d.sync += failed.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.jobs.ready.eq(1)
                with m.If(self.jobs.valid):
                    m.d.comb += [reads.start.eq(1), writes.start.eq(1)]
                    m.d.sync += [job.eq(self.jobs.payload), failed.eq(0)]
                    m.next = "MOVE"
            with m.State("MOVE"):
                m.d.comb += [
                    reads.may.eq(copying & ~failed & self._may_read(m, reads)),
                    writes.may.eq(~failed & self._may_write(copying, reads, writes)),
                ]
                with m.If(self._is_over(reads, writes, failed)):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.answers.valid.eq(1)
                with m.If(self.answers.ready):
                    m.next = "IDLE"
        self._connect_reads(m, reads)
        self._connect_writes(m, writes, copying)
        return m

    def _failing(self) -> Value:
        """The bus reports an error in this cycle."""
        read, write = self.read.response, self.write.response
        return (read.valid & read.payload.error) | (write.valid & write.payload.error)

    def _may_read(self, m: Module, reads: PageBursts) -> Value:
        """A burst for every `BURST_WORDS` cycles; what a busy bus held up is made up for, up to one burst."""
        credit = Signal(range(2 * BURST_WORDS))
        ahead = Signal(range(BURSTS + 1))
        spent = Mux(reads.burst.valid & reads.burst.ready, BURST_WORDS, 0)
        earned = credit != 2 * BURST_WORDS - 1
        m.d.comb += ahead.eq(reads.offered - reads.answered)
        m.d.sync += credit.eq(credit + earned - spent)
        return ~reads.burst.valid & (credit >= BURST_WORDS) & (ahead < READS_AHEAD)

    def _may_write(self, copying: Value, reads: PageBursts, writes: PageBursts) -> Value:
        """The words of the next burst are in the buffer, if it needs any."""
        return ~copying | (writes.offered != reads.answered)

    def _is_over(self, reads: PageBursts, writes: PageBursts, failed: Value) -> Value:
        return reads.idle & writes.idle & (writes.last | failed)

    def _buffer(self, m: Module, restart: Value, next_word: Value) -> Value:
        """Keeps what is read, in order; the result is the word `next_word` of the cycle before."""
        m.submodules.buffer = buffer = memory.Memory(shape=AXI_DATA_BITS, depth=PAGE_WORDS, init=[])
        store, load = buffer.write_port(), buffer.read_port()
        stored = Signal(range(PAGE_WORDS))
        m.d.comb += [
            store.addr.eq(stored),
            store.data.eq(self.read.response.payload.data),
            store.en.eq(self.read.response.valid),
            load.addr.eq(next_word),
        ]
        with m.If(store.en):
            m.d.sync += stored.eq(stored + 1)
        with m.If(restart):
            m.d.sync += stored.eq(0)
        return load.data

    def _connect_reads(self, m: Module, reads: PageBursts) -> None:
        request, response = self.read.request, self.read.response
        m.d.comb += [
            request.valid.eq(reads.burst.valid),
            reads.burst.ready.eq(request.ready),
            request.payload.addr.eq(reads.burst.payload),
            request.payload.beats.eq(BURST_WORDS - 1),
            response.ready.eq(1),
            reads.ended.eq(response.valid & response.payload.last),
        ]

    def _connect_writes(self, m: Module, writes: PageBursts, copying: Value) -> None:
        request, word, response = self.write.request, self.write.data, self.write.response
        sent = Signal(range(PAGE_WORDS + 1))
        following = Signal.like(sent)
        m.d.comb += [
            request.valid.eq(writes.burst.valid),
            writes.burst.ready.eq(request.ready),
            request.payload.addr.eq(writes.burst.payload),
            request.payload.beats.eq(BURST_WORDS - 1),
            word.valid.eq(sent[exact_log2(BURST_WORDS) :] != writes.offered),
            following.eq(sent + (word.valid & word.ready)),
            word.payload.eq(Mux(copying, self._buffer(m, writes.start, following), 0)),
            response.ready.eq(1),
            writes.ended.eq(response.valid),
        ]
        m.d.sync += sent.eq(Mux(writes.start, 0, following))
