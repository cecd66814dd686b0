"""Fairness of the round-robin choice."""

from amaranth import Module, Signal

from seqfault_rtl.round_robin import RoundRobin

from .spec import Spec, any_const, drive, opened

__all__ = ["CountsFirst", "Fairness", "KeepsTurn"]


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

        ahead = opened(dut).local("elaborate", "ahead")
        of_waiter, of_other = ahead.bit_select(waiter, 1), ahead.bit_select(other, 1)
        self.lemma(m, "turn_is_next", ~was_first | (of_waiter & ~of_other) | ((of_waiter == of_other) & (waiter < other)))
        self.lemma(m, "those_ahead_are_last", ~(ahead[:-1] & ~ahead[1:]).any())


class KeepsTurn(RoundRobin):
    """The search never moves on."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        taken, self.taken = self.taken, Signal()
        m = super().elaborate(platform)
        self.taken = taken
        return m


class CountsFirst(RoundRobin):
    """The search moves on only behind the first requester."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        taken, self.taken = self.taken, Signal()
        m = super().elaborate(platform)
        m.d.comb += self.taken.eq(taken & (self.grant == 0))
        self.taken = taken
        return m
