"""PageWalkCache under cocotb, and planted bugs that its tests must find. All bugs are in one model, which an input switches."""

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.page_walk_cache import PageWalkCache

TESTS = "seqfault_tb.test_page_walk_cache"
SMALL = EngineConfig(levels=3, sv32=False, walk_cache=2, spaces=2)
BUGS = {
    "fill_wins": "random_traffic",
    "loses_fills": "random_traffic",
    "late_invalidation": "random_traffic",
    "ignores_mask": "random_traffic",
    "ignores_other_spaces": "random_traffic",
    "ignores_half": "rows_are_independent",
    "aliases": "random_traffic",
    "knows_no_mode": "deepest_is_answered",
    "skips_a_level": "deepest_is_answered",
    "clears_all": "rows_are_independent",
}
"""Bug, in the order of its number from 1, to the test that must find it."""


class Planted(PageWalkCache):
    """A cache with the bugs of BUGS, one of which `bug` switches on: most of them between its ports and the cache."""

    bug: In(4)

    def _is_on(self, name: str) -> Value:
        return self.bug == list(BUGS).index(name) + 1

    def _struck(self, level):
        half = self._index(level, self.record.space, self.record.vpn)
        struck = super()._struck(level)
        single = (1 << half)[: len(struck)]
        no_range = ~self.record.any_page & ~self.record.any_space & ~self.record.mask.any()
        return Mux(self._is_on("ignores_half") & no_range, single, struck | self._is_on("clears_all").replicate(len(struck)))

    def elaborate(self, platform) -> Module:
        names = ("space", "levels", "fill", "invalidate", "record")
        ports = {name: getattr(self, name) for name in names}
        inner = {name: Signal.like(Value.cast(port), name=f"inner_{name}") for name, port in ports.items() if name != "record"}
        inner["record"] = Signal(ports["record"].shape(), name="inner_record")
        for name, signal in inner.items():
            setattr(self, name, signal)
        m = super().elaborate(platform)
        for name, port in ports.items():
            setattr(self, name, port)
        self._plant(m, inner)
        return m

    def _plant(self, m: Module, inner: dict) -> None:
        m.d.comb += [inner[name].eq(getattr(self, name)) for name in inner]
        fill, strike, record = inner["fill"], inner["invalidate"], inner["record"]
        with m.If(self._is_on("fill_wins") & self.fill):
            m.d.comb += strike.eq(0)
        with m.If(self._is_on("loses_fills") & (self.fill_table[:2] == 0)):
            m.d.comb += fill.eq(0)
        late = Signal()
        m.d.sync += late.eq(self.invalidate)
        with m.If(self._is_on("late_invalidation")):
            m.d.comb += strike.eq(late)
        with m.If(self._is_on("ignores_mask")):
            m.d.comb += record.mask.eq(0)
        with m.If(self._is_on("ignores_other_spaces")):
            m.d.comb += record.any_space.eq(0)
        with m.If(self._is_on("aliases")):
            m.d.comb += inner["space"].eq(self.space[: self._config.space_bits])
        with m.If(self._is_on("knows_no_mode")):
            m.d.comb += inner["levels"].eq(self._config.levels)
        with m.If(self._is_on("skips_a_level") & (self.fill_level == 1)):
            m.d.comb += fill.eq(0)


def run(block: PageWalkCache, config: EngineConfig, *, bug: int = 0, testcase: str | None = None) -> None:
    parameters = {
        "PWC_LEVELS": str(config.levels), "PWC_ROWS": str(config.walk_cache), "PWC_SPACES": str(config.spaces), "PWC_SV32": str(int(config.sv32)),
        "PWC_BUG": str(bug),
    }  # fmt: skip
    run_block(block, TESTS, name="page_walk_cache", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["default"], SMALL])
def test_page_walk_cache(config: EngineConfig) -> None:
    run(PageWalkCache(config), config)


@pytest.mark.parametrize(("bug", "testcase"), BUGS.items())
def test_planted_bug_is_found(bug: str, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(Planted(PRESETS["default"]), PRESETS["default"], bug=list(BUGS).index(bug) + 1, testcase=testcase)


def test_without_entries_nothing_hits() -> None:
    cache = PageWalkCache(EngineConfig(walk_cache=0))

    async def ask(context) -> None:
        for levels in range(2, 6):
            context.set(cache.levels, levels)
            await context.delay(1e-6)
            assert not context.get(cache.hit)

    simulator = Simulator(cache)
    simulator.add_testbench(ask)
    simulator.run()
