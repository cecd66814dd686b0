"""Walker under cocotb, and planted bugs that its tests must find."""

from dataclasses import replace

import pytest
from amaranth import Const, Module, Mux, Value

import seqfault_rtl.walk_stale
import seqfault_rtl.walk_start
import seqfault_rtl.walker
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.fast_lane import FastLane
from seqfault_rtl.walk_entry import WalkEntry
from seqfault_rtl.walk_start import client_count
from seqfault_rtl.walker import Walker

from ..long import LONG, in_short

TESTS = "seqfault_tb.test_walker"
FEW = EngineConfig(walks=3, spaces=4, walk_cache=1)
ONE = EngineConfig(walks=1, levels=3, sv32=False, svadu=False, walk_cache=0, spaces=16)


def run(walker: type[Walker], config: EngineConfig, testcase: str | None = None) -> None:
    parameters = {
        "WALKS": config.walks, "SPACES": config.spaces, "CLIENTS": client_count(config), "LEVELS": config.levels, "SV32": int(config.sv32),
    }  # fmt: skip
    settings = {name: str(value) for name, value in parameters.items()}
    run_block(walker(config), TESTS, name="walker", parameters=settings, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [PRESETS["default"], FEW, ONE]), ids=["default", "few", "one"])
def test_walker(config: EngineConfig) -> None:
    run(Walker, config)


class NeverStaleSharedSlots(Walker):
    """Invalidations do not reach walks in flight, and the walks of A/D updates have no slot of their own."""

    def _watch(self, m, begin, start, slot, levels):
        super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)

    def _free_slot(self, m, for_update):
        return super()._free_slot(m, Const(0))


class StaleByPage(Walker):
    """An invalidation of another page of the same superpage does not count."""

    def _watch(self, m, begin, start, slot, levels):
        return super()._watch(m, begin, start, slot, [Const(0, 3) for _ in levels])


class LearnsStale(Walker):
    """The walk cache learns from walks that an invalidation has hit."""

    def _watch(self, m, begin, start, slot, levels):
        self._stale = super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)

    def _respond(self, m, end, stale):
        super()._respond(m, end, self._stale)


class SharedDone(Walker):
    """Results leave in the order of their ends, whoever they are for."""

    def _respond(self, m, end, stale):
        super()._respond(m, replace(end, client=Mux(end.client == 2, 1, end.client)), stale)


class AcceptsAnything(WalkEntry):
    """A superpage may begin anywhere; N and PBMT are in use everywhere; a pointer with reserved bits is followed."""

    def _is_bad_leaf(self):
        return self.pte.is_malformed_leaf(self.level, napot=Const(1), pbmte=Const(1))

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        pointer = self.pte.v & ~self.pte.is_leaf() & ~self.pte.is_malformed() & ~self.error
        m.d.comb += self.go_on.eq(pointer & (self.level != 0))
        return m


class TurnByCycle(FastLane):
    """A turn is over after one cycle, whether it could be used or not."""

    def _next_turn(self, slow_turn: Value) -> Value:
        return self.slow.valid & ~slow_turn


@pytest.mark.parametrize(
    ("mutant", "config", "testcase"),
    in_short(
        0,
        [
            (StaleByPage, FEW, "tables_change"),
            (LearnsStale, PRESETS["default"], "pointers_change"),
            (SharedDone, FEW, "quiet_tables"),
        ],
    ),
)
def test_planted_bug_is_found(mutant: type[Walker], config: EngineConfig, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant, config, testcase)


@LONG
def test_planted_bugs_in_the_entry_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of defect finds its own."""
    monkeypatch.setattr(seqfault_rtl.walker, "WalkEntry", AcceptsAnything)
    with pytest.raises(SimulationFailed) as failure:
        run(Walker, FEW)
    missed = [kind for kind in ("pointers", "misaligned", "types", "napot") if f"every_defect/kind={kind} failed" not in str(failure.value)]
    assert not missed
    assert "every_defect/kind=plain failed" not in str(failure.value)


@LONG
def test_planted_bugs_of_three_parts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a test of its own that it alone concerns."""
    monkeypatch.setattr(seqfault_rtl.walk_start, "FastLane", TurnByCycle)
    with pytest.raises(SimulationFailed) as failure:
        run(NeverStaleSharedSlots, FEW)
    found = {"tables_change", "stuck_client", "nobody_starves"}
    missed = [testcase for testcase in found if f"{testcase} failed" not in str(failure.value)]
    assert not missed


@LONG
def test_stale_marks_of_napot_pages_as_of_small_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalidation of a page does not hit a walk for its neighbour in the same 64 KiB."""
    monkeypatch.setattr(seqfault_rtl.walk_stale, "page_mask", lambda size: Const(0))
    with pytest.raises(SimulationFailed, match="napot_neighbours"):
        run(Walker, FEW, "napot_neighbours")
