"""Mover under cocotb, alone and behind an AxiManager, and planted bugs that its tests must find."""

import pytest
from amaranth import Const, Module, Signal
from amaranth.lib import data

import seqfault_rtl.axi_manager
import seqfault_rtl.mover
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.move_messages import MoveOperation
from seqfault_rtl.mover import READS_AHEAD, Mover
from seqfault_rtl.paging import PPN_BITS
from seqfault_rtl.round_robin import RoundRobin
from seqfault_tb.mover_top import MoverTop

from ..long import LONG, in_short

TESTS = "seqfault_tb.test_mover"
BUS_TESTS = "seqfault_tb.test_mover_bus"


def run(mover: Mover, testcase: str | None = None) -> None:
    run_block(mover, TESTS, name="mover", testcase=testcase)


def run_bus(mover: Mover, testcase: str | None = None) -> None:
    run_block(MoverTop(PRESETS["small"], mover), BUS_TESTS, name="mover_top", testcase=testcase)


def test_mover() -> None:
    run(Mover())


@LONG
def test_mover_on_the_bus() -> None:
    run_bus(Mover())


class LostWord(Mover):
    """The last word of each burst is not kept."""

    def _buffer(self, m, restart, next_word):
        word = super()._buffer(m, restart, next_word)
        m.d.comb += m.submodules.buffer.write_ports[0].en.eq(self.read.response.valid & ~self.read.response.payload.last)
        return word


class WrongOrder(Mover):
    """Words are written in pairs the wrong way round."""

    def _buffer(self, m, restart, next_word):
        return super()._buffer(m, restart, next_word ^ 1)


class DirtyZero(Mover):
    """ZERO writes what an earlier copy left in the buffer."""

    def _connect_writes(self, m, writes, copying):
        super()._connect_writes(m, writes, Const(1))


class ReadErrorForgotten(Mover):
    """Errors of reads are not looked at."""

    def _failing(self):
        return self.write.response.valid & self.write.response.payload.error


class WriteErrorForgotten(Mover):
    """Errors of writes are not looked at."""

    def _failing(self):
        return self.read.response.valid & self.read.response.payload.error


class LastErrorOnly(Mover):
    """Of a read burst, only the error of its last word counts."""

    def _failing(self):
        return super()._failing() & (self.write.response.valid | self.read.response.payload.last)


class ErrorKept(Mover):
    """An error is reported for all later jobs too."""

    def _connect_writes(self, m, writes, copying):
        super()._connect_writes(m, writes, copying)
        once = Signal()
        m.d.sync += once.eq(once | self._failing())
        m.d.comb += self.answers.payload.error.eq(once)


class Dogged(Mover):
    """An error is reported, and stops nothing."""

    def elaborate(self, platform):
        self.erring = Mover._failing(self)
        m = super().elaborate(platform)
        failed = Signal()
        with m.If(self.erring):
            m.d.sync += failed.eq(1)
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += failed.eq(0)
        m.d.comb += self.answers.payload.error.eq(failed)
        return m

    def _failing(self):
        return Const(0)


class NotDrained(Mover):
    """The answer to an error does not wait for what is under way."""

    def _is_over(self, reads, writes, failed):
        return super()._is_over(reads, writes, failed) | failed


class EarlyAnswer(Mover):
    """The answer comes when all has been written, not when all has been answered."""

    def _is_over(self, reads, writes, failed):
        return reads.idle & (writes.last | failed) & ~writes.burst.valid


class CutThrough(Mover):
    """A write burst is offered as soon as its words have been asked for."""

    def _may_write(self, copying, reads, writes):
        return ~copying | (writes.offered != reads.offered)


class LateWords(Mover):
    """A write burst is offered before its words: a word in every other cycle."""

    def _connect_writes(self, m, writes, copying):
        super()._connect_writes(m, writes, copying)
        turn = Signal()
        m.d.sync += turn.eq(~turn)
        m.d.comb += self.write.request.valid.eq(writes.burst.valid & turn)


class Unpaced(Mover):
    """Reads are asked for as long as the bound allows."""

    def _may_read(self, m, reads):
        super()._may_read(m, reads)
        return (reads.offered - reads.answered)[:7] < READS_AHEAD


class Unbounded(Mover):
    """Reads are asked for however many are under way."""

    def _may_read(self, m, reads):
        super()._may_read(m, reads)
        return ~reads.burst.valid


class SlowReads(Mover):
    """One read burst at a time."""

    def _may_read(self, m, reads):
        return super()._may_read(m, reads) & reads.idle


class Impatient(Mover):
    """Jobs are taken while one is under way."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.jobs.ready.eq(1)
        return m


class Tagless(Mover):
    """Answers have tag 0."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.answers.payload.tag.eq(0)
        return m


PLANTED = [
    (LostWord, "any_pace"), (WrongOrder, "any_pace"), (DirtyZero, "any_pace"), (EarlyAnswer, "any_pace"), (CutThrough, "any_pace"),
    (LateWords, "any_pace"), (Impatient, "any_pace"), (Tagless, "any_pace"), (SlowReads, "cycles"),
    (ReadErrorForgotten, "read_errors"), (LastErrorOnly, "read_errors"), (NotDrained, "read_errors"), (ErrorKept, "read_errors"),
    (Dogged, "read_errors"), (Dogged, "stops_early"), (WriteErrorForgotten, "write_errors"), (Unpaced, "leaves_room"), (Unbounded, "leaves_room"),
]  # fmt: skip


@pytest.mark.parametrize(("mutant", "testcase"), in_short(3, PLANTED))
def test_planted_bug_is_found(mutant: type[Mover], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(), testcase)


class LastFirst(RoundRobin):
    """The highest request always wins: the Mover's."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.valid.eq(self.requests.any())
        for index in range(self.count):
            with m.If(self.requests[index]):
                m.d.comb += self.grant.eq(index)
        return m


class FirstFirst(LastFirst):
    """The lowest request always wins: another writer's."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        for index in reversed(range(self.count)):
            with m.If(self.requests[index]):
                m.d.comb += self.grant.eq(index)
        return m


@pytest.mark.parametrize("arbiter", in_short(0, [LastFirst, FirstFirst]))
def test_unfair_shares_are_found(monkeypatch: pytest.MonkeyPatch, arbiter: type[RoundRobin]) -> None:
    monkeypatch.setattr(seqfault_rtl.axi_manager, "RoundRobin", arbiter)
    with pytest.raises(SimulationFailed, match="share_of_the_bus"):
        run_bus(Mover(), "share_of_the_bus")


@pytest.mark.parametrize("mutant", in_short(1, [WrongOrder, ReadErrorForgotten, WriteErrorForgotten, NotDrained]))
def test_planted_bug_is_found_on_the_bus(mutant: type[Mover]) -> None:
    with pytest.raises(SimulationFailed, match="frames"):
        run_bus(mutant(), "frames")


class SwappedJob(data.Struct):
    """`MoveJob` with the frames the other way round."""

    operation: MoveOperation
    target: PPN_BITS
    source: PPN_BITS
    tag: 6


def test_swapped_frames_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.mover, "MoveJob", SwappedJob)
    with pytest.raises(SimulationFailed, match="any_pace"):
        run(Mover(), "any_pace")


@pytest.mark.parametrize("length", in_short(0, [4, 16]))
def test_other_lengths_of_bursts_are_found(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Bursts whose length is not that of their addresses."""
    monkeypatch.setattr(seqfault_rtl.mover, "BURST_WORDS", length)
    with pytest.raises(SimulationFailed, match="any_pace"):
        run(Mover(), "any_pace")
