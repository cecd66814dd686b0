"""What the end of an SRCU grace period means, and that it comes."""

from dataclasses import dataclass

from amaranth import Array, Const, Module, Mux, Signal, Value

from seqfault_rtl.srcu import BANKS, READER_BITS, READERS, Srcu
from seqfault_rtl.srcu_call import SrcuCall

from .spec import Spec, any_each_cycle, drive, opened

__all__ = ["FetchesEarly", "GracePeriod", "JoinsRunning", "LeavesActiveBank", "NoFlip", "OverwritesWhenFull"]

SOON = 2
"""Cycles until a call comes out when the bank that nobody enters is empty: one to begin a grace period, one to end it."""


@dataclass(frozen=True)
class Reader:
    """One reader, chosen by the solver: whether it is `inside`, and in which `bank`; that it `enters` or `leaves` in this cycle."""

    inside: Signal
    bank: Signal
    enters: Value
    leaves: Value


class GracePeriod(Spec):
    """A grace period ends only after every reader that had entered before the call, or in its cycle, has left.

    Besides: calls come out once each, unchanged, in the order in which they were taken; one is refused exactly while `srcu_calls` are pending;
    the bank that new readers do not enter is the one that is waited for, the two change their roles only while it is empty, and when it is
    empty a pending call comes out within two cycles, so new readers hold up no call. The environment: a reader leaves the bank
    that it was given, once; at most `READERS` are in a bank.
    """

    dut: Srcu

    def specify(self, m: Module) -> None:
        drive(m, self.dut)
        reader, total = self._readers(m)
        self._bank(m, total)
        pending = self._pending(m, total)
        self._one_call(m, reader, pending)

    def _readers(self, m: Module) -> tuple[Reader, Array]:
        """One reader, and others of which only the number in each bank is known; the result is the one, and how many are in each bank."""
        dut = self.dut
        inside, bank = Signal(name="reader_inside"), Signal(name="reader_bank")
        others = Array(Signal(READER_BITS, name=f"others_{index}") for index in range(BANKS))
        enters_it, leaves_it = any_each_cycle(m, 1, "reader_enters"), any_each_cycle(m, 1, "reader_leaves")
        enters, leaves = dut.enter & enters_it, dut.leave & leaves_it
        total = Array(Signal(READER_BITS + 1, name=f"total_{index}") for index in range(BANKS))
        for index in range(BANKS):
            m.d.comb += total[index].eq(others[index] + (inside & (bank == index)))
            entering = dut.enter & ~enters_it & (dut.enter_bank == index)
            leaving = dut.leave & ~leaves_it & (dut.leave_bank == index)
            self.assume(m, ~leaving | others[index].any())
            self.assume(m, ~(dut.enter & (dut.enter_bank == index)) | (total[index] < READERS))
            m.d.sync += others[index].eq(others[index] + entering - leaving)
        self.assume(m, ~enters | ~inside)
        self.assume(m, ~leaves | (inside & (dut.leave_bank == bank)))
        m.d.sync += inside.eq(Mux(enters, 1, inside & ~leaves))
        with m.If(enters):
            m.d.sync += bank.eq(dut.enter_bank)
        counts = opened(dut).local("_readers", "readers")
        self.lemma(m, "counts", (counts[0] == total[0]) & (counts[1] == total[1]))
        return Reader(inside, bank, enters, leaves), total

    def _bank(self, m: Module, total: Array) -> None:
        dut = self.dut
        was_bank, was_empty = Signal(), Signal(init=1)
        m.d.sync += [was_bank.eq(dut.enter_bank), was_empty.eq(total[~dut.enter_bank] == 0)]
        self.promise(m, "flips_to_an_empty_bank", (dut.enter_bank == was_bank) | was_empty)

    def _pending(self, m: Module, total: Array) -> Signal:
        """The number of calls taken and not yet out."""
        dut, calls = self.dut, self.dut.config.srcu_calls
        pending, soon = Signal(range(calls + 1)), Signal(2)
        accepted, out = dut.call.valid & ~dut.refused, dut.done.valid & dut.done.ready
        m.d.sync += pending.eq(pending + accepted - out)
        m.d.sync += soon.eq(Mux(pending.any() & ~dut.done.valid & (total[~dut.enter_bank] == 0), soon + 1, 0))
        self.promise(m, "always_ready", dut.call.ready)
        self.promise(m, "refused_at_the_bound", dut.refused == (dut.call.valid & (pending == calls)))
        self.promise(m, "nothing_else_comes_out", ~dut.done.valid | pending.any())
        self.promise(m, "comes_soon", soon <= SOON)
        stays = Signal()
        m.d.sync += stays.eq(dut.done.valid & ~dut.done.ready)
        self.promise(m, "stays_until_taken", ~stays | dut.done.valid)

        taken, ended, begun, called = opened(dut).local("_calls", "taken", "ended", "begun", "called")
        running = opened(dut).local("elaborate", "running")
        behind = [(mark - taken)[: len(taken)] for mark in (ended, begun, called)]
        self.lemma(m, "in_order", (behind[0] <= behind[1]) & (behind[1] <= behind[2]) & (behind[2] == pending) & (pending <= calls))
        self.lemma(m, "none_runs", running | ((ended == begun) & (total[~dut.enter_bank] == 0)))
        self.lemma(m, "runs_for_some", ~running | (ended != begun))
        self.lemma(m, "next_soon", ~soon.any() | dut.done.valid | (running & (soon == 1)))
        return pending

    def _one_call(self, m: Module, reader: Reader, pending: Signal) -> None:
        """One call, chosen by the solver when it is taken: so many are `ahead` of it, and the reader was there `before` it and still is."""
        dut = self.dut
        watched, before, ahead = Signal(), Signal(), Signal.like(pending)
        call = Signal(SrcuCall)
        out = dut.done.valid & dut.done.ready
        chosen = any_each_cycle(m, 1, "call_is_watched") & dut.call.valid & ~dut.refused & ~watched
        with m.If(chosen):
            m.d.sync += [
                watched.eq(1),
                ahead.eq(pending - out),
                call.eq(dut.call.payload),
                before.eq((reader.inside & ~reader.leaves) | reader.enters),
            ]
        with m.Else():
            m.d.sync += [watched.eq(watched & ~(out & (ahead == 0))), ahead.eq(ahead - out), before.eq(before & ~reader.leaves)]
        comes = watched & (ahead == 0) & dut.done.valid
        self.promise(m, "readers_have_left", ~(comes & before))
        self.promise(m, "unchanged", ~comes | (dut.done.payload.as_value() == call.as_value()))

        taken, ended, begun = opened(dut).local("_calls", "taken", "ended", "begun")
        running = opened(dut).local("elaborate", "running")
        row = opened(dut).row(m, "calls", (taken + ahead)[: len(taken) - 1])
        is_begun, is_ended = (ahead < (mark - taken)[: len(taken)] for mark in (begun, ended))
        self.lemma(m, "kept", ~watched | ((ahead < pending) & (row.as_value() == call.as_value())))
        self.lemma(m, "waited_for", ~(watched & before) | (reader.inside & ~is_ended & (~is_begun | (running & (reader.bank != dut.enter_bank)))))


class NoFlip(Srcu):
    """The banks keep their roles: what is scanned is not the bank in use."""

    def _readers(self, m: Module, bank: Value) -> Array:
        self._active = bank
        return super()._readers(m, bank)

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self._active.eq(0)
        return m


class FetchesEarly(Srcu):
    """A reader counts itself in the bank that was active one cycle before, as one that stalls between the two steps of software's lock does."""

    def _readers(self, m: Module, bank: Value) -> Array:
        fetched = Signal()
        m.d.sync += fetched.eq(bank)
        return super()._readers(m, fetched)


class LeavesActiveBank(Srcu):
    """A reader leaves the bank that is active now, not the one that it entered."""

    def _readers(self, m: Module, bank: Value) -> Array:
        given, self.leave_bank = self.leave_bank, bank
        readers = super()._readers(m, bank)
        self.leave_bank = given
        return readers


class JoinsRunning(Srcu):
    """A call that comes during a grace period completes at its end."""

    def _calls(self, m: Module, start: Value, end: Value) -> Value:
        return super()._calls(m, Const(1), end)


class OverwritesWhenFull(Srcu):
    """A call is taken at the bound too."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += [self.refused.eq(0), m.submodules.calls.write_ports[0].en.eq(self.call.valid)]
        return m
