"""Fault records of the whole engine on its pins, and planted bugs that these tests must find: see `seqfault_tb/test_engine_faults.py`."""

from dataclasses import replace

import pytest

import seqfault_rtl.fault_reports
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.engine import Engine

from ..long import LONG, in_short

CONFIG = replace(PRESETS["small"], svadu=True, srcu_calls=4)
"""As in `test_engine_errors.py`, so that both have one build."""


def run(engine: Engine, testcase: str | None = None) -> None:
    parameters = {"PORTS": str(CONFIG.ports), "SEED": "7"}
    run_block(engine, "seqfault_tb.test_engine_faults", name="engine_errors", parameters=parameters, testcase=testcase)


def test_engine_faults() -> None:
    run(Engine(CONFIG))


class UpdatesUnreported(Engine):
    """AdUpdate's refusals have no record."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.reports.updated.valid.eq(0)
        return m


class PageRequestsReported(Engine):
    """What is handed over to software has a fault record too."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        steps = self.fault_unit.steps
        m.d.comb += self.reports.refused.valid.eq(self.fault_unit.slot.grant & steps.answer)
        return m


class WithoutOffset(Engine):
    """The address of a refused fault lacks its page offset."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.reports.refused.payload.address[:12].eq(0)
        return m


@pytest.mark.parametrize("mutant", in_short(0, [UpdatesUnreported, PageRequestsReported, WithoutOffset]))
def test_planted_bug_is_found(mutant: type[Engine]) -> None:
    with pytest.raises(SimulationFailed, match="one_record_each"):
        run(mutant(CONFIG), "one_record_each")


@LONG
def test_short_queue_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqfault_rtl.fault_reports, "MARGIN", 1 - 2 * CONFIG.contexts)
    with pytest.raises(SimulationFailed, match="faster_than_memory"):
        run(Engine(CONFIG), "faster_than_memory")
