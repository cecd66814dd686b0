"""Srcu under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Array, Module, Value

from seqfault.simulator import SimulationFailed, run_block
from seqfault_golden.explore import SCENARIOS, moves
from seqfault_golden.explore.scenarios import srcu as scenario
from seqfault_golden.explore.search import explore_scenario
from seqfault_golden.protocol.world import Safeguard
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.srcu import Srcu
from seqfault_tb.formal.srcu import FetchesEarly, JoinsRunning, LeavesActiveBank, NoFlip, OverwritesWhenFull

from ..long import in_short

TESTS = "seqfault_tb.test_srcu"
SMALL = EngineConfig(srcu_calls=4)


def run(srcu: Srcu, testcase: str | None = None) -> None:
    run_block(srcu, TESTS, name="srcu", parameters={"SRCU_CALLS": str(srcu.config.srcu_calls)}, testcase=testcase)


@pytest.mark.parametrize("config", [SMALL, EngineConfig()], ids=lambda config: str(config.srcu_calls))
def test_srcu(config: EngineConfig) -> None:
    run(Srcu(config))


def test_bad_number_of_calls_is_refused() -> None:
    with pytest.raises(ValueError, match="srcu_calls must be a power of two, not 3"):
        EngineConfig(srcu_calls=3)


def test_smallest() -> None:
    run(Srcu(EngineConfig(srcu_calls=2)), "random_readers_and_calls")


class NarrowCount(Srcu):
    """The count of a bank has a bit too few."""

    def _readers(self, m: Module, bank: Value) -> Array:
        readers = super()._readers(m, bank)
        return Array(count[:-1] for count in readers)


class LosesRefused(Srcu):
    """A call at the bound is dropped, and nobody is told."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.refused.eq(0)
        return m


class OneAtATime(Srcu):
    """The next grace period begins only when all calls of the last one have been taken."""

    def _calls(self, m: Module, start: Value, end: Value) -> Value:
        return super()._calls(m, start, end) & ~self.done.valid


class NeverFlips(NoFlip):
    """The bank in use is scanned, as a fix of `NoFlip` might do: safe, but new readers hold up the grace period."""

    def _readers(self, m: Module, bank: Value) -> Array:
        readers = super()._readers(m, bank)
        return Array(reversed(readers))


FINDS = {
    NoFlip: "waits_for_earlier_readers_only", FetchesEarly: "random_readers_and_calls", LeavesActiveBank: "random_readers_and_calls",
    JoinsRunning: "calls_during_a_grace_period_share_the_next", OverwritesWhenFull: "refused_at_the_bound", LosesRefused: "refused_at_the_bound",
    NarrowCount: "most_readers", NeverFlips: "waits_for_earlier_readers_only", OneAtATime: "random_readers_and_calls",
}  # fmt: skip
"""Planted bug to a test that must find it."""


@pytest.mark.parametrize(("mutant", "testcase"), in_short(2, FINDS.items()), ids=lambda value: getattr(value, "__name__", value))
def test_planted_bug_is_found(mutant: type[Srcu], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant(SMALL), testcase)


@pytest.mark.parametrize(
    ("removed", "verdict"),
    [
        ([Safeguard.SRCU_FIRST_SCAN], "ok"),
        ([Safeguard.SRCU_FIRST_SCAN, Safeguard.SRCU_SECOND_SCAN], "violation"),
        ([Safeguard.SRCU_FIRST_SCAN, Safeguard.SRCU_FLIP], "violation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_readers_that_lock_in_one_step_need_no_first_scan(removed, verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim of `Srcu`, of the protocol's steps; with software's two steps the catalogue has a violation for the first scan too."""
    two_steps = scenario._Reader._lines

    def one_step(reader):
        fetch, lock, *others = two_steps(reader)

        def both(world, me) -> None:
            fetch.act(world, me)
            lock.act(world, me)

        return moves.line("SRCU_LOCK", "fetches the index and counts, in one step", both, ways=lock.ways), *others

    monkeypatch.setattr(scenario._Reader, "_lines", one_step)
    found = explore_scenario(SCENARIOS["srcu"], frozenset(removed), verdict)
    assert (found.verdict, found.complete) == (verdict, verdict == "ok")
