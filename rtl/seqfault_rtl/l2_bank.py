"""One bank of the L2 TLB: set-associative, for the pages of one size.

An access takes three cycles, and one can start in every cycle: the address of a set, its comparison with the page wanted, and, for a fill or
an invalidation, the write of what has been found out:

    index --> memory --> compare --> hit, pte
                            +------> found --> write
"""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory, WritePort
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import EngineConfig
from .paging import PPN_BITS, PageSize, Pte

__all__ = ["L2Bank", "page_key"]

SMALL_SETS = 16
"""Up to that many sets are in distributed RAM, which answers sooner after the clock; block RAM would be nearly empty."""
NAPOT_64K = 0b1000
"""Low PPN bits of a 64 KiB page. [Svnapot]"""
ANY_COLLISION = {"no_rw_check": 1}
"""For synthesis: what a read gives while its row is written does not matter (see `L2Tlb`), so nothing has to be built around block RAM."""
KEPT_APART = {"abc9_keep": 1}
"""For synthesis: do not build the comparison, late after block RAM, anew into every bit that it selects."""
RIGHTS = ("r", "w", "x", "u", "g", "a", "d", "pbmt")
"""Fields of a leaf that are kept besides its PPN: the others are known, or (RSW) do not concern hardware."""


class Found(data.Struct):
    """How an entry compares with the page wanted. `same_page`: in the VPN bits of its tag; `same_set`: in those of the index."""

    valid: 1
    is_global: 1
    same_page: 1
    same_set: 1
    same_space: 1

    def matches(self) -> Value:
        """It is the translation wanted: a set that was read for a page and space fits them."""
        return self.valid & self.same_page & self.same_space

    def is_struck(self, any_space: Value) -> Value:
        """An invalidation of the page wanted covers it."""
        return self.same_page & self.same_set & (any_space | (self.same_space & ~self.is_global))


def page_key(config: EngineConfig) -> data.StructLayout:
    """A page as entries know it: a space that exists, and the VPN bits that the deepest mode translates."""
    return data.StructLayout({"space": config.space_bits, "vpn": config.vpn_bits})


class L2Bank(wiring.Component):
    """`sets` * `ways` leaves for pages of `size`. A set never holds two entries of one page.

    Parameters
    ----------
    config : parameters of the engine. size : size of the pages. sets : a power of two. ways : entries of a set.

    Members
    -------
    asked, held, use_held : the page whose set is read in this cycle.
    step : with `use_held`: read the set of the page XOR `step`.
    wanted, ignored : one cycle later: compare with this page, VPN bits in `ignored` aside.
    hit, mute, pte : in that cycle: an entry of this page and space; `pte` as filled, without RSW; 0 without a hit, and with `mute`.
    store, leaf : strobe two cycles after the read: keep this leaf for the page `held`, in place of the entry found, else of an invalid one,
        else of one in turn.
    strike, any_space : strobe two cycles after the read: invalidate the entries found that are not global, or those found in any space.
    clear : strobe two cycles after the read: invalidate the whole set.
    """

    def __init__(self, config: EngineConfig, *, size: PageSize, sets: int, ways: int) -> None:
        self._sets, self._ways = sets, range(ways)
        self._page_bit, self._index_bits = size.mask_bits, exact_log2(sets)
        self._tag_bit = self._page_bit + self._index_bits
        self._napot = size is PageSize.KIB_64
        fields = {name: Pte.as_shape()[name].shape for name in RIGHTS}
        tag = {"v": 1, "space": config.space_bits, "vpn": config.vpn_bits - self._tag_bit}
        self._row = data.StructLayout({**tag, **fields, "ppn": PPN_BITS - self._page_bit})
        key = page_key(config)
        super().__init__(
            {
                "asked": In(key),
                "held": In(key),
                "use_held": In(1),
                "step": In(self._index_bits),
                "wanted": In(key),
                "ignored": In(config.vpn_bits),
                "hit": Out(1),
                "mute": In(1),
                "pte": Out(Pte),
                "store": In(1),
                "leaf": In(Pte),
                "strike": In(1),
                "any_space": In(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        address, compared, written = (Signal(self._index_bits, name=name) for name in ("address", "compared", "written"))
        m.d.comb += address.eq(Mux(self.use_held, self._index(self.held) ^ self.step, self._index(self.asked)))
        m.d.sync += [compared.eq(address), written.eq(compared)]
        memories = [Memory(shape=self._row, depth=self._sets, init=[], attrs=ANY_COLLISION) for _ in self._ways]
        for way, memory in enumerate(memories):
            m.submodules[f"way_{way}"] = memory
        rows = [self._read(m, memory, address, compared) for memory in memories]
        found = [self._compare(m, row, compared) for row in rows]
        self._answer(m, found, rows)
        kept = [Signal(Found, name=f"found_{way}") for way in self._ways]
        m.d.sync += [after.eq(now) for after, now in zip(kept, found, strict=True)]
        taken = self._choose(m, kept)
        for way, (memory, entry) in enumerate(zip(memories, kept, strict=True)):
            self._write(m, memory.write_port(), written, entry, taken[way])
        return m

    def _index(self, key: data.View) -> Value:
        """The set of a page; spaces that use the same addresses are spread over the sets."""
        return (key.vpn[self._page_bit : self._tag_bit] ^ key.space)[: self._index_bits]

    def _read(self, m: Module, memory: Memory, address: Signal, compared: Signal) -> data.View:
        """The row of the set whose address was given in the last cycle."""
        if self._sets <= SMALL_SETS:
            port = memory.read_port(domain="comb")
            m.d.comb += port.addr.eq(compared)
        else:
            port = memory.read_port()
            m.d.comb += port.addr.eq(address)
        return port.data

    def _compare(self, m: Module, row: data.View, index: Signal) -> data.View:
        """The VPN bits of the index are not in the row: they follow from the index and the entry's space."""
        found = Signal(Found)
        wanted, ignored = self.wanted.vpn, self.ignored
        low, high = slice(self._page_bit, self._tag_bit), slice(self._tag_bit, None)
        set_differs = (index ^ row.space ^ wanted[low])[: self._index_bits] & ~ignored[low]
        m.d.comb += [
            found.valid.eq(row.v),
            found.is_global.eq(row.g),
            found.same_page.eq(~((row.vpn ^ wanted[high]) & ~ignored[high]).any()),
            found.same_set.eq(~set_differs.any()),
            found.same_space.eq(row.space == self.wanted.space),
        ]
        return found

    def _answer(self, m: Module, found: list[data.View], rows: list[data.View]) -> None:
        """At most one entry matches."""
        matched = Signal(len(found))
        chosen = Signal(len(found), attrs=KEPT_APART)
        m.d.comb += [matched.eq(Cat(entry.matches() for entry in found)), self.hit.eq(matched.any())]
        m.d.comb += chosen.eq(matched & ~self.mute.replicate(len(found)))
        row = Signal(self._row)
        masked = [one.as_value() & choice.replicate(len(row.as_value())) for one, choice in zip(rows, chosen, strict=True)]
        m.d.comb += row.as_value().eq(reduce(or_, masked))
        if self._napot:
            m.d.comb += [self.pte.n.eq(row.v), self.pte.ppn[: self._page_bit].eq(Mux(row.v, NAPOT_64K, 0))]
        m.d.comb += [self.pte.v.eq(row.v), self.pte.ppn[self._page_bit :].eq(row.ppn)]
        m.d.comb += [getattr(self.pte, name).eq(getattr(row, name)) for name in RIGHTS]

    def _choose(self, m: Module, found: list[data.View]) -> Value:
        """The way that a fill takes, one-hot: only one entry matches."""
        matched, valid = (Cat(bits) for bits in ([entry.matches() for entry in found], [entry.valid for entry in found]))
        turn = Signal(len(self._ways), init=1)
        with m.If(self.store):
            m.d.sync += turn.eq(turn.rotate_left(1))
        first_free = (~valid & (valid + 1))[: len(turn)]
        return Mux(matched.any(), matched, Mux(valid.all(), turn, first_free))

    def _write(self, m: Module, port: WritePort, index: Signal, entry: data.View, taken: Value) -> None:
        """A fill, or an invalidation: that leaves an invalid row of whatever else."""
        struck = self.clear | (self.strike & entry.valid & entry.is_struck(self.any_space))
        row = port.data
        m.d.comb += [
            port.en.eq(struck | (self.store & taken)),
            port.addr.eq(index),
            row.v.eq(self.store),
            row.space.eq(self.held.space),
            row.vpn.eq(self.held.vpn[self._tag_bit :]),
            row.ppn.eq(self.leaf.ppn[self._page_bit :]),
            *(getattr(row, name).eq(getattr(self.leaf, name)) for name in RIGHTS),
        ]
