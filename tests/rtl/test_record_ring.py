"""RecordRing under cocotb, and a planted bug that its tests must find."""

import pytest
from amaranth.lib import data

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.messages import ReleasedRecord
from seqfault_rtl.record_ring import RecordRing
from seqfault_rtl.srcu_call import SrcuCompletion
from seqfault_tb.with_memory import WithMemory

TESTS = "seqfault_tb.test_record_ring"
CONFIG = PRESETS["small"]
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # of the one that is refused


def test_record_ring() -> None:
    run_block(WithMemory(CONFIG, RecordRing(ReleasedRecord)), TESTS, name="record_ring")


def test_records_are_as_in_memory() -> None:
    """docs/software-contract.md, Rings and SRCU: word 0 the entry, word 1 VPN [47:0] and space [63:48]; word 0 the cookie, word 1 the space."""
    released = ReleasedRecord.const({"pte": 0x1122_3344_5566_7788, "vpn": 0xABCD_EF01_2345, "space": 0x6789}).as_value().value
    assert (released & (1 << 64) - 1, released >> 64) == (0x1122_3344_5566_7788, 0x6789_ABCD_EF01_2345)
    completion = SrcuCompletion.const({"cookie": 0x1122_3344_5566_7788, "space": 0x6789}).as_value().value
    assert (completion & (1 << 64) - 1, completion >> 64) == (0x1122_3344_5566_7788, 0x6789 << 48)


def test_record_of_another_size_is_refused() -> None:
    class Short(data.Struct):
        word: 64

    with pytest.raises(ValueError, match="shape must have 128 bits, not 64"):
        RecordRing(Short)


class EarlyTail(RecordRing):
    """Records count as safe when they are sent."""

    def _write(self, m, record, *, stored, sent, answered):
        super()._write(m, record, stored=stored, sent=sent, answered=answered)
        with m.If(self.write.request.valid & self.write.request.ready & (self.write.request.payload.addr[3])):
            m.d.sync += answered.eq(sent + 1)


def test_early_idle_is_found() -> None:
    with pytest.raises(SimulationFailed, match="records_and_wrap"):
        run_block(WithMemory(CONFIG, EarlyTail(ReleasedRecord)), TESTS, name="record_ring", testcase="records_and_wrap")
