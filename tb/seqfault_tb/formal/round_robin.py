"""Fairness of the round-robin choice."""

from amaranth import Module, Signal

from seqfault_rtl.round_robin import RoundRobin

from .spec import Spec, any_const, drive, internal, opened

__all__ = ["Fairness", "KeepsTurn", "StartsAtWinner"]


class Fairness(Spec):
    """While a requester asks, no other is granted twice before it: it waits for at most `count` - 1 grants of others.

    Who is granted asks, and somebody is granted when somebody asks.
    """

    dut: RoundRobin

    def specify(self, m: Module) -> None:
        dut, count = self.dut, self.dut.count
        drive(m, dut)
        waiter, other = (any_const(m, range(count), name) for name in ("waiter", "other"))
        asks, granted, was_first = Signal(), Signal(), Signal()
        self.assume(m, (waiter < count) & (other < count) & (waiter != other))
        m.d.comb += [asks.eq(dut.requests.bit_select(waiter, 1)), granted.eq(dut.valid & dut.taken)]
        m.d.sync += was_first.eq(asks & ~(granted & (dut.grant == waiter)) & (was_first | (granted & (dut.grant == other))))
        self.promise(m, "not_twice", ~(asks & was_first & granted & (dut.grant == other)))
        self.promise(m, "grant_asks", ~dut.valid | dut.requests.bit_select(dut.grant, 1))
        self.promise(m, "someone_granted", dut.valid == dut.requests.any())

        ahead = internal(opened(dut), "ahead")
        of_waiter, of_other = ahead.bit_select(waiter, 1), ahead.bit_select(other, 1)
        self.lemma(m, "turn_is_next", ~was_first | (of_waiter & ~of_other) | ((of_waiter == of_other) & (waiter < other)))
        self.lemma(m, "those_ahead_are_last", ~(ahead[:-1] & ~ahead[1:]).any())


class KeepsTurn(RoundRobin):
    """The search starts at the winner, not behind it."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        with m.If(self.taken & self.valid):
            m.d.sync += internal(m, "ahead").bit_select(self.grant, 1).eq(1)
        return m


class StartsAtWinner(RoundRobin):
    """The search starts anew at requester 0 after every grant."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        m.d.sync += internal(m, "ahead").eq(0)
        return m
