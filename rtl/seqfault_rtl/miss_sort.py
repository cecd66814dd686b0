"""What to do with a miss: refuse it, call it a fault, answer it from the L2 TLB, let it join a walk, or walk."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import Outcome, SpaceEntry
from .miss_end import EndedMiss, ended_leaf
from .miss_records import PAGE_OFFSET_BITS, Miss
from .paging import PageSize, PagingMode, Pte, is_canonical

__all__ = ["MissSort"]


class MissSort(wiring.Component):
    """Sorts one miss, combinationally; whatever happens to it happens in the cycle of its transfer.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    miss : what is to be sorted.
    space, space_entry : combinational query of the space table: which addresses are canonical depends on the mode. [Priv 12.4.1]
    l2_hit, l2_pte, l2_size : what the L2 TLB holds for it. found : a walk in flight is for its page.
    end, ends : it has ended so, when `ends_ready`: refused (BAD_TABLE: space out of range, or without a table; BOUNDS: address not
        canonical), a fault (the L1 TLB holds the page, and refuses), or a leaf of the L2 TLB.
    join : it waits for the walk found. walk : it needs a walk, and begins it when `walk_ready`.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "miss": In(stream.Signature(Miss)),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "l2_hit": In(1),
                "l2_pte": In(Pte),
                "l2_size": In(PageSize),
                "found": In(1),
                "ends": Out(1),
                "ends_ready": In(1),
                "end": Out(EndedMiss),
                "join": Out(1),
                "walk": Out(1),
                "walk_ready": In(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        miss, entry, end = self.miss.payload, self.space_entry, self.end
        canonical, denied, sv32 = Signal(), Signal(), Signal()
        bad_table = Signal(init=1)
        page = miss.request.va[PAGE_OFFSET_BITS:]
        m.d.comb += [
            self.space.eq(miss.request.space),
            # where hardware sets A and D, a walk does it
            denied.eq(miss.denied & ~((miss.reason == Outcome.AD_CLEAR) & entry.adue)),
            sv32.eq(entry.mode == PagingMode.SV32 if self._config.sv32 else 0),
        ]
        with m.Switch(entry.mode):
            for name in self._config.modes:
                with m.Case(PagingMode[name]):
                    m.d.comb += [bad_table.eq(0), canonical.eq(is_canonical(page, PagingMode[name]))]
        m.d.comb += [
            *ended_leaf(end.walk, pte=self.l2_pte, size=self.l2_size, adue=entry.adue, sv32=sv32),
            end.from_l2.eq(1),
            end.reason.eq(miss.reason),
        ]
        with m.If(bad_table):
            m.d.comb += [end.decided.eq(1), end.refused.eq(1), end.reason.eq(Outcome.BAD_TABLE)]
        with m.Elif(~canonical):
            m.d.comb += [end.decided.eq(1), end.refused.eq(1), end.reason.eq(Outcome.BOUNDS)]
        with m.Elif(denied):
            m.d.comb += end.decided.eq(1)
        known = end.decided | (self.l2_hit & ~miss.denied)
        m.d.comb += [
            self.ends.eq(self.miss.valid & known),
            self.join.eq(self.miss.valid & ~known & self.found),
            self.walk.eq(self.miss.valid & ~known & ~self.found),
            self.miss.ready.eq((self.ends & self.ends_ready) | self.join | (self.walk & self.walk_ready)),
        ]
        return m
