"""Walker under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Const, Module, Mux, Value

import seqfault_rtl.walk_stale
import seqfault_rtl.walk_start
import seqfault_rtl.walker
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.fast_lane import FastLane
from seqfault_rtl.paging import PageSize
from seqfault_rtl.walk_entry import WalkEntry
from seqfault_rtl.walk_start import client_count
from seqfault_rtl.walker import Walker

TESTS = "seqfault_tb.test_walker"
FEW = EngineConfig(walks=3, spaces=4, walk_cache=1)
ONE = EngineConfig(walks=1, levels=3, sv32=False, svadu=False, walk_cache=0, spaces=16)


def run(walker: type[Walker], config: EngineConfig, testcase: str | None = None) -> None:
    parameters = {
        "WALKS": config.walks, "SPACES": config.spaces, "CLIENTS": client_count(config), "LEVELS": config.levels, "SV32": int(config.sv32),
    }  # fmt: skip
    settings = {name: str(value) for name, value in parameters.items()}
    run_block(walker(config), TESTS, name="walker", parameters=settings, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["default"], FEW, ONE], ids=["default", "few", "one"])
def test_walker(config: EngineConfig) -> None:
    run(Walker, config)


class NeverStale(Walker):
    """Invalidations do not reach walks in flight."""

    def _watch(self, m, begin, start, slot, levels):
        super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)


class StaleByPage(Walker):
    """An invalidation of another page of the same superpage does not count."""

    def _watch(self, m, begin, start, slot, levels):
        return super()._watch(m, begin, start, slot, [Const(0, 3) for _ in levels])


class LearnsStale(Walker):
    """The walk cache learns from walks that an invalidation has hit."""

    def _watch(self, m, begin, start, slot, levels):
        self._stale = super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)

    def _respond(self, m, ending, slot, client, result, stale):
        super()._respond(m, ending, slot, client, result, self._stale)


class SharedDone(Walker):
    """Results leave in the order of their ends, whoever they are for."""

    def _respond(self, m, ending, slot, client, result, stale):
        super()._respond(m, ending, slot, Mux(client == 2, 1, client), result, stale)


class SharedSlots(Walker):
    """The walks of A/D updates have no slot of their own."""

    def _free_slot(self, m, for_update):
        return super()._free_slot(m, Const(0))


@pytest.mark.parametrize(
    ("mutant", "config", "testcase"),
    [
        (NeverStale, FEW, "tables_change"),
        (StaleByPage, FEW, "tables_change"),
        (LearnsStale, PRESETS["default"], "pointers_change"),
        (SharedDone, FEW, "quiet_tables"),
        (SharedSlots, FEW, "stuck_client"),
    ],
)
def test_planted_bug_is_found(mutant: type[Walker], config: EngineConfig, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant, config, testcase)


class AcceptsMisaligned(WalkEntry):
    """A superpage may begin anywhere."""

    def _is_bad_leaf(self):
        return self.pte.is_malformed_leaf(self.level, napot=self.features.napot, pbmte=self.features.pbmte)


class FollowsAnything(WalkEntry):
    """A pointer with A, D, U, N or a memory type is followed."""

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        pointer = self.pte.v & ~self.pte.is_leaf() & ~self.pte.is_malformed() & ~self.error
        m.d.comb += self.go_on.eq(pointer & (self.level != 0))
        return m


class AnyMemoryType(WalkEntry):
    """PBMT is looked at in no space."""

    def _is_bad_leaf(self):
        whole = PageSize.of_level(self.level, sv32=self.features.sv32)
        return self.pte.is_misaligned(whole) | (self.pte.is_malformed_leaf(self.level, napot=self.features.napot, pbmte=1) & ~self.pte.pbmt.all())


class AnyNapot(WalkEntry):
    """N is not reserved where Svnapot is not in use."""

    def _is_bad_leaf(self):
        whole = PageSize.of_level(self.level, sv32=self.features.sv32)
        return self.pte.is_misaligned(whole) | self.pte.is_malformed_leaf(self.level, napot=Const(1), pbmte=self.features.pbmte)


class TurnByCycle(FastLane):
    """A turn is over after one cycle, whether it could be used or not."""

    def _next_turn(self, slow_turn: Value) -> Value:
        return self.slow.valid & ~slow_turn


@pytest.mark.parametrize(
    ("place", "mutant", "testcase"),
    [
        (seqfault_rtl.walker, AcceptsMisaligned, "every_defect"),
        (seqfault_rtl.walker, FollowsAnything, "every_defect"),
        (seqfault_rtl.walker, AnyMemoryType, "every_defect"),
        (seqfault_rtl.walker, AnyNapot, "every_defect"),
        (seqfault_rtl.walk_start, TurnByCycle, "nobody_starves"),
    ],
)
def test_planted_bug_in_a_part_is_found(monkeypatch: pytest.MonkeyPatch, place: object, mutant: type, testcase: str) -> None:
    monkeypatch.setattr(place, mutant.__base__.__name__, mutant)
    with pytest.raises(SimulationFailed, match=testcase):
        run(Walker, FEW, testcase)


def test_stale_marks_of_napot_pages_as_of_small_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalidation of a page does not hit a walk for its neighbour in the same 64 KiB."""
    monkeypatch.setattr(seqfault_rtl.walk_stale, "page_mask", lambda size: Const(0))
    with pytest.raises(SimulationFailed, match="tables_change"):
        run(Walker, PRESETS["default"], "tables_change")
