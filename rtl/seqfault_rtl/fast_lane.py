"""Several streams into one without a register: one that is in a hurry, and others that get every second cycle at the most."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["FastLane"]


class FastLane(wiring.Component):
    """Passes `fast` on in the same cycle, but in every second cycle while one of `slow` waits: that cycle is theirs, in turn.

    Which input a cycle belongs to does not depend on `fast.valid`, so that may come late. What is offered at `output` may change until it is
    taken, so a reader looks at it in the cycle of the transfer only.

    Parameters
    ----------
    shape : payload of the streams.
    slow : number of slow inputs, at least 1.

    Members
    -------
    fast, slow : what is merged. A slow input that waits is offered at least in every (2 * `slow`)th cycle.
    fast_turn : the cycle belongs to `fast`.
    output : `item`, and `source`: 0 for `fast`, 1 + index for the others.
    """

    def __init__(self, shape: type[data.Struct], slow: int) -> None:
        self.count = slow
        merged = data.StructLayout({"item": shape, "source": ceil_log2(slow + 1)})
        super().__init__(
            {
                "fast": In(stream.Signature(shape)),
                "slow": In(stream.Signature(shape)).array(slow),
                "fast_turn": Out(1),
                "output": Out(stream.Signature(merged)),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        output, turn, first = self.output, Signal(), Signal(range(self.count))
        waiting = Cat(source.valid for source in self.slow)
        m.d.sync += turn.eq(waiting.any() & ~turn)
        with m.If(turn):
            m.d.sync += first.eq(first + 1)
            with m.If(first == self.count - 1):
                m.d.sync += first.eq(0)
        chosen = Signal(range(self.count))
        for index in reversed(range(self.count)):
            with m.If(waiting[index]):
                m.d.comb += chosen.eq(index)
        with m.If(waiting.bit_select(first, 1)):
            m.d.comb += chosen.eq(first)
        m.d.comb += self.fast_turn.eq(~(turn & waiting.any()))
        m.d.comb += [output.payload.item.eq(self.fast.payload), output.valid.eq(self.fast.valid), self.fast.ready.eq(output.ready)]
        with m.If(~self.fast_turn):
            m.d.comb += [output.valid.eq(1), self.fast.ready.eq(0), output.payload.source.eq(chosen + 1)]
            for index, source in enumerate(self.slow):
                with m.If(chosen == index):
                    m.d.comb += [output.payload.item.eq(source.payload), source.ready.eq(output.ready)]
        return m
