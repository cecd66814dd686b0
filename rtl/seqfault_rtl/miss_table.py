"""Misses under way: who waits for which walk. Requests for the page of a walk in flight join it."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import EngineConfig
from .messages import ChangeCount
from .miss_records import PAGE_OFFSET_BITS, PortRequest

__all__ = ["MissTable", "miss_bits", "walk_tag_bits"]


def miss_bits(config: EngineConfig) -> int:
    """Width of the number of a miss in bits: every port may have all of its misses here."""
    return max(1, ceil_log2(config.ports * config.port_misses))


def walk_tag_bits(config: EngineConfig) -> int:
    """Width of the number of a walk for a miss in bits."""
    return max(1, ceil_log2(config.walks))


class MissTable(wiring.Component):
    """Numbers for misses and for walks, and per walk a list of the misses that wait for its end.

    A walk is open, so that others may join it, until it has ended or anything has been invalidated since it began: a request that is younger
    than an invalidation does not get what was read before it.

    Parameters
    ----------
    config : parameters of the engine. There is always a number for a miss, as a port has no more outstanding than it may.

    Members
    -------
    request, valid : the next miss; it may enter. found : an open walk is for its page. has_walk : there is a number for another walk, `walk`.
    enter : strobe: it enters as number `miss`; with `start` it begins `walk`, with `join` it waits for the walk found, else it is alone.
    invalidate : strobe: closes all walks, one that starts in this cycle too.
    changes : the count of changes at this moment, kept with a walk that starts.
    ended, head, began : number of a walk, the miss that began it, and the count when it did. close : strobe: it has ended. Misses that join
        in this cycle still count.
    miss, current : a miss to be read. asked : its request. following : the miss that joined `current_walk` after it, if not `is_last`.
    leave : strobe: `current` is answered. leave_walk : strobe: nobody waits for `current_walk` any more.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._misses, self._walks = config.ports * config.port_misses, config.walks
        self._miss, self._walk = miss_bits(config), walk_tag_bits(config)
        super().__init__(
            {
                "request": In(PortRequest),
                "valid": In(1),
                "found": Out(1),
                "has_walk": Out(1),
                "walk": Out(self._walk),
                "enter": In(1),
                "start": In(1),
                "join": In(1),
                "miss": Out(self._miss),
                "invalidate": In(1),
                "changes": In(ChangeCount),
                "ended": In(self._walk),
                "head": Out(self._miss),
                "began": Out(ChangeCount),
                "close": In(1),
                "current": In(self._miss),
                "current_walk": In(self._walk),
                "asked": Out(PortRequest),
                "following": Out(self._miss),
                "is_last": Out(1),
                "leave": In(1),
                "leave_walk": In(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        self._numbers(m, "misses", self._misses, self.miss, self.enter, self.leave, self.current)
        walks = self._numbers(m, "walks", self._walks, self.walk, self.enter & self.start, self.leave_walk, self.current_walk)
        # rows of free numbers are written in any case: whether the miss enters is known late in the cycle
        asked = self._column(m, "asked", PortRequest, self.request, self.valid, self.miss, self.current)
        m.d.comb += [self.has_walk.eq(~walks.all()), self.asked.eq(asked)]
        joined = self._find(m)
        begins, joins = self.enter & self.start, self.enter & self.join
        m.d.comb += self.head.eq(self._column(m, "heads", self._miss, self.miss, self.has_walk, self.walk, self.ended))
        m.d.comb += self.began.eq(self._column(m, "began_at", ChangeCount, self.changes, self.has_walk, self.walk, self.ended))
        m.submodules.tails = tails = Memory(shape=self._miss, depth=self._walks, init=[])
        write, of_joined, of_current = tails.write_port(), tails.read_port(domain="comb"), tails.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(begins | joins),
            write.addr.eq(self.walk),
            write.data.eq(self.miss),
            of_joined.addr.eq(joined),
            of_current.addr.eq(self.current_walk),
            self.is_last.eq(of_current.data == self.current),
        ]
        with m.If(self.join):
            m.d.comb += write.addr.eq(joined)
        m.d.comb += self.following.eq(self._column(m, "following", self._miss, self.miss, joins, of_joined.data, self.current))
        return m

    def _numbers(self, m: Module, name: str, count: int, free: Value, take: Value, give: Value, given: Value) -> Signal:
        """Numbers below `count`: `free` is the lowest one not in use. Returns those in use."""
        used = Signal(count, name=name)
        for index in reversed(range(count)):
            with m.If(~used[index]):
                m.d.comb += free.eq(index)
        with m.If(give):
            m.d.sync += used.bit_select(given, 1).eq(0)
        with m.If(take):
            m.d.sync += used.bit_select(free, 1).eq(1)
        return used

    def _column(self, m: Module, name: str, shape: object, row: Value, write: Value, at: Value, wanted: Value) -> Signal:
        """A memory by the number of a miss or a walk; returns what it holds for `wanted`."""
        m.submodules[name] = memory = Memory(shape=shape, depth=1 << len(at), init=[])
        port, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [port.en.eq(write), port.addr.eq(at), port.data.eq(row), read.addr.eq(wanted)]
        return read.data

    def _find(self, m: Module) -> Signal:
        """The open walk for the page of `request`: at most one, as a page that has one gets no other."""
        config, request = self._config, self.request.request
        vpn = request.va[PAGE_OFFSET_BITS:][: config.vpn_bits]
        is_open, matches, found = Signal(self._walks), Signal(self._walks), Signal(self._walk)
        for index in range(self._walks):
            space, page = Signal(config.space_bits, name=f"space_{index}"), Signal(config.vpn_bits, name=f"page_{index}")
            m.d.comb += matches[index].eq(is_open[index] & (Cat(space, page) == Cat(request.space[: config.space_bits], vpn)))
            with m.If(self.has_walk & (self.walk == index)):
                m.d.sync += [space.eq(request.space), page.eq(vpn)]
                with m.If(self.enter & self.start):
                    m.d.sync += is_open[index].eq(1)
            with m.If(self.close & (self.ended == index)):
                m.d.sync += is_open[index].eq(0)
        with m.If(self.invalidate):
            m.d.sync += is_open.eq(0)
        m.d.comb += self.found.eq(matches.any())
        for bit in range(self._walk):
            m.d.comb += found[bit].eq(Cat(matches[index] for index in range(self._walks) if index >> bit & 1).any())
        return found
