"""VmaFinder under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.messages import Outcome
from seqfault_rtl.vma_finder import VmaFinder
from seqfault_rtl.vma_flags import VmaFlags
from seqfault_rtl.vma_lookup import LookupState
from seqfault_rtl.vma_tree import RECORD_WORDS

from ..long import in_short

TESTS = "seqfault_tb.test_vma_finder"


def run(finder: VmaFinder, config: EngineConfig, testcase: str | None = None) -> None:
    run_block(finder, TESTS, name="vma_finder", parameters={"LOOKUPS": str(config.lookups)}, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [PRESETS["small"], EngineConfig(lookups=1, vma_cache=1), EngineConfig(lookups=7)]))
def test_vma_finder(config: EngineConfig) -> None:
    run(VmaFinder(config), config)


class BlindCache(VmaFinder):
    """A hit counts under any sequence."""

    def _is_current(self, entry):
        return Const(1)


class RefreshedCache(BlindCache):
    """As that, and says that the record was read under the current sequence."""

    def _answer(self, m):
        refuted = super()._answer(m)
        with m.If(self._hit_new & ~self._found.valid):
            m.d.comb += self.response.payload.seq.eq(self.sequence)
        return refuted


class StaleHit(VmaFinder):
    """A flush in the cycle of a request does not reach the hit."""

    def _accept(self, m, lookups, cache):
        super()._accept(m, lookups, cache)
        m.d.sync += self._hit.stale.eq(0)


class WithdrawnHit(VmaFinder):
    """A hit that is not taken at once is looked at again and may be taken back."""

    def _answer(self, m):
        refuted = super()._answer(m)
        with m.If(self._hit_new & self.response.valid & ~self.response.ready):
            m.d.sync += [self._hit_new.eq(1), self._hit_counts.eq(0)]
        return refuted


class OldTree(VmaFinder):
    """The sequence is taken although another tree has been published since the descent began."""

    def _capture(self, m, now, after, index):
        m.d.comb += [self.sequence_id.eq(now.id), after.seq.eq(self.sequence), after.state.eq(LookupState.RECORD)]
        self._read(m, now, after, index, RECORD_WORDS)


class EarlyReuse(VmaFinder):
    """The place of a lookup is free before its burst has ended."""

    def _receive(self, m, lookups):
        super()._receive(m, lookups)
        m.d.sync += self._reading.eq(0)


class AnsweredHint(VmaFinder):
    """A hint is answered."""

    def _finish(self, m, now, after, cache):
        super()._finish(m, now, after, cache)
        m.d.sync += self._found.valid.eq(1)


class LateCommand(VmaFinder):
    """A request takes over the lookup of a hint in the very cycle of a command."""

    def _accept(self, m, lookups, cache):
        command, self.command = self.command, Const(0)
        super()._accept(m, lookups, cache)
        self.command = command


class SharedRequest(VmaFinder):
    """A request takes over all lookups of its page's hints: it is answered by each."""

    def _accept(self, m, lookups, cache):
        super()._accept(m, lookups, cache)
        for lookup in lookups:
            same = (lookup.space == self._wanted.space) & (lookup.vpn == self._wanted.vpn)
            with m.If(self._taken_over.any() & lookup.hint & same & (lookup.state != LookupState.IDLE)):
                m.d.sync += [lookup.hint.eq(0), lookup.tag.eq(self._wanted.tag)]


class ForgottenCommand(VmaFinder):
    """A command ends the lookup of a hint only if it comes just before the request."""

    def _receive(self, m, lookups):
        super()._receive(m, lookups)
        m.d.sync += [lookup.old.eq(0) for lookup in lookups]


class LateSequence(VmaFinder):
    """The sequence is taken after the record was read."""

    def _finish(self, m, now, after, cache):
        super()._finish(m, now, after, cache)
        m.d.comb += self.sequence_id.eq(now.fields.id)
        m.d.sync += self._found.payload.seq.eq(self.sequence)


class Unflushed(VmaFinder):
    """Lookups in flight fill the cache with what they found in the tree before the flush."""

    def _finish(self, m, now, after, cache):
        super()._finish(m, now, after, cache)
        m.d.comb += cache.fill.eq((now.outcome == Outcome.OK) & now.inside & ~now.seq[0])


def find_planted(finder: VmaFinder, testcase: str, preset: str = "small") -> None:
    by_content = "instead of|is not mapped|before it was taken|never written|to nobody|assert \\["  # and not by a quota
    with pytest.raises(SimulationFailed, match=f"{testcase} failed(?s:.*)({by_content})"):
        run(finder, PRESETS[preset], testcase)


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    in_short(
        3,
        [
            (RefreshedCache, "racing_writers"),
            (OldTree, "racing_writers"),
            (StaleHit, "reused_space"),
            (EarlyReuse, "random_trees"),
            (ForgottenCommand, "hints"),
            (LateCommand, "hints"),
            (BlindCache, "cache_follows_the_sequence"),
            (LateSequence, "racing_writers"),
            (Unflushed, "reused_space"),
            (WithdrawnHit, "racing_writers"),
            (AnsweredHint, "hints"),
        ],
    ),
)
def test_planted_bug_is_found(mutant: type[VmaFinder], testcase: str) -> None:
    find_planted(mutant(PRESETS["small"]), testcase)


def test_one_answer_for_two_hints() -> None:
    """It takes three places for two hints."""
    find_planted(SharedRequest(PRESETS["default"]), "two_hints_for_a_page", "default")


def test_short_records_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: nobody waits for the last two words of a record."""
    monkeypatch.setattr(VmaFlags, "is_anonymous", lambda flags: Const(1))
    find_planted(VmaFinder(PRESETS["small"]), "random_trees")
