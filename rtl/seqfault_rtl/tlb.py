"""L1 TLB of one requester port: fully associative, all page sizes, with exact invalidation.

A translation is a hint: the TLB may lose one at any time, but it gives none that an invalidation has covered. Two entries never cover the
same page of a space, so at most one matches.
"""

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import FillRecord, InvalidateRecord
from .paging import PPN_BITS, VPN_BITS, PageSize, Pte

__all__ = ["LookupRecord", "Tlb"]


class LookupRecord(data.Struct):
    """What to look up: `vpn` is the whole page number of the 64-bit address, VA[63:12]."""

    space: 16
    vpn: 52


KEPT = {"r": 1, "w": 1, "x": 1, "u": 1, "g": 1, "a": 1, "d": 1, "ppn": PPN_BITS, "pbmt": 2, "n": 1}
"""Fields kept of a leaf PTE, with their widths: V is 1, and the others are 0 or (RSW) do not concern hardware."""


class Tlb(wiring.Component):
    """Translations of one port.

    An entry belongs to one space, also when it is global (G only protects it from invalidations by space): spaces of different modes
    would disagree about its address. Victims: an invalid entry first, else one not used since all others were (bit-PLRU: it needs one
    bit per entry and no order, and keeps the page used last).

    Parameters
    ----------
    config : parameters of the engine. Page numbers are stored and compared in `vpn_bits` bits.

    Members
    -------
    lookup, lookup_record : strobe: look this up.
    hit, pte, mask : in the next cycle, the result; `hit` does not wait for the entry to be read and comes before the others. `pte` as filled,
        without RSW; V=0 without a hit. `mask`: VPN bits that select a 4 KiB page within the page. No hit for an address whose bits above
        those compared do not repeat the topmost of them, and for a space out of range.
    fill, fill_record : strobe: hold this leaf, in place of all that it overlaps. Seen by lookups from the second cycle after. Ignored if
        the PTE is no valid leaf, or with an invalidation (any) in the same or the next cycle. Only sizes that the configuration has.
    invalidate, record : strobe: from the next cycle on no result comes from an entry that it covers.
    """

    lookup: In(1)
    lookup_record: In(LookupRecord)
    hit: Out(1)
    pte: Out(Pte)
    mask: Out(VPN_BITS)
    fill: In(1)
    fill_record: In(FillRecord)
    invalidate: In(1)
    record: In(InvalidateRecord)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._entries = range(config.tlb_entries)
        self._sizes = [size for size in PageSize if size.mask_bits < config.vpn_bits and (config.sv32 or size is not PageSize.MIB_4)]
        self._tag_layout = data.StructLayout({"vpn": config.vpn_bits, "space": config.space_bits, "above": len(self._sizes) - 1, "g": 1})
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        tags = [Signal(self._tag_layout, name=f"tag_{index}") for index in self._entries]
        valid = Signal(len(tags))
        stored = Signal(len(tags))  # entries written in this cycle
        held, waiting = self._capture_fill(m)
        struck = self._probe(m, tags, held)
        store = waiting & ~self.invalidate
        matched = self._match(m, tags, valid, stored)
        victim = self._choose_victim(m, valid, matched, waiting)
        self._read_leaf(m, matched, store, victim, held)
        m.d.comb += stored.eq(Mux(store, 1 << victim, 0))
        with m.If(store | self.invalidate):
            m.d.sync += valid.eq((valid & ~struck) | stored)
        for index, tag in enumerate(tags):
            with m.If(stored[index]):
                m.d.sync += [tag.vpn.eq(held.vpn), tag.space.eq(held.space), tag.above.eq(self._above(held.size)), tag.g.eq(held.pte.g)]
        return m

    def _above(self, size: Value) -> Value:
        """A size as tags hold it: for each size but the smallest, whether the page has at least that one."""
        return Cat(Value.cast(size) >= step.value for step in self._sizes[1:])

    def _mask(self, above: Value) -> Value:
        """VPN bits that select a 4 KiB page within the page; `vpn_bits` wide."""
        steps = [step.mask_bits for step in self._sizes]
        groups = [bit.replicate(high - low) for bit, (low, high) in zip(above, pairwise(steps), strict=True)]
        return Cat(*groups, Const(0, self._config.vpn_bits - steps[-1]))

    def _same_page(self, tag: data.View, difference: Value) -> Value:
        """No difference above the offset within the entry's page."""
        edges = [*(step.mask_bits for step in self._sizes), self._config.vpn_bits]
        groups = Cat(difference[low:high].any() for low, high in pairwise(edges))
        return ~(groups & ~Cat(tag.above, Const(0, 1))).any()

    def _capture_fill(self, m: Module) -> tuple[FillRecord, Signal]:
        """A register before the comparison with all entries, which fills share with invalidations."""
        held, waiting = Signal(FillRecord), Signal()
        record = self.fill_record
        good = record.pte.v & record.pte.is_leaf() & (record.space < self._config.spaces)
        m.d.sync += waiting.eq(self.fill & good & ~self.invalidate)
        with m.If(self.fill):
            m.d.sync += held.eq(record)
        return held, waiting

    def _probe(self, m: Module, tags: list[data.View], held: FillRecord) -> Signal:
        """Entries that the invalidation of this cycle covers, or else that the waiting fill overlaps."""
        struck, ignored, vpn, space = Signal(len(tags)), Signal(self._config.vpn_bits), Signal(self._config.vpn_bits), Signal(16)
        record = self.record
        m.d.comb += [ignored.eq(self._mask(self._above(held.size))), vpn.eq(held.vpn), space.eq(held.space)]
        with m.If(self.invalidate):
            m.d.comb += [ignored.eq(record.mask | record.any_page.replicate(VPN_BITS)), vpn.eq(record.vpn), space.eq(record.space)]
        any_space = self.invalidate & record.any_space
        for index, tag in enumerate(tags):
            spared = self.invalidate & ~record.any_space & tag.g
            in_space = any_space | (tag.space == space)
            m.d.comb += struck[index].eq(in_space & ~spared & self._same_page(tag, (tag.vpn ^ vpn) & ~ignored))
        return struck

    def _match(self, m: Module, tags: list[data.View], valid: Signal, stored: Signal) -> Value:
        """The entry that matched in the last cycle, one-hot; it hits if that was a lookup of an address and it is still valid."""
        matched, sound = Signal(len(tags)), Signal()
        record, bits = self.lookup_record, self._config.vpn_bits
        signs = record.vpn[bits - 1 :]
        m.d.sync += sound.eq(self.lookup & (record.space < self._config.spaces) & (signs.all() | ~signs.any()))
        for index, tag in enumerate(tags):
            same = (tag.space == record.space[: self._config.space_bits]) & self._same_page(tag, tag.vpn ^ record.vpn[:bits])
            m.d.sync += matched[index].eq(same & valid[index] & ~stored[index])
        m.d.comb += self.hit.eq((matched & valid).any() & sound)
        return matched

    def _choose_victim(self, m: Module, valid: Signal, matched: Value, waiting: Signal) -> Signal:
        """Index of the entry that the waiting fill takes; chosen in the cycle before, when that one's victim was known already."""
        used, taken, victim, following = Signal(len(valid)), Signal(len(valid)), Signal(range(len(valid))), Signal(range(len(valid)))
        asked, touched = Signal(), Signal(len(valid))
        m.d.comb += [taken.eq(Mux(waiting, 1 << victim, 0)), touched.eq(Mux(asked, matched, 0) | taken)]
        after = used | touched
        m.d.sync += [asked.eq(self.lookup), used.eq(Mux(after.all(), touched, after & (valid | touched))), victim.eq(following)]
        candidates = Mux((valid | taken).all(), ~(used | taken), ~(valid | taken))
        for index in reversed(self._entries):
            with m.If(candidates[index]):
                m.d.comb += following.eq(index)
        return victim

    def _read_leaf(self, m: Module, matched: Value, store: Value, victim: Signal, held: FillRecord) -> None:
        """The leaves are in a memory: no wide multiplexer, no flip-flops."""
        layout = data.StructLayout({**KEPT, "above": len(self._sizes) - 1})
        m.submodules.leaves = leaves = Memory(shape=layout, depth=len(self._entries), init=[])
        write, read = leaves.write_port(), leaves.read_port(domain="comb")
        m.d.comb += [write.en.eq(store), write.addr.eq(victim), write.data.above.eq(self._above(held.size))]
        m.d.comb += [write.data[name].eq(held.pte[name]) for name in KEPT]
        for bit in range(len(read.addr)):
            m.d.comb += read.addr[bit].eq(Cat(matched[index] for index in self._entries if index >> bit & 1).any())
        m.d.comb += [self.pte.v.eq(self.hit), self.mask.eq(self._mask(read.data.above))]
        m.d.comb += [self.pte[name].eq(read.data[name]) for name in KEPT]
