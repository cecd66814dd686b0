"""What the TLBs may answer: nothing stale, and the L1 from one entry at the most."""

from amaranth import Cat, Module, Mux, Signal, Value

from seqfault_rtl.messages import InvalidateRecord
from seqfault_rtl.paging import PageSize, Pte, page_mask
from seqfault_rtl.tlb import KEPT, Tlb

from .spec import Spec, any_const, drive, is_range, opened

__all__ = ["DoubleEntries", "FillWins", "KeepsSuperpages", "NoStaleEntry", "OneMatch", "SparesGlobals", "WatchedLeaf"]


class WatchedLeaf:
    """A leaf chosen once: what it translates, and what it says. Whoever answers it must have been filled with it.

    Members
    -------
    space, vpn : a 4 KiB page that it translates. pte, size : the leaf.
    filled : since the last invalidation that covers it, it was filled, for some page that shares its page.
    """

    def __init__(self, m: Module, dut: Tlb) -> None:
        self.space, self.vpn = any_const(m, 16, "watched_space"), any_const(m, 52, "watched_vpn")
        self.pte, self.size = any_const(m, Pte, "watched_pte"), any_const(m, PageSize, "watched_size")
        self.filled, self.mask = Signal(name="filled"), page_mask(self.size)
        self._bits = dut._config.vpn_bits
        fill = dut.fill_record
        now = dut.fill & self.is_it(fill.pte) & (fill.size == self.size) & (fill.space == self.space) & self.in_page(fill.vpn)
        now &= fill.pte.v & fill.pte.is_leaf()
        gone = dut.invalidate & self.covered(dut.record)
        m.d.sync += self.filled.eq((self.filled | (now & ~dut.invalidate)) & ~gone)

    def is_it(self, pte: Pte) -> Value:
        """Equal in what a TLB keeps."""
        return Cat(pte[name] == self.pte[name] for name in KEPT).all()

    def in_page(self, vpn: Value) -> Value:
        """A page number that this leaf translates too."""
        return ~((vpn ^ self.vpn) & ~self.mask)[: self._bits].any()

    def covered(self, record: InvalidateRecord) -> Value:
        """The invalidation concerns the leaf: it shares a page with it, and it spares no global leaf but by space."""
        in_space = record.any_space | ((record.space == self.space) & ~self.pte.g)
        return in_space & (record.any_page | ~((record.vpn ^ self.vpn) & ~record.mask & ~self.mask)[: self._bits].any())


class NoStaleEntry(Spec):
    """A hit answers a leaf only if it was filled for a page that shares its page and space, after the last invalidation that covers it.

    For every page, space, leaf and size. From the cycle after the strobe on, also when it meets the fill. The environment: masks are ranges
    of low bits; sizes are those that the configuration builds.
    """

    dut: Tlb

    def specify(self, m: Module) -> None:
        dut, config = self.dut, self.dut._config
        drive(m, dut)
        leaf = WatchedLeaf(m, dut)
        self.assume(m, is_range(dut.record.mask))
        self.assume(m, Cat(dut.fill_record.size == size for size in dut._sizes).any())
        self.assume(m, Cat(leaf.size == size for size in dut._sizes).any())
        asked = Signal()
        m.d.sync += asked.eq(dut.lookup & (dut.lookup_record.space == leaf.space) & (dut.lookup_record.vpn == leaf.vpn))
        answered = asked & dut.hit & leaf.is_it(dut.pte) & (dut.mask == leaf.mask)
        signs = leaf.vpn[config.vpn_bits - 1 :]
        self.promise(m, "only_what_was_filled", ~answered | leaf.filled)
        self.promise(m, "valid_with_hit", dut.pte.v == dut.hit)
        self.promise(m, "address_exists", ~(asked & dut.hit) | ((leaf.space < config.spaces) & (signs.all() | ~signs.any())))

        inside = opened(dut)
        tags, valid, matched, held, waiting = inside.local("elaborate", "tags", "valid", "matched", "held", "waiting")
        here = waiting & (held.space == leaf.space) & leaf.in_page(held.vpn) & (held.size == leaf.size) & leaf.is_it(held.pte)
        self.lemma(m, "waiting", ~here | leaf.filled)
        self.lemma(m, "size_is_built", ~waiting | Cat(held.size == size for size in dut._sizes).any())
        self.lemma(m, "waiting_is_leaf", ~waiting | (held.pte.is_leaf() & (held.space < config.spaces)))
        covering, exists = [], leaf.space < config.spaces
        for index in dut._entries:
            tag, row = tags[index], inside.row(m, "leaves", index)
            same = (tag.space == leaf.space) & dut._same_page(tag, tag.vpn ^ leaf.vpn[: config.vpn_bits])
            stored = Cat(row[name] == leaf.pte[name] for name in KEPT).all() & (row.above == dut._above(leaf.size))
            self.lemma(m, f"entry_{index}", ~(valid[index] & same & stored) | leaf.filled)
            self.lemma(m, f"row_{index}", ~valid[index] | ((row.above == tag.above) & (row.g == tag.g)))
            self.lemma(m, f"size_{index}", ~valid[index] | ~(tag.above[1:] & ~tag.above[:-1]).any())
            self.lemma(m, f"match_{index}", ~(asked & exists & matched[index]) | same)
            covering.append(valid[index] & same)
        self.lemma(m, "one_entry", sum(covering) <= 1)
        self.lemma(m, "one_match", ~(asked & exists) | (sum(matched[index] for index in dut._entries) <= 1))


class OneMatch(Spec):
    """At most one entry covers a page of a space, so at most one matches a lookup.

    For every page and space, in every cycle.
    """

    dut: Tlb

    def specify(self, m: Module) -> None:
        dut, config = self.dut, self.dut._config
        drive(m, dut)
        space, vpn = any_const(m, config.space_bits, "watched_space"), any_const(m, config.vpn_bits, "watched_vpn")
        self.assume(m, Cat(dut.fill_record.size == size for size in dut._sizes).any())
        tags, valid, matched, held, waiting = opened(dut).local("elaborate", "tags", "valid", "matched", "held", "waiting")
        same, covering = Signal(len(tags)), Signal(len(tags))
        m.d.comb += same.eq(Cat((tag.space == space) & dut._same_page(tag, tag.vpn ^ vpn) for tag in tags))
        m.d.comb += covering.eq(valid & same)
        self.promise(m, "one_entry", ~(covering & (covering - 1)[: len(tags)]).any())
        looked_up = dut.lookup_record
        asked = Signal()
        m.d.sync += asked.eq((looked_up.space == space) & (looked_up.vpn[: config.vpn_bits] == vpn))
        self.promise(m, "one_match", ~asked | ~(matched & (matched - 1)[: len(tags)]).any())
        self.lemma(m, "matches_cover", ~asked | ~(matched & ~same).any())
        self.lemma(m, "size_is_built", ~waiting | Cat(held.size == size for size in dut._sizes).any())
        for index, tag in enumerate(tags):
            self.lemma(m, f"size_{index}", ~valid[index] | ~(tag.above[1:] & ~tag.above[:-1]).any())


class KeepsSuperpages(Tlb):
    """An invalidation of one page leaves larger pages that hold it."""

    def _probe(self, m, tags, held):  # type: ignore[no-untyped-def]
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        inside = [((tag.vpn ^ self.record.vpn) & self._mask(tag.above)).any() for tag in tags]
        m.d.comb += kept.eq(struck & ~(Cat(inside) & (self.invalidate & ~self.record.any_page).replicate(len(tags))))
        return kept


class FillWins(Tlb):
    """A fill in the cycle of an invalidation is stored."""

    def _capture_fill(self, m):  # type: ignore[no-untyped-def]
        held, waiting = super()._capture_fill(m)
        with m.If(self.fill & self.fill_record.pte.is_leaf() & (self.fill_record.space < self._config.spaces)):
            m.d.sync += waiting.eq(1)
        return held, waiting


class SparesGlobals(Tlb):
    """An invalidation of all spaces leaves global leaves."""

    def _probe(self, m, tags, held):  # type: ignore[no-untyped-def]
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        m.d.comb += kept.eq(struck & ~(Cat(tag.g for tag in tags) & self.invalidate.replicate(len(tags))))
        return kept


class DoubleEntries(Tlb):
    """A fill does not remove what it overlaps."""

    def _probe(self, m, tags, held):  # type: ignore[no-untyped-def]
        struck = super()._probe(m, tags, held)
        return Mux(self.invalidate, struck, 0)
