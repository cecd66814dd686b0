"""A queue whose input comes out in the same cycle when it is empty."""

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
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
    put, item : strobe: this is to come out; only while there is room (`level` < `depth`).
    offer : with `item`: it may come out in this cycle, if nothing is held. May come earlier in the cycle than `put`, which must follow.
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
        fifo = SyncFIFO(width=len(self.item.as_value()), depth=self._depth)
        m.submodules.fifo = ResetInserter(self.flush)(fifo)
        passed = Signal()
        m.d.comb += [
            passed.eq(self.offer & self.output.ready & ~fifo.r_rdy),
            fifo.w_en.eq(self.put & ~passed),
            fifo.w_data.eq(self.item),
            fifo.r_en.eq(self.output.ready),
            self.output.valid.eq(fifo.r_rdy | self.offer),
            self.output.payload.eq(self.item),
            self.level.eq(fifo.level),
        ]
        with m.If(fifo.r_rdy):
            m.d.comb += self.output.payload.as_value().eq(fifo.r_data)
        return m
