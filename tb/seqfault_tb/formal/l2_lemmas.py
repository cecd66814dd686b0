"""Why nothing stale is in the L2 TLB: what is true of its banks, its fills and its sweep in every cycle.

The heart of it: a row that holds a leaf which an invalidation has covered is in the part of the sweep that is still to come.
"""

from typing import Any

from amaranth import Cat, Module, Signal, Value

from seqfault_rtl.l2_bank import NAPOT_64K, RIGHTS, L2Bank
from seqfault_rtl.paging import PageSize, Pte

from .spec import Inside, Spec, is_range, opened
from .tlb import WatchedLeaf

__all__ = ["L2Lemmas", "is_whole"]


def is_whole(pte: Pte, size: Value) -> Value:
    """A leaf as the walker finds it: aligned, and one of 64 KiB as Svnapot writes it."""
    aligned = Cat((size == member) & ~pte.ppn[: member.mask_bits].any() for member in PageSize if member is not PageSize.KIB_64).any()
    return (~pte.n & aligned) | (pte.n & (size == PageSize.KIB_64) & (pte.ppn[:4] == NAPOT_64K))


class L2Lemmas:
    """Lemmas about an opened L2 TLB and the leaf that is watched. `asked`: the last lookup was for it."""

    def __init__(self, spec: Spec, m: Module, inside: Inside, leaf: WatchedLeaf, asked: Value) -> None:
        self.spec, self.m, self.inside, self.leaf, self.asked = spec, m, inside, leaf, asked
        self.sizes: list[PageSize] = spec.dut._sizes
        self.held, self.wanted = inside.local("elaborate", "held", "wanted")
        self.waiting, self.compared, self.storing, self.filling, self.size = inside.local(
            "_run_fills", "waiting", "compared", "storing", "leaf", "size"
        )
        self.stages, self.distance, self.ignored, self.any_space, self.everything = inside.local(
            "_sweep", "stages", "distance", "ignored", "any_space", "everything"
        )
        self.fresh, self.kept, self.kept_pte, self.kept_size = inside.local("_answer", "fresh", "kept", "kept_pte", "kept_size")

    def say(self) -> None:
        """All of them."""
        self._about_steps()
        for size in self.sizes:
            bank = self.inside.block(size.name.lower())
            self._about_bank(size, bank, opened(bank))

    def lemma(self, name: str, condition: Value) -> None:
        self.spec.lemma(self.m, name, condition)

    def _about_steps(self) -> None:
        """One fill or one sweep at a time; a fill on its way, and a result that stands, are of a leaf that was filled."""
        leaf, steps = self.leaf, (self.waiting, self.compared, self.storing)
        self.lemma("one_step", sum(steps) + self.stages.any() <= 1)
        self.lemma("no_distance", self.stages[0] | (self.distance == 0))
        self.lemma("nothing_ignored", self.stages.any() | (self.ignored == 0))
        self.lemma("ignores_range", is_range(self.ignored))
        self.lemma("everything", ~(self.everything & self.stages[:2].any()) | (self.any_space & self.ignored.all()))
        self.lemma("one_result", ~(self.fresh & self.kept))
        self.lemma("fill_of_size", ~sum(steps).any() | Cat(self.size == size for size in self.sizes).any())
        self.lemma("fill_whole", ~sum(steps).any() | is_whole(self.filling, self.size))
        its = (self.held.space == leaf.space) & leaf.in_page(self.held.vpn) & (self.size == leaf.size) & leaf.is_it(self.filling)
        self.lemma("fill", ~(sum(steps).any() & its) | leaf.filled)
        self.lemma("fill_compares", ~self.compared | (self.wanted == self.held))
        stands = self.kept & self.asked & leaf.is_it(self.kept_pte) & (self.kept_size == leaf.size)
        self.lemma("stands", ~stands | leaf.filled)
        here = (self.wanted.space == leaf.space) & (self.wanted.vpn == leaf.vpn[: len(self.wanted.vpn)])
        self.lemma("wanted", ~(self.fresh & self.asked) | here)

    def _about_bank(self, size: PageSize, bank: L2Bank, inside: Inside) -> None:
        name, m = size.name.lower(), self.m
        ways = range(len(bank._ways))
        rows, found, compared, written = inside.local("elaborate", "rows", "kept", "compared", "written")
        key = Signal(self.spec.dut._layout, name=f"watched_{name}")
        m.d.comb += [key.space.eq(self.leaf.space), key.vpn.eq(self.leaf.vpn)]
        place, start = Signal(bank._index_bits, name=f"place_{name}"), Signal(bank._index_bits, name=f"start_{name}")
        m.d.comb += [place.eq(bank._index(key)), start.eq(bank._index(self.held))]
        now = [inside.row(m, f"way_{way}", place) for way in ways]
        for way in ways:
            stale = self._is_leaf(size, bank, now[way]) & ~self.leaf.filled
            self.lemma(f"swept_{name}_{way}", ~stale | self._is_to_be_swept(bank, place, start, compared, written, found[way]))
            read = self.stages[1] & (compared == place)
            self.lemma(f"read_{name}_{way}", ~(stale & read) | (rows[way].as_value() == now[way].as_value()))
            result = self.fresh & self.asked & self._is_leaf(size, bank, rows[way])
            self.lemma(f"result_{name}_{way}", ~result | self.leaf.filled)
            self._about_fill(name, bank, inside, way, rows[way], found[way], compared, written)
        self.lemma(f"set_read_{name}", ~(self.compared & ~self.stages.any()) | (compared == start))
        self.lemma(f"set_written_{name}", ~self.storing | (written == start))
        self.lemma(f"one_row_{name}", sum(self._is_page(bank, row) for row in now) <= 1)
        self.lemma(f"one_result_{name}", ~(self.fresh & self.asked) | (sum(self._is_page(bank, row) for row in rows) <= 1))
        turn = inside.local("_choose", "turn")
        self.lemma(f"turn_{name}", turn.any() & ~(turn & (turn - 1)[: len(turn)]).any())

    def _about_fill(self, name: str, bank: L2Bank, inside: Inside, way: int, row: Any, found: Any, compared: Value, written: Value) -> None:
        """What a fill has read of its set is still so."""
        at_compared, at_written = inside.row(self.m, f"way_{way}", compared), inside.row(self.m, f"way_{way}", written)
        self.lemma(f"fill_read_{name}_{way}", ~self.compared | (row.as_value() == at_compared.as_value()))
        same = (at_written.space == self.held.space) & (at_written.vpn == self.held.vpn[bank._tag_bit :])
        matches = found.same_page & found.same_space
        self.lemma(f"fill_found_{name}_{way}", ~self.storing | ((found.valid == at_written.v) & (matches == same)))

    def _is_page(self, bank: L2Bank, row: Any) -> Value:
        """An entry for the watched page, if it is in its set."""
        vpn = self.leaf.vpn[: len(self.held.vpn)]
        return row.v & (row.space == self.leaf.space) & (row.vpn == vpn[bank._tag_bit :])

    def _is_leaf(self, size: PageSize, bank: L2Bank, row: Any) -> Value:
        """An entry that holds the watched leaf, if it is in its set."""
        pte, low = self.leaf.pte, NAPOT_64K if bank._napot else 0
        whole = (pte.n == bank._napot) & ((pte.ppn[: bank._page_bit] == low) if bank._page_bit else 1)
        same = Cat(getattr(row, name) == getattr(pte, name) for name in RIGHTS).all() & (row.ppn == pte.ppn[bank._page_bit :])
        return (self.leaf.size == size) & whole & same & self._is_page(bank, row)

    def _is_to_be_swept(self, bank: L2Bank, place: Value, start: Value, compared: Value, written: Value, found: Any) -> Value:
        """The sweep covers the leaf, and has its set before it, or under way."""
        held, leaf, position = self.held, self.leaf, place ^ start
        vpn = leaf.vpn[: len(held.vpn)]
        free = (self.ignored >> bank._page_bit)[: len(bank.step)] | self.any_space.replicate(len(bank.step))
        in_page = ~((held.vpn ^ vpn) & ~self.ignored)[bank._page_bit :].any()
        covers = self.everything | ((self.any_space | ((held.space == leaf.space) & ~leaf.pte.g)) & in_page)
        ahead = self.stages[0] & covers & ~(position & ~free).any() & (position >= self.distance)
        read = self.stages[1] & (compared == place) & covers & (self.everything | (self.wanted == held))
        struck = found.valid & found.same_page & found.same_set & (self.any_space | (found.same_space & ~found.is_global))
        return ahead | read | (self.stages[2] & (written == place) & (self.everything | struck))
