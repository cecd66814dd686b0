"""The addresses of one frame, burst by burst, and how many bursts are under way."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import PADDR_BITS
from .paging import PPN_BITS

__all__ = ["BURSTS", "BURST_WORDS", "PAGE_WORDS", "PageBursts"]

PAGE_WORDS = 512
"""64-bit words of a 4 KiB frame."""
BURST_WORDS = 8
"""Words of a burst: one 64-byte line, after which another client has its turn."""
BURSTS = PAGE_WORDS // BURST_WORDS
WORD_BYTES = 8


class PageBursts(wiring.Component):
    """Offers the bursts of a frame in ascending order, each once.

    Members
    -------
    start : strobe: begin again, at the frame `ppn` (steady until all is over); not while bursts are under way.
    may : the next burst may be offered; looked at only in cycles in which there is room for an offer.
    burst : byte address of a burst, in the cycle after `may` at the earliest. An offer stays until it is taken, whatever `may` says.
    ended : strobe: the oldest burst under way has been answered.
    offered, answered : number of bursts offered (one may still wait to be taken) and ended.
    idle : all offered bursts have ended. last : all bursts of the frame have been offered.
    """

    start: In(1)
    ppn: In(PPN_BITS)
    may: In(1)
    burst: Out(stream.Signature(PADDR_BITS))
    ended: In(1)
    offered: Out(range(BURSTS + 1))
    answered: Out(range(BURSTS + 1))
    idle: Out(1)
    last: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(range(BURSTS))
        m.d.comb += [
            self.burst.payload.eq(Cat(Const(0, exact_log2(BURST_WORDS * WORD_BYTES)), number, self.ppn)),
            self.idle.eq(self.offered == self.answered),
            self.last.eq(self.offered == BURSTS),
        ]
        with m.If(~self.burst.valid | self.burst.ready):
            m.d.sync += self.burst.valid.eq(0)
            with m.If(self.may & ~self.last):
                m.d.sync += [self.burst.valid.eq(1), number.eq(self.offered), self.offered.eq(self.offered + 1)]
        with m.If(self.ended):
            m.d.sync += self.answered.eq(self.answered + 1)
        with m.If(self.start):
            m.d.sync += [self.offered.eq(0), self.answered.eq(0)]
        return m
