"""FaultQueue under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const, Module, Value

import seqfault_rtl.fault_queue
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.fault_queue import FaultQueue
from seqfault_rtl.fault_records import RECORD_WORDS, TransactionType
from seqfault_rtl.record_writer import RecordWriter
from seqfault_tb.with_memory import WithMemory

from ..long import in_short

TESTS = "seqfault_tb.test_fault_queue"
CONFIG = PRESETS["small"]


def run(queue: FaultQueue, testcase: str | None = None) -> None:
    run_block(WithMemory(CONFIG, queue), TESTS, name="fault_queue", testcase=testcase)


def test_fault_queue() -> None:
    run(FaultQueue(CONFIG))


class EarlyTail(RecordWriter):
    """The record is done when all words have been sent, not when they have been answered."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        request = self.write.request
        with m.If(request.valid & request.ready & (request.payload.tag == RECORD_WORDS - 1)):
            m.d.comb += self.done.eq(1)
        return m


class LosesSilently(FaultQueue):
    """A report that finds the buffer full is lost, and those after it are written: a gap that nobody tells of."""

    def _buffer(self, m, leave, *, closed):
        held, report, _lost = super()._buffer(m, leave, closed=closed)
        return held, report, Const(0)


class StopsAtOnce(FaultQueue):
    """`fqof` is set when a report is lost: those that were buffered before are dropped too."""

    def _count(self, m, lost, dropped):
        super()._count(m, lost, dropped)
        with m.If(lost & self.queue.settings.enable):
            m.d.comb += self.queue.overflow.eq(1)


class CountsOne(FaultQueue):
    """Two records dropped in one cycle count as one."""

    def _count(self, m: Module, lost: Value, dropped: Value) -> None:
        m.d.comb += self.queue.dropped.eq(lost | dropped)


class MakesReportersWait(FaultQueue):
    """A reporter waits while a record is being written."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.report.ready.eq(~self.queue.busy)
        return m


class KeepsReports(FaultQueue):
    """Reports made while the queue is off are kept for when it is on."""

    def _buffer(self, m, leave, *, closed):
        enabled = self.queue.settings.enable
        return super()._buffer(m, leave & enabled, closed=closed & enabled)


class ForgetsError(RecordWriter):
    """Only the last word's answer is looked at."""

    def _answered(self, m, answered):
        super()._answered(m, answered)
        response = self.write.response.payload
        m.d.sync += self.failed.eq((response.tag == RECORD_WORDS - 1) & response.error)


FINDS = {
    LosesSilently: "faster_than_memory", StopsAtOnce: "faster_than_memory",
    CountsOne: "random_reports", MakesReportersWait: "faster_than_memory", KeepsReports: "disabled_meanwhile",
}  # fmt: skip
"""Planted bug to a test that must find it."""


@pytest.mark.parametrize(("mutant", "testcase"), in_short(2, FINDS.items()), ids=lambda value: getattr(value, "__name__", value))
def test_planted_bug_is_found(mutant: type[FaultQueue], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(CONFIG), testcase)


@pytest.mark.parametrize(("mutant", "testcase"), in_short(1, [(EarlyTail, "records_and_wrap"), (ForgetsError, "bus_error")]))
def test_planted_bug_in_the_writer_is_found(mutant: type[RecordWriter], testcase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.fault_queue, "RecordWriter", mutant)
    with pytest.raises(SimulationFailed, match=testcase):
        run(FaultQueue(CONFIG), testcase)


def test_missing_wrap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.fault_queue, "next_index", lambda settings, index: (index + 1)[:16])
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run(FaultQueue(CONFIG), "records_and_wrap")


def test_wrong_type_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransactionType, "of_access", staticmethod(lambda access: Value.cast(access) + 1))
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run(FaultQueue(CONFIG), "records_and_wrap")
