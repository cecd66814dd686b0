"""Page-walk cache: pointers to page tables below the root, so that a walk can start near its leaf. [Priv 12.2.1, caches of non-leaf PTEs]

Its entries are hints: one may be forgotten at any time, but none is given that an invalidation has covered.
"""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import EngineConfig
from .messages import InvalidateRecord
from .paging import LEVEL_BITS, MAX_LEVELS, PPN_BITS, VPN_BITS

__all__ = ["PageWalkCache"]


class PageWalkCache(wiring.Component):
    """A direct-mapped memory of `walk_cache` pointers for each upper level; the pointer found at level k leads to a table of level k - 1.

    Parameters
    ----------
    config : parameters of the engine; without `walk_cache` nothing hits.

    Members
    -------
    space, vpn, levels : combinational query; `levels` of the space's mode.
    hit, level, table : the cached pointer that leads deepest: the walk can read level `level` first, in the table at PPN `table`. Without a
        hit they are anything. tables : the table of each level that `table` is chosen from.
    fill, fill_space, fill_vpn, fill_level, fill_table : strobe: an entry of `fill_level` on the way to `fill_vpn` points to this table. Seen
        from the next cycle on; dropped with an invalidation (any) in the same cycle.
    invalidate, record : strobe: from the next cycle on nothing comes from a pointer on the way to a page that it covers, global or not.
        `mask` covers the low bits of the VPN up to some bit (NAPOT). Others may be lost: tags are not looked at.
    """

    space: In(16)
    vpn: In(VPN_BITS)
    levels: In(3)
    hit: Out(1)
    level: Out(3)
    table: Out(PPN_BITS)
    tables: Out(PPN_BITS).array(MAX_LEVELS - 1)
    fill: In(1)
    fill_space: In(16)
    fill_vpn: In(VPN_BITS)
    fill_level: In(3)
    fill_table: In(PPN_BITS)
    invalidate: In(1)
    record: In(InvalidateRecord)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._index_bits = exact_log2(config.walk_cache) if config.walk_cache else 0
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        if not self._config.walk_cache:
            return m
        for level in reversed(range(1, self._config.levels)):
            found, table = self._level(m, level)
            m.d.comb += self.tables[level - 1].eq(table)
            with m.If(found & (self.levels > level)):
                m.d.comb += [self.hit.eq(1), self.level.eq(level - 1), self.table.eq(table)]
        return m

    def _level(self, m: Module, level: int) -> tuple[Value, Value]:
        """The pointers of one level; returns whether one of them is on the way to the page asked for, and its table."""
        config = self._config
        tag_bit = LEVEL_BITS * level + self._index_bits
        row = data.StructLayout({"space": config.space_bits, "vpn": config.vpn_bits - tag_bit, "table": PPN_BITS})
        m.submodules[f"level_{level}"] = memory = Memory(shape=row, depth=config.walk_cache, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        valid = Signal(config.walk_cache, name=f"valid_{level}")
        stored = self.fill & ~self.invalidate & (self.fill_level == level) & (self.fill_space < config.spaces)
        m.d.comb += [
            read.addr.eq(self._index(level, self.space, self.vpn)),
            write.addr.eq(self._index(level, self.fill_space, self.fill_vpn)),
            write.en.eq(stored),
            write.data.space.eq(self.fill_space),
            write.data.vpn.eq(self.fill_vpn[tag_bit:]),
            write.data.table.eq(self.fill_table),
        ]
        with m.If(self.invalidate):
            m.d.sync += valid.eq(valid & ~self._struck(level))
        with m.Elif(stored):
            m.d.sync += valid.bit_select(write.addr, 1).eq(1)
        same_page = (read.data.vpn == self.vpn[tag_bit : config.vpn_bits]) & (read.data.space == self.space)
        return valid.bit_select(read.addr, 1) & same_page, read.data.table

    def _index(self, level: int, space: Value, vpn: Value) -> Value:
        """The row of a page; spaces that use the same addresses are spread over the rows."""
        return ((vpn >> LEVEL_BITS * level) ^ space)[: self._index_bits]

    def _struck(self, level: int) -> Value:
        """Rows that can hold a pointer on the way to a page that the invalidation covers."""
        record = self.record
        base = self._index(level, record.space, record.vpn)
        free = (record.mask >> LEVEL_BITS * level)[: self._index_bits]
        if level == 1 and self._config.sv32:
            free |= 1  # a pointer of Sv32 covers ten bits, and has a row for each half that was walked
        everything = record.any_space | record.any_page
        return Cat(everything | ~((base ^ row) & ~free).any() for row in range(self._config.walk_cache))
