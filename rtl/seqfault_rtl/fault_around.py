"""Maps the pages around a page of a file that has just been mapped. [docs/software-contract.md, Fault-around]

Whoever gives a job holds the lock of the leaf table until the answer, so nobody else writes the entries. A page that software is taking out
of the cache may be mapped here still: the ZAP that belongs to that waits for the lock, and finds the entry.
"""

from functools import reduce

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .messages import MemoryReadSignature, MemoryWriteSignature
from .page_messages import AROUND_PAGES, NODE_ALIGN_BITS, FaultAroundAnswer, FaultAroundJob, Slot
from .paging import PPN_BITS, Pte

__all__ = ["FaultAround"]

WINDOW_BITS = exact_log2(AROUND_PAGES)
WORD_BITS = 3
"""log2 of the bytes of an entry, and of a slot."""
PAGE_BITS = 12
ENTRIES, SLOTS = 0, 1
"""The two bursts, by their tags."""


class FaultAround(wiring.Component):
    """One job at a time.

    Cycles from a job's transfer to its answer, for a window of n pages of which k are set, with memory that takes at once, gives the first
    word of a burst L cycles after its request and one in each cycle then, and answers a write after L cycles: 2 n + k + 2 L + 2; if k is 0,
    2 n + L + 3; if n is 1, 3.

    Members
    -------
    jobs, answers : one answer for each job, in order, when its writes are visible or failed. After a read that failed nothing is
        written; it is an error too.
    read, write : memory; two bursts of up to 16 words, and then single words, all of one tag. Responses are always accepted.
    """

    jobs: In(stream.Signature(FaultAroundJob))
    answers: Out(stream.Signature(FaultAroundAnswer))
    read: Out(MemoryReadSignature())
    write: Out(MemoryWriteSignature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job, idle, ended = Signal(FaultAroundJob), Signal(), Signal()
        below, above = Signal(WINDOW_BITS), Signal(WINDOW_BITS)  # pages of the window below and above the job's
        self._empty, self._mappable = Signal(AROUND_PAGES), Signal(AROUND_PAGES)  # of what has been read
        self._unread = Signal()
        asked, answer = self.read.request, self.answers.payload
        m.d.comb += [
            answer.tag.eq(job.tag),
            answer.first_addr.eq(self._word(job.pte_addr, -below, PAGE_BITS)),
            asked.payload.beats.eq(below + above),
            asked.payload.addr.eq(answer.first_addr),
            ended.eq(self._write(m, job, below, whole=self._receive(m, idle), idle=idle)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.jobs.ready.eq(1), idle.eq(1)]
                with m.If(self.jobs.valid):
                    m.d.sync += job.eq(self.jobs.payload)
                    m.next = "WINDOW"
            with m.State("WINDOW"):
                down, up = self._window(job)
                m.d.sync += [below.eq(down), above.eq(up)]
                m.next = "ENTRIES"
            with m.State("ENTRIES"):
                alone = asked.payload.beats == 0
                m.d.comb += [asked.valid.eq(~alone), asked.payload.tag.eq(ENTRIES)]
                with m.If(alone):
                    m.next = "ANSWER"
                with m.Elif(asked.ready):
                    m.next = "SLOTS"
            with m.State("SLOTS"):
                m.d.comb += [asked.valid.eq(1), asked.payload.tag.eq(SLOTS)]
                m.d.comb += asked.payload.addr.eq(self._word(job.slot_addr, -below, NODE_ALIGN_BITS))
                with m.If(asked.ready):
                    m.next = "WRITE"
            with m.State("WRITE"), m.If(ended):
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.answers.valid.eq(1)
                with m.If(self.answers.ready):
                    m.next = "IDLE"
        return m

    def _window(self, job) -> tuple[Value, Value]:  # type: ignore[no-untyped-def]
        """Pages below and above the job's: as far as the aligned 16, the VMA and the node of the slot go."""
        place, slot = job.vpn[:WINDOW_BITS], job.slot_addr[WORD_BITS:NODE_ALIGN_BITS]
        down = (place, (job.vpn - job.start)[: len(job.vpn)], slot)
        up = (~place, (job.end - job.vpn - 1)[: len(job.end)], ~slot)
        return self._least(down), self._least(up)

    def _least(self, values: tuple[Value, ...]) -> Value:
        """The least of these numbers, at most 15."""
        capped = [value[:WINDOW_BITS] | value[WINDOW_BITS:].any().replicate(WINDOW_BITS) for value in values]
        return reduce(lambda one, other: Mux(one < other, one, other), capped)

    def _word(self, address: Value, distance: Value, area_bits: int) -> Value:
        """Address of the word `distance` words behind that at `address`, in the same naturally aligned area."""
        word = address[WORD_BITS:area_bits] + distance
        return Cat(Const(0, WORD_BITS), word[: area_bits - WORD_BITS], address[area_bits:])

    def _own(self, below: Value) -> Value:
        """The job's page among those of the window."""
        return Const(1) << below

    def _receive(self, m: Module, idle: Value) -> Value:
        """What the two bursts say about each page. True: both have ended."""
        word, failed, ended = self.read.response, Signal(), Signal(2)
        empty, mappable = Signal(AROUND_PAGES), Signal(AROUND_PAGES)
        place = [Signal(WINDOW_BITS, name=f"place_{tag}") for tag in (ENTRIES, SLOTS)]
        slot = Slot(word.payload.data)
        m.submodules.frames = self._frames = memory.Memory(shape=PPN_BITS, depth=AROUND_PAGES, init=[])
        store = self._frames.write_port()
        m.d.comb += [
            word.ready.eq(1),
            store.addr.eq(place[SLOTS]),
            store.data.eq(slot.ppn),
            store.en.eq(word.valid & (word.payload.tag == SLOTS)),
            self._empty.eq(empty),
            self._mappable.eq(Mux(failed, 0, mappable)),
            self._unread.eq(failed),
        ]
        says = ((ENTRIES, empty, ~word.payload.data.any()), (SLOTS, mappable, slot.may_be_mapped()))
        with m.If(word.valid):
            m.d.sync += failed.eq(failed | word.payload.error)
            for tag, known, content in says:
                with m.If(word.payload.tag == tag):
                    m.d.sync += [known.bit_select(place[tag], 1).eq(content), place[tag].eq(place[tag] + 1), ended[tag].eq(word.payload.last)]
        with m.If(idle):
            m.d.sync += [signal.eq(0) for signal in (failed, ended, empty, mappable, *place)]
        return ended.all()

    def _write(self, m: Module, job, below: Value, *, whole: Value, idle: Value) -> Value:  # type: ignore[no-untyped-def]
        """One entry a cycle, from the lowest on, when both bursts are `whole`. True: all have been written."""
        request, response, answer = self.write.request, self.write.response, self.answers.payload
        mask, left, error = Signal(AROUND_PAGES), Signal(AROUND_PAGES), Signal()
        place, entry = Signal(WINDOW_BITS), Signal(Pte)
        waiting = Signal(range(AROUND_PAGES + 1))
        load = self._frames.read_port(domain="comb")
        m.d.comb += [
            left.eq(self._empty & self._mappable & ~self._own(below) & ~mask),
            load.addr.eq(place),
            entry.eq(job.page_prot),
            entry.w.eq(0),
            entry.d.eq(0),
            entry.a.eq(1),
            entry.ppn.eq(load.data),
            request.valid.eq(whole & left.any()),
            request.payload.addr.eq(self._word(job.pte_addr, place - below, PAGE_BITS)),
            request.payload.data.eq(entry),
            response.ready.eq(1),
            answer.mask.eq(mask),
            answer.error.eq(error | self._unread),
        ]
        for index in reversed(range(AROUND_PAGES)):  # the lowest wins
            with m.If(left[index]):
                m.d.comb += place.eq(index)
        sent = request.valid & request.ready
        m.d.sync += waiting.eq(waiting + sent - response.valid)
        with m.If(sent):
            m.d.sync += mask.bit_select(place, 1).eq(1)
        with m.If(response.valid & response.payload.error):
            m.d.sync += error.eq(1)
        with m.If(idle):
            m.d.sync += [mask.eq(0), error.eq(0)]
        return whole & ~left.any() & (waiting == response.valid)
