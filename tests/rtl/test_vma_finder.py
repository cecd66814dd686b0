"""VmaFinder under cocotb, and planted bugs that its tests must find."""

import pytest

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.messages import Outcome
from seqfault_rtl.vma_finder import VmaFinder
from seqfault_rtl.vma_lookup import LookupState
from seqfault_rtl.vma_tree import RECORD_WORDS

TESTS = "seqfault_tb.test_vma_finder"


@pytest.mark.parametrize("config", [PRESETS["small"], EngineConfig(lookups=1, vma_cache=1), EngineConfig(lookups=7)])
def test_vma_finder(config: EngineConfig) -> None:
    run_block(VmaFinder(config), TESTS, name="vma_finder")


class BlindCache(VmaFinder):
    """A hit counts under any sequence."""

    def _check(self, m, now, after):
        m.d.comb += [after.cached.eq(1), after.inside.eq(1), after.outcome.eq(Outcome.OK), after.state.eq(LookupState.FINISH)]


class RefreshedCache(BlindCache):
    """As that, and says that the record was read under the current sequence."""

    def _check(self, m, now, after):
        super()._check(m, now, after)
        m.d.comb += [self.sequence_id.eq(now.fields.id), after.seq.eq(self.sequence)]


class OldTree(VmaFinder):
    """The sequence is taken although another tree has been published since the descent began."""

    def _capture(self, m, now, after, index):
        m.d.comb += [self.sequence_id.eq(now.id), after.seq.eq(self.sequence), after.state.eq(LookupState.RECORD)]
        self._read(m, now, after, index, RECORD_WORDS)


class LateSequence(VmaFinder):
    """The sequence is taken after the record was read."""

    def _finish(self, m, now, after, cache):
        super()._finish(m, now, after, cache)
        m.d.comb += self.sequence_id.eq(now.fields.id)
        m.d.sync += self.response.payload.seq.eq(self.sequence)


class Unflushed(VmaFinder):
    """Lookups in flight fill the cache with what they found in the tree before the flush."""

    def _finish(self, m, now, after, cache):
        super()._finish(m, now, after, cache)
        m.d.comb += cache.fill.eq((now.outcome == Outcome.OK) & now.inside & ~now.cached & ~now.seq[0])


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    [
        (RefreshedCache, "racing_writers"),
        (BlindCache, "cache_follows_the_sequence"),
        (OldTree, "racing_writers"),
        (LateSequence, "racing_writers"),
        (Unflushed, "reused_space"),
    ],
)
def test_planted_bug_is_found(mutant: type[VmaFinder], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*)(instead of|is not mapped|assert \\[)"):  # not by a quota
        run_block(mutant(PRESETS["small"]), TESTS, name="vma_finder", testcase=testcase)
