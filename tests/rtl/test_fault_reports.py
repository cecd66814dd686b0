"""FaultReports under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Module, Signal

import seqfault_rtl.fault_reports
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.fault_reports import FaultReports

CONFIG = PRESETS["small"]


def run(reports: FaultReports) -> None:
    run_block(reports, "seqfault_tb.test_fault_reports", name="fault_reports", parameters={"CONTEXTS": str(CONFIG.contexts)})


def test_fault_reports() -> None:
    run(FaultReports(CONFIG))


@pytest.mark.parametrize(("name", "value"), [("UPDATE_REPORTS", 1), ("MARGIN", 0)])
def test_short_queue_is_found(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(seqfault_rtl.fault_reports, name, value)
    with pytest.raises(SimulationFailed, match=r"instead of|lost: "):
        run(FaultReports(CONFIG))


class MissEndWaits(FaultReports):
    """A report of MissEnd is lost when it comes in the cycle after another one."""

    def elaborate(self, platform: object) -> Module:
        m, before, again = super().elaborate(platform), Signal(), Signal()
        m.d.sync += [before.eq(self.ended.valid), again.eq(before & self.ended.valid)]
        with m.If(again):
            m.d.comb += self.output.valid.eq(0)
        return m


def test_lost_report_is_found() -> None:
    with pytest.raises(SimulationFailed, match="did not come out"):
        run(MissEndWaits(CONFIG))
