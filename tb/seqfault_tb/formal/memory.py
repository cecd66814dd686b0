"""Memory for page-table walks: answers any read, with any data, in any order, within a bound."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import wiring

from .spec import Spec

__all__ = ["WalkMemory"]


class WalkMemory:
    """A memory on the read port of a block whose tags are used by one read at a time.

    Every read is answered in the cycle after it was accepted at the earliest, `latency` cycles after it at the latest, and waits for at most
    `stall` cycles to be accepted (None: any number). The data are any, unless the specification assumes something about them.

    Members
    -------
    accepted, tag : a read is accepted in this cycle.
    answered, answer_tag : one is answered.
    in_flight : per tag: a read was accepted and not answered yet.
    """

    def __init__(self, spec: Spec, m: Module, port: wiring.PureInterface, *, tags: int, latency: int | None, stall: int | None) -> None:
        request, response = port.request, port.response
        self.accepted: Value = request.valid & request.ready
        self.answered: Value = response.valid & response.ready
        self.tag, self.answer_tag = request.payload.tag, response.payload.tag
        self.in_flight = Signal(tags, name="in_flight")
        if stall is not None:
            self.count(spec, m, "stalled", stall, request.valid & ~request.ready)
        spec.assume(m, ~response.valid | ((self.answer_tag < tags) & self.in_flight.bit_select(self.answer_tag, 1)))
        spec.promise(m, "one_read_per_tag", ~self.accepted | ((self.tag < tags) & ~self.in_flight.bit_select(self.tag, 1)))
        for index in range(tags):
            mine, back = self.accepted & (self.tag == index), self.answered & (self.answer_tag == index)
            with m.If(mine):
                m.d.sync += self.in_flight[index].eq(1)
            with m.Elif(back):
                m.d.sync += self.in_flight[index].eq(0)
            if latency is not None:
                self.count(spec, m, f"age_{index}", latency, mine | (self.in_flight[index] & ~back))

    @staticmethod
    def count(spec: Spec, m: Module, name: str, limit: int, waits: Value) -> None:
        """What waits does so for at most `limit` cycles in a row."""
        count = Signal(range(limit + 2), name=name)
        m.d.sync += count.eq(Mux(waits, count + 1, 0))
        spec.assume(m, count <= limit)
