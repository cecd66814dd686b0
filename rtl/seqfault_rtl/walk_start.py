"""Where a walk starts: its client, its space, and the deepest table that the walk cache knows."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fast_lane import FastLane
from .messages import InvalidateRecord, SpaceEntry, WalkRequest
from .page_walk_cache import PageWalkCache
from .paging import MAX_LEVELS, PPN_BITS, VPN_BITS, PagingMode, is_canonical
from .stream_merge import StreamMerge
from .walk_entry import PagingFeatures

__all__ = ["AD_UPDATE", "Start", "WalkStart", "client_count"]

AD_UPDATE = 3
"""Client number of AdUpdate, built with `svadu`. The others: 0 Translator, 1 FaultUnit, 2 CommandUnit."""


def client_count(config: EngineConfig) -> int:
    """Number of the walker's clients."""
    return AD_UPDATE + config.svadu


class Start(data.Struct):
    """A walk that may start, and the level of the entry to read first: in the walk cache's table of that level if it has one (`cached`).

    `bare`: there is no table. `foreign`: the page is not canonical in the space's mode, so the mode changed behind a client that had checked.
    """

    request: WalkRequest
    client: 2
    features: PagingFeatures
    bare: 1
    foreign: 1
    level: 3
    cached: 1
    root: PPN_BITS
    tables: data.ArrayLayout(PPN_BITS, MAX_LEVELS - 1)

    def table(self) -> Value:
        """The table to read first. It is chosen when the read is issued: which one it is is known late in the cycle of the start."""
        return Mux(self.cached, self.tables[self.level[:2]], self.root)


class WalkStart(wiring.Component):
    """Takes a walk request of some client and finds, in the same cycle, where its walk starts. [Priv 12.3.2, step 1]

    The Translator's requests pass at once; the others have a register first, and share a cycle of two while they wait. AdUpdate's go before
    all, as the others may wait for it; it has one at a time.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests : of each client.
    starts : the next walk; what is offered may change until it is taken. Offered to a client's walk even when there is no slot for it:
        `for_update` tells, early, that it is AdUpdate's.
    space, space_entry : combinational query of the space table.
    invalidate, record, leaf_only : strobe, as in `Walker`. learn, learn_* : strobe: a pointer to a table, found at level `learn_level` by a walk
        that is not stale.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "requests": In(stream.Signature(WalkRequest)).array(client_count(config)),
                "starts": Out(stream.Signature(Start)),
                "for_update": Out(1),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "invalidate": In(1),
                "leaf_only": In(1),
                "record": In(InvalidateRecord),
                "learn": In(1),
                "learn_space": In(16),
                "learn_vpn": In(VPN_BITS),
                "learn_level": In(3),
                "learn_table": In(PPN_BITS),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        config, start = self._config, self.starts.payload
        m.submodules.lane = lane = FastLane(WalkRequest, has_urgent=config.svadu)
        m.submodules.units = units = StreamMerge(WalkRequest, AD_UPDATE - 1)
        wiring.connect(m, wiring.flipped(self.requests[0]), lane.fast)
        for index in range(1, AD_UPDATE):
            wiring.connect(m, wiring.flipped(self.requests[index]), units.inputs[index - 1])
        from_units, chosen = units.output, lane.output
        m.d.comb += [
            lane.slow.valid.eq(from_units.valid),
            lane.slow.payload.eq(from_units.payload.item),
            from_units.ready.eq(lane.slow.ready),
            self.starts.valid.eq(chosen.valid),
            chosen.ready.eq(self.starts.ready),
            start.request.eq(chosen.payload.item),
            start.client.eq(Mux(chosen.payload.source == 1, from_units.payload.source + 1, 0)),
        ]
        if config.svadu:
            wiring.connect(m, wiring.flipped(self.requests[AD_UPDATE]), lane.urgent)
            m.d.comb += self.for_update.eq(chosen.payload.source == 2)
            with m.If(self.for_update):
                m.d.comb += start.client.eq(AD_UPDATE)
        self._find_table(m, start)
        return m

    def _find_table(self, m: Module, start: Start) -> None:
        config, entry, levels = self._config, self.space_entry, Signal(3)
        m.d.comb += [self.space.eq(start.request.space), start.bare.eq(1)]
        with m.Switch(entry.mode):
            for mode in config.modes:
                with m.Case(PagingMode[mode]):
                    m.d.comb += [levels.eq(PagingMode[mode].levels), start.bare.eq(0)]
                    m.d.comb += start.foreign.eq(~is_canonical(start.request.vpn, PagingMode[mode]))
        m.d.comb += [
            start.features.sv32.eq(entry.mode == PagingMode.SV32 if config.sv32 else 0),
            start.features.adue.eq(entry.adue),
            start.features.pbmte.eq(entry.pbmte),
            start.features.napot.eq(entry.napot),
        ]
        m.submodules.cache = cache = PageWalkCache(config)
        m.d.comb += [
            cache.space.eq(start.request.space),
            cache.vpn.eq(start.request.vpn),
            cache.levels.eq(levels),
            cache.invalidate.eq(self.invalidate & ~self.leaf_only),
            cache.record.eq(self.record),
            cache.fill.eq(self.learn),
            cache.fill_space.eq(self.learn_space),
            cache.fill_vpn.eq(self.learn_vpn),
            cache.fill_level.eq(self.learn_level),
            cache.fill_table.eq(self.learn_table),
            start.level.eq(Mux(cache.hit, cache.level, levels - 1)),
            start.cached.eq(cache.hit),
            start.root.eq(entry.root),
            *(kept.eq(table) for kept, table in zip(start.tables, cache.tables, strict=True)),
        ]
