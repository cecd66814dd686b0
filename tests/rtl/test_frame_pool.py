"""FramePool under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const, Mux

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.frame_pool import FramePool
from seqfault_tb.with_memory import WithMemory

TESTS = "seqfault_tb.test_frame_pool"
SMALL = PRESETS["small"]


def run(pool: FramePool, testcase: str | None = None) -> None:
    parameters = {"POOL_FRAMES": str(pool.config.pool_frames), "CONTEXTS": str(pool.config.contexts)}
    run_block(WithMemory(pool.config, pool), TESTS, name="frame_pool", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize("config", [SMALL, EngineConfig()])
def test_frame_pool(config: EngineConfig) -> None:
    run(FramePool(config))


class Greedy(FramePool):
    """Reads whole bursts, whether or not software has filled the entries."""

    def _burst(self, m, fetch):
        return Const(self.burst) - fetch[:2]


class Unaligned(FramePool):
    """Bursts may cross a page."""

    def _burst(self, m, fetch):
        tail = self.ring.tail
        return Mux((tail > fetch) & (tail - fetch >= 3), 3, tail != fetch)


@pytest.mark.parametrize(("mutant", "testcase"), [(Greedy, "small_ring"), (Unaligned, "large_ring")])
def test_planted_bug_is_found(mutant: type[FramePool], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(SMALL), testcase)
