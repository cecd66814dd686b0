"""Walker under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const, Module, Mux

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.messages import WalkOutcome
from seqfault_rtl.walker import Walker

TESTS = "seqfault_tb.test_walker"


def run(walker: type[Walker], config: EngineConfig, testcase: str | None = None) -> None:
    parameters = {"WALKS": str(config.walks), "SPACES": str(config.spaces)}
    run_block(walker(config), TESTS, name="walker", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["default"], EngineConfig(walks=3, spaces=4), EngineConfig(walks=1)])
def test_walker(config: EngineConfig) -> None:
    run(Walker, config)


class NeverStale(Walker):
    """Invalidations do not reach walks in flight."""

    def _watch(self, m, start, slot, request, top, levels):
        super()._watch(m, start, slot, request, top, levels)
        return Const(0, self._config.walks)


class StaleByPage(Walker):
    """An invalidation of another page of the same superpage does not count."""

    def _watch(self, m: Module, start, slot, request, top, levels):
        return super()._watch(m, start, slot, request, top, [Const(0, 2) for _ in levels])


class AcceptsMisaligned(Walker):
    """A superpage may begin anywhere."""

    def _step(self, m, level):
        go_on, end = super()._step(m, level)
        with m.If(end.pte.v & end.pte.is_leaf() & ~end.pte.is_malformed() & ~self.memory.response.payload.error):
            m.d.comb += end.outcome.eq(WalkOutcome.LEAF)
        return go_on, end


class IgnoresReserved(Walker):
    """A pointer with A, D or U set is followed."""

    def _step(self, m, level):
        go_on, end = super()._step(m, level)
        pointer = end.pte.v & ~end.pte.is_leaf() & ~end.pte.is_malformed()
        good = self.memory.response.valid & ~self.memory.response.payload.error
        return go_on | (pointer & good & (level != 0)), end


class SharedDone(Walker):
    """Results leave in the order of their ends, whoever they are for."""

    def _done_queues(self, m, push, slot, client):
        return super()._done_queues(m, push, slot, Mux(client == 2, 1, client))


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    [
        (NeverStale, "tables_change"),
        (StaleByPage, "tables_change"),
        (AcceptsMisaligned, "every_defect"),
        (IgnoresReserved, "every_defect"),
        (SharedDone, "quiet_tables"),
    ],
)
def test_planted_bug_is_found(mutant: type[Walker], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant, PRESETS["default"], testcase)
