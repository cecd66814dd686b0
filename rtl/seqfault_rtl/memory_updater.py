"""Atomic update of a page-table entry by exclusive accesses: read, compare, write if nobody wrote meanwhile. [AXI A7.2; Priv 12.3.2, step 9]"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .messages import MemoryReadResponse, MemoryReadSignature, MemoryUpdateRequest, MemoryUpdateSignature, MemoryWriteSignature

__all__ = ["MemoryUpdater"]

WORD_BITS = 3
"""Address bits within a 64-bit word."""
NARROW_BITS = 32
"""Width of an Sv32 entry in bits. [Priv 12.3.1]"""
LOWER_BYTES = 0b0000_1111
"""The bytes of a word's lower half."""


class MemoryUpdater(wiring.Component):
    """Compare and swap of one entry, one at a time.

    Both accesses are of the aligned 64-bit word with the same tag, as an exclusive pair must be; of a narrow entry only its own bytes are
    compared and written. A writer of the other half can make the swap fail, and is not overwritten.

    Members
    -------
    update : what is to be swapped. `error`: the bus answered so, or OKAY to the exclusive read: the memory does not have exclusive accesses
        there, so it lacks what the update needs. [Priv 3.6.3, PMA check]
    read, write : memory; connect both to the same client number of `AxiManager`, which is a part of the ID.
    """

    update: In(MemoryUpdateSignature())
    read: Out(MemoryReadSignature())
    write: Out(MemoryWriteSignature())

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        asked, answer, word = Signal(MemoryUpdateRequest), self.update.response, self.read.response.payload
        upper = Signal()
        m.d.comb += upper.eq(asked.narrow & asked.addr[WORD_BITS - 1])
        self._request(m, asked, upper)
        failed, same = self._is_failed(word), self._is_same(asked, Mux(upper, word.data[NARROW_BITS:], word.data))
        with m.FSM():
            with m.State("READ"):
                m.d.comb += [self.read.request.valid.eq(self.update.request.valid), self.update.request.ready.eq(self.read.request.ready)]
                with m.If(self.read.request.valid & self.read.request.ready):
                    m.d.sync += asked.eq(self.update.request.payload)
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.comb += self.read.response.ready.eq(1)
                with m.If(self.read.response.valid):
                    m.d.sync += [answer.payload.swapped.eq(0), answer.payload.error.eq(failed)]
                    m.next = "ANSWER"
                    with m.If(~failed & same):
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.write.request.valid.eq(1)
                with m.If(self.write.request.ready):
                    m.next = "WRITTEN"
            with m.State("WRITTEN"):
                m.d.comb += self.write.response.ready.eq(1)
                with m.If(self.write.response.valid):
                    done = self.write.response.payload
                    m.d.sync += [answer.payload.swapped.eq(done.exclusive & ~done.error), answer.payload.error.eq(done.error)]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += answer.valid.eq(1)
                with m.If(answer.ready):
                    m.next = "READ"
        return m

    def _is_failed(self, word: MemoryReadResponse) -> Value:
        return word.error | ~word.exclusive

    def _is_same(self, asked: MemoryUpdateRequest, found: Value) -> Value:
        """What was found is the old entry."""
        different = found ^ asked.old
        return ~Mux(asked.narrow, different[:NARROW_BITS].any(), different.any())

    def _request(self, m: Module, asked: MemoryUpdateRequest, upper: Signal) -> None:
        """The two requests; the read's is made of what is offered, the write's of what was taken."""
        read, write, zeros = self.read.request.payload, self.write.request.payload, Const(0, WORD_BITS)
        m.d.comb += [
            read.addr.eq(Cat(zeros, self.update.request.payload.addr[WORD_BITS:])),
            read.exclusive.eq(1),
            write.addr.eq(Cat(zeros, asked.addr[WORD_BITS:])),
            write.data.eq(Mux(upper, asked.new << NARROW_BITS, asked.new)),
            write.keep.eq(Mux(asked.narrow, Mux(upper, LOWER_BYTES, LOWER_BYTES << WORD_BITS + 1), 0)),
            write.exclusive.eq(1),
        ]
