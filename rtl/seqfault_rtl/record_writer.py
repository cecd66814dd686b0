"""Writes one record of several words to memory, for the queues that have one record under way at a time."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import PADDR_BITS
from .messages import MemoryWriteSignature

__all__ = ["RecordWriter"]

WORD_BITS, WORD_BYTES = 64, 8


class RecordWriter(wiring.Component):
    """All words are sent without waiting for answers; the record is done when all have been answered.

    Parameters
    ----------
    words : 64-bit words of the record, a power of two, at least 2.

    Members
    -------
    run, address, words : level, what to write and where (in bytes); stable until `done`, and in the cycle after it `run` is 0.
    done : strobe, in the cycle after the last answer. failed : valid from then on until the cycle after `run` has been 0: a write failed.
    write : memory; the tag is the word's number, at most `words` writes under way.
    """

    def __init__(self, words: int) -> None:
        self._count = words
        super().__init__(
            {
                "run": In(1),
                "address": In(PADDR_BITS),
                "words": In(data.ArrayLayout(WORD_BITS, words)),
                "done": Out(1),
                "failed": Out(1),
                "write": Out(MemoryWriteSignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, response = self.write.request, self.write.response
        sent, answered = Signal(range(self._count + 1)), Signal(range(self._count + 1))
        word = sent[: exact_log2(self._count)]
        m.d.comb += [
            request.valid.eq(self.run & (sent != self._count)),
            request.payload.addr.eq(self.address + word * WORD_BYTES),
            request.payload.data.eq(self.words[word]),
            request.payload.tag.eq(word),
            response.ready.eq(1),
            self.done.eq(answered == self._count),
        ]
        with m.If(~self.run):
            m.d.sync += self.failed.eq(0)
        with m.If(request.valid & request.ready):
            m.d.sync += sent.eq(sent + 1)
        with m.If(response.valid):
            self._answered(m, answered)
        with m.If(self.done):
            m.d.sync += [sent.eq(0), answered.eq(0)]
        return m

    def _answered(self, m: Module, answered: Signal) -> None:
        m.d.sync += [answered.eq(answered + 1), self.failed.eq(self.failed | self.write.response.payload.error)]
