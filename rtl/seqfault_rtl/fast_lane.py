"""Streams into one without a register: one that is in a hurry, another that gets every second cycle at the most, and one that is urgent."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FastLane"]


class FastLane(wiring.Component):
    """Passes `fast` on in the same cycle; while `slow` waits, they have the cycles in which `output` is ready by turns.

    Which input a cycle belongs to does not depend on `fast.valid`, so that may come late. What is offered at `output` may change until it is
    taken, so a reader looks at it in the cycle of the transfer only.

    Parameters
    ----------
    shape : payload of the streams.
    has_urgent : build `urgent`; it must leave cycles to the others by itself.

    Members
    -------
    fast, slow, urgent : what is merged. `urgent` has every cycle in which it waits.
    output : `item`, and `source`: 0 for `fast`, 1 for `slow`, 2 for `urgent`. Whether it is ready may depend on the input chosen for the
        cycle; it must become so again and again for `fast`, or for `slow`, while that one waits.
    """

    def __init__(self, shape: type[data.Struct], *, has_urgent: bool = False) -> None:
        self._has_urgent = has_urgent
        merged = data.StructLayout({"item": shape, "source": 2})
        inputs = ("fast", "slow", "urgent") if has_urgent else ("fast", "slow")
        members = {name: In(stream.Signature(shape)) for name in inputs}
        super().__init__(members | {"output": Out(stream.Signature(merged))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        output, slow_turn, is_urgent, fast_turn = self.output, Signal(), Signal(), Signal()
        if self._has_urgent:
            m.d.comb += is_urgent.eq(self.urgent.valid)
        with m.If(~is_urgent):
            m.d.sync += slow_turn.eq(self._next_turn(slow_turn))
        m.d.comb += fast_turn.eq(~is_urgent & ~slow_turn)
        with m.If(fast_turn):
            m.d.comb += [output.payload.item.eq(self.fast.payload), output.valid.eq(self.fast.valid), self.fast.ready.eq(output.ready)]
        with m.Else():
            m.d.comb += [output.payload.item.eq(self.slow.payload), output.valid.eq(1), output.payload.source.eq(Mux(is_urgent, 2, 1))]
            m.d.comb += self.slow.ready.eq(output.ready & ~is_urgent)
        if self._has_urgent:
            with m.If(is_urgent):
                m.d.comb += [output.payload.item.eq(self.urgent.payload), self.urgent.ready.eq(output.ready)]
        return m

    def _next_turn(self, slow_turn: Value) -> Value:
        """Whether the next cycle is of `slow`: a turn lasts until it could be used."""
        over = self.output.ready | ~self.fast.valid
        return Mux(slow_turn, ~self.output.ready, self.slow.valid & over)
