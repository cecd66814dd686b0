"""FaultAround under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const

import seqfault_rtl.fault_around
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.fault_around import NODE_ALIGN_BITS, WINDOW_BITS, WORD_BITS, FaultAround

from ..long import in_short

TESTS = "seqfault_tb.test_fault_around"


def run(block: FaultAround, testcase: str | None = None) -> None:
    run_block(block, TESTS, name="fault_around", testcase=testcase)


def find_planted(block: FaultAround, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*)(instead of|never written)"):
        run(block, testcase)


def test_fault_around() -> None:
    run(FaultAround())


class BeyondVma(FaultAround):
    """The window is not cut at the VMA's end."""

    def _window(self, job):
        place, slot = job.vpn[:WINDOW_BITS], job.slot_addr[WORD_BITS:NODE_ALIGN_BITS]
        return super()._window(job)[0], self._least((~place, ~slot))


class BeyondNode(FaultAround):
    """The window is not cut at the node's begin."""

    def _window(self, job):
        return self._least((job.vpn[:WINDOW_BITS], (job.vpn - job.start)[: len(job.vpn)])), super()._window(job)[1]


class EndIncluded(FaultAround):
    """The page behind the VMA is taken for a part of it."""

    def _window(self, job):
        place, slot = job.vpn[:WINDOW_BITS], job.slot_addr[WORD_BITS:NODE_ALIGN_BITS]
        return super()._window(job)[0], self._least((~place, (job.end - job.vpn)[: len(job.end)], ~slot))


class Overwriting(FaultAround):
    """Entries that are not empty are written too."""

    def _write(self, m, job, below, **signals):
        self._empty = Const(0xFFFF, 16)
        return super()._write(m, job, below, **signals)


class Uncached(FaultAround):
    """What slots say is not looked at."""

    def _write(self, m, job, below, **signals):
        self._mappable = Const(0xFFFF, 16)
        return super()._write(m, job, below, **signals)


class OwnToo(FaultAround):
    """The entry of the job's page is written too, if it is 0 still."""

    def _own(self, below):
        return Const(0, 16)


class HalfRead(FaultAround):
    """Writing begins with the first burst's end."""

    def _receive(self, m, idle):
        super()._receive(m, idle)
        return self._mappable.any()


class Hasty(FaultAround):
    """The answer comes when all has been sent."""

    def _write(self, m, job, below, **signals):
        super()._write(m, job, below, **signals)
        return signals["whole"] & ~self.write.request.valid


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    in_short(3, [
        (BeyondVma, "edges"), (Overwriting, "windows"), (HalfRead, "read_errors"), (BeyondNode, "edges"), (EndIncluded, "edges"),
        (Uncached, "windows"), (OwnToo, "windows"), (Hasty, "windows"),
    ]),
)  # fmt: skip
def test_planted_bug_is_found(mutant: type[FaultAround], testcase: str) -> None:
    find_planted(mutant(), testcase)


def test_locked_slots_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a page that is locked is mapped."""
    monkeypatch.setattr(seqfault_rtl.fault_around.Slot, "may_be_mapped", lambda slot: slot.present & slot.uptodate)
    find_planted(FaultAround(), "windows")
