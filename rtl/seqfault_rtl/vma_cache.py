"""Range cache of VMA records found lately. It answers for an address; whether the answer is still good is its user's question.

An entry carries the sequence under which its record was read. It is good as long as that is the current sequence of its id, so no change of
a record needs an invalidation here; only the reuse of a space does. [docs/software-contract.md, Sequence counters]
"""

from amaranth import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import PADDR_BITS, EngineConfig
from .messages import VmaFields
from .paging import VPN_BITS

__all__ = ["VmaCache", "VmaCacheEntry"]


class VmaCacheEntry(data.Struct):
    """A record of `space`, read at `record_addr` while the sequence of `fields.id` was `seq`."""

    space: 16
    fields: VmaFields
    record_addr: PADDR_BITS
    seq: 32


def _lowest(bits: Value) -> Value:
    """The lowest set bit alone."""
    return (bits & -bits)[: len(bits)]


class VmaCache(wiring.Component):
    """Fully associative cache of ranges; at most one entry covers a page.

    Parameters
    ----------
    config : `vma_cache` entries are built.

    Members
    -------
    space, vpn : combinational probe. hit, entry : the entry that covers the page.
    fill, filled : add this entry; it replaces all entries that overlap it, else a free one, else the next in turn.
    flush_space, flush_index : forget all entries of this space; wins over a `fill` in the same cycle.
    """

    space: In(16)
    vpn: In(VPN_BITS)
    hit: Out(1)
    entry: Out(VmaCacheEntry)
    fill: In(1)
    filled: In(VmaCacheEntry)
    flush_space: In(1)
    flush_index: In(16)

    def __init__(self, config: EngineConfig) -> None:
        self._count = config.vma_cache
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count, new = self._count, self.filled
        entries = [Signal(VmaCacheEntry, name=f"entry_{i}") for i in range(count)]
        valid, covers, overlaps, flushed, victim = (Signal(count, name=name) for name in ("valid", "covers", "overlaps", "flushed", "victim"))
        turn = Signal(count, init=1)  # one-hot

        for i, entry in enumerate(entries):
            fields = entry.fields
            same_range = (fields.start < new.fields.end) & (new.fields.start < fields.end)
            m.d.comb += [
                covers[i].eq(valid[i] & (entry.space == self.space) & (fields.start <= self.vpn) & (self.vpn < fields.end)),
                overlaps[i].eq(valid[i] & (entry.space == new.space) & same_range),
                flushed[i].eq(self.flush_space & (entry.space == self.flush_index)),
            ]
            with m.If(covers[i]):
                m.d.comb += self.entry.eq(entry)
            with m.If(self.fill & victim[i]):
                m.d.sync += entry.eq(new)
        m.d.comb += self.hit.eq(covers.any())

        with m.If(overlaps.any()):
            m.d.comb += victim.eq(_lowest(overlaps))
        with m.Elif(~valid.all()):
            m.d.comb += victim.eq(_lowest(~valid))
        with m.Else():
            m.d.comb += victim.eq(turn)

        with m.If(self.fill):
            kept = ~(self.flush_space & (new.space == self.flush_index))
            m.d.sync += [
                valid.eq((valid & ~overlaps & ~flushed & ~victim) | (victim & kept.replicate(count))),
                turn.eq(turn.rotate_left(1)),
            ]
        with m.Else():
            m.d.sync += valid.eq(valid & ~flushed)
        return m
