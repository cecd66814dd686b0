"""Several streams into one: round robin, with a register behind the choice."""

from amaranth import Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .round_robin import RoundRobin

__all__ = ["StreamMerge"]


class StreamMerge(wiring.Component):
    """Fair merge of streams, one item a cycle, one cycle of latency.

    An input's payload is looked at only in the cycle of its transfer, so inputs may change it while they wait.

    Parameters
    ----------
    shape : payload of the inputs.
    count : number of inputs, at least 1.

    Members
    -------
    inputs : what is merged.
    output : `item`, and `source`, the index of the input that it came from.
    """

    def __init__(self, shape: type[data.Struct], count: int) -> None:
        self.count = count
        merged = data.StructLayout({"item": shape, "source": ceil_log2(count)})
        super().__init__({"inputs": In(stream.Signature(shape)).array(count), "output": Out(stream.Signature(merged))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.turn = turn = RoundRobin(self.count)
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in self.inputs)),
            turn.taken.eq(~self.output.valid | self.output.ready),
        ]
        with m.If(turn.taken):
            m.d.sync += [self.output.valid.eq(turn.valid), self.output.payload.source.eq(turn.grant)]
        for index, source in enumerate(self.inputs):
            with m.If(turn.grant == index):
                m.d.comb += source.ready.eq(turn.taken)
                with m.If(turn.taken):
                    m.d.sync += self.output.payload.item.eq(source.payload)
        return m
