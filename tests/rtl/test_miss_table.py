"""MissTable and FastLane under cocotb, and planted bugs that their tests must find: two models, one of them with all the bugs."""

import pytest
from amaranth import Const, Module, Value

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.fast_lane import FastLane
from seqfault_rtl.miss_table import MissTable
from seqfault_tb.miss_blocks import MissBlocks

TESTS = {"miss_table": "random_misses", "fast_lane": "random_streams"}
"""Block to the test that must find its planted bug."""
MODULES = ",".join(f"seqfault_tb.test_{block}" for block in TESTS)


class JoinsOldWalks(MissTable):
    """A walk stays open after an invalidation."""

    def elaborate(self, platform: object) -> Module:
        kept, self.invalidate = self.invalidate, Const(0)
        m = super().elaborate(platform)
        self.invalidate = kept
        return m


class TurnByCycle(FastLane):
    """A turn is over after one cycle, whether it could be used or not."""

    def _next_turn(self, slow_turn: Value) -> Value:
        return self.slow.valid & ~slow_turn


def test_miss_blocks() -> None:
    run_block(MissBlocks(), MODULES, name="miss_blocks")


def test_planted_bugs_are_found() -> None:
    with pytest.raises(SimulationFailed) as failure:
        run_block(MissBlocks(table=JoinsOldWalks, lane=TurnByCycle), MODULES, name="miss_blocks")
    missed = [block for block, testcase in TESTS.items() if f"{testcase} failed" not in str(failure.value)]
    assert not missed
