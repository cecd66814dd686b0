"""A queue whose input comes out in the same cycle when it is empty."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["BypassQueue"]


class BypassQueue(wiring.Component):
    """First in, first out, without latency.

    Parameters
    ----------
    shape : what it holds.
    depth : room, at least 1.

    Members
    -------
    put, item : strobe: this is to come out; only while there is room (`level` < `depth`). May come late in the cycle.
    offer : with `item`: it may come out in this cycle, if nothing is held. `put` must follow.
    output : what was offered stays until it is taken or flushed.
    level : number of items held.
    flush : strobe: nothing that came in until now comes out from the next cycle on.
    """

    def __init__(self, shape: type[data.Struct], depth: int) -> None:
        self._shape, self._depth = shape, depth
        super().__init__(
            {
                "put": In(1),
                "offer": In(1),
                "item": In(shape),
                "output": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
                "flush": In(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.held = memory = Memory(shape=self._shape, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        waiting, kept, left = Signal(), Signal(), Signal()
        m.d.comb += [
            waiting.eq(self.level.any()),
            write.en.eq(self.level != self._depth),  # whether or not an item is put there: that is known late
            write.data.eq(self.item),
            self.output.valid.eq(waiting | self.offer),
            self.output.payload.eq(Mux(waiting, read.data, self.item)),
            kept.eq(self.put & ~(self.offer & self.output.ready & ~waiting)),
            left.eq(self.output.ready & waiting),
        ]
        for moved, place in ((kept, write.addr), (left, read.addr)):
            with m.If(moved):
                m.d.sync += place.eq(Mux(place == self._depth - 1, 0, place + 1))
        with m.If(kept & ~left):
            m.d.sync += self.level.eq(self.level + 1)
        with m.Elif(left & ~kept):
            m.d.sync += self.level.eq(self.level - 1)
        with m.If(self.flush):
            m.d.sync += [self.level.eq(0), write.addr.eq(0), read.addr.eq(0)]
        return m
