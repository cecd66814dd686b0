"""PageRequestQueue under cocotb, and planted bugs that its tests must find."""

import pytest

import seqfault_rtl.page_request_queue
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.page_request_queue import PageRequestQueue
from seqfault_rtl.record_writer import RecordWriter
from seqfault_tb.with_memory import WithMemory

TESTS = "seqfault_tb.test_page_request_queue"
CONFIG = PRESETS["small"]


def test_page_request_queue() -> None:
    run_block(WithMemory(CONFIG, PageRequestQueue(CONFIG)), TESTS, name="page_request_queue")


class EarlyTail(RecordWriter):
    """The record is done when all words have been sent, not when they have been answered."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        request = self.write.request
        with m.If(request.valid & request.ready & request.payload.tag[0]):
            m.d.comb += self.done.eq(1)
        return m


def test_early_tail_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.page_request_queue, "RecordWriter", EarlyTail)
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run_block(WithMemory(CONFIG, PageRequestQueue(CONFIG)), TESTS, name="page_request_queue", testcase="records_and_wrap")


def test_missing_wrap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.page_request_queue, "next_index", lambda settings, index: (index + 1)[:16])
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run_block(WithMemory(CONFIG, PageRequestQueue(CONFIG)), TESTS, name="page_request_queue", testcase="records_and_wrap")
