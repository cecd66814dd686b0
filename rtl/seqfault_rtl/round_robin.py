"""A fair choice among requests: after a grant has been taken, the search starts behind the one that had it."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundRobin"]


class RoundRobin(wiring.Component):
    """Round-robin arbiter without a cycle of delay: a request waits for at most `count` - 1 grants of others.

    Parameters
    ----------
    count : number of requests, at least 1.

    Members
    -------
    requests : bit i: requester i asks.
    taken : the grant of this cycle is used; the search moves on behind it.
    valid : some requester asks.
    grant : index of the chosen one, meaningful with `valid`; it may change from cycle to cycle until `taken`.

    Raises
    ------
    ValueError : `count` is less than 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count!r}")
        self.count = count
        super().__init__({"requests": In(count), "taken": In(1), "valid": Out(1), "grant": Out(range(count))})

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        ahead = Signal(self.count)  # requesters whose turn comes before the others'
        candidates = Signal(self.count)
        m.d.comb += [
            self.valid.eq(self.requests.any()),
            candidates.eq(self.requests & ahead),
        ]
        # later assignments win, so the lowest index of the preferred set is chosen
        for index in reversed(range(self.count)):
            with m.If(self.requests[index]):
                m.d.comb += self.grant.eq(index)
        with m.If(candidates.any()):
            for index in reversed(range(self.count)):
                with m.If(candidates[index]):
                    m.d.comb += self.grant.eq(index)
        with m.If(self.taken & self.valid):
            for index in range(self.count):
                m.d.sync += ahead[index].eq(self.grant < index)
        return m
