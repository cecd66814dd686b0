"""Which walks in flight an invalidation has hit."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import InvalidateRecord
from .paging import LEVEL_BITS, SV32_LEVEL_BITS, VPN_BITS, PageSize, page_mask

__all__ = ["WalkStale"]


class WalkStale(wiring.Component):
    """A stale mark per walk slot and level: where the walk will end is not known when the invalidation comes.

    An invalidation of some pages concerns leaf entries only [Priv 11.2.1]; a leaf of level 1 is hit when the range shares its 2 MiB, and
    so on up, so a walk that ends at a level is stale exactly if an entry of that level would have been invalidated (globals count too).
    Where a leaf of level 0 may be one of 64 KiB, all of level 0 are taken for such.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    start, slot, space, vpn, napot, doubtful : strobe: a walk begins in this slot, with no read before the next cycle; its marks are cleared,
        or all set if its result must not be kept in any case. `napot`: the space uses Svnapot.
    invalidate, record : strobe of the command unit.
    levels : per slot, the level of the entry read last.
    stale : per slot: an earlier invalidation (before this cycle) hit that entry.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "slot": In(range(config.walk_slots)),
                "space": In(16),
                "vpn": In(VPN_BITS),
                "napot": In(1),
                "doubtful": In(1),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "levels": In(3).array(config.walk_slots),
                "stale": Out(config.walk_slots),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        record = self.record
        for index in range(self._config.walk_slots):
            space = Signal(self._config.space_bits, name=f"space_{index}")
            vpn = Signal(self._config.vpn_bits, name=f"vpn_{index}")
            marks = Signal(self._config.levels, name=f"marks_{index}")
            in_space = record.any_space | (record.space == space)
            napot = Signal(name=f"napot_{index}")
            ignored = record.mask | Mux(napot, page_mask(PageSize.KIB_64), 0)
            hit = self._levels_hit(((vpn ^ record.vpn) & ~ignored)[: len(vpn)]) | record.any_page.replicate(len(marks))
            m.d.comb += self.stale[index].eq(marks.bit_select(self.levels[index], 1))
            with m.If(self.start & (self.slot == index)):
                m.d.sync += [space.eq(self.space), vpn.eq(self.vpn), napot.eq(self.napot), marks.eq(self.doubtful.replicate(len(marks)))]
            with m.Elif(self.invalidate):
                m.d.sync += marks.eq(marks | Mux(in_space, hit, 0))
        return m

    def _levels_hit(self, difference: Value) -> Value:
        """Bit l: no difference in the page number of a page of level l (with Sv32, of its superpages, which are larger than others')."""
        lowest = [level * LEVEL_BITS for level in range(self._config.levels)]
        if self._config.sv32:
            lowest[1] = SV32_LEVEL_BITS
        return ~Cat(difference[low:].any() for low in lowest)
