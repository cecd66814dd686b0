"""What a page-table entry that a walk has read means."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .messages import WalkOutcome
from .paging import PageSize, Pte

__all__ = ["PagingFeatures", "WalkEntry"]

SV32_ENTRY_BITS = 32


class PagingFeatures(data.Struct):
    """How the entries of a space are read: those of Sv32 have 4 bytes; the others as in `SpaceEntry`."""

    sv32: 1
    adue: 1
    pbmte: 1
    napot: 1


class WalkEntry(wiring.Component):
    """Decides, combinationally, whether to go on to the table that an entry points to, or how the walk ends. [Priv 12.3.2, steps 2 to 5]

    Members
    -------
    word, error : what memory answered. level : of the entry (0: leaf table). features : of its space.
    upper : of the two entries of Sv32 in the word, the one at the higher address.
    pte : the entry. size : of the page, if it is a leaf.
    go_on : it is a pointer that may be followed; else `outcome` is how the walk ends.
    """

    word: In(64)
    error: In(1)
    level: In(3)
    features: In(PagingFeatures)
    upper: In(1)
    pte: Out(Pte)
    size: Out(PageSize)
    go_on: Out(1)
    outcome: Out(WalkOutcome)

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        pte, features, word = self.pte, self.features, Signal(64)
        m.d.comb += [
            word.eq(Mux(features.sv32, self.word.word_select(self.upper, SV32_ENTRY_BITS), self.word)),
            pte.eq(word),
            self.size.eq(PageSize.of_level(self.level, napot=pte.n & features.napot, sv32=features.sv32)),
        ]
        with m.If(self.error):
            m.d.comb += self.outcome.eq(WalkOutcome.BUS_ERROR)
        with m.Elif(~pte.v):
            m.d.comb += self.outcome.eq(WalkOutcome.NONE)
        with m.Elif(pte.is_malformed()):
            m.d.comb += self.outcome.eq(WalkOutcome.MALFORMED)
        with m.Elif(pte.is_leaf()):
            m.d.comb += self.outcome.eq(Mux(self._is_bad_leaf(), WalkOutcome.MALFORMED, WalkOutcome.LEAF))
        with m.Else():
            m.d.comb += [self.outcome.eq(WalkOutcome.MALFORMED), self.go_on.eq((self.level != 0) & ~pte.is_malformed_branch())]
        return m

    def _is_bad_leaf(self) -> Value:
        features = self.features
        whole = PageSize.of_level(self.level, sv32=features.sv32)
        return self.pte.is_misaligned(whole) | self.pte.is_malformed_leaf(self.level, napot=features.napot, pbmte=features.pbmte)
