"""Tlb under cocotb, and planted bugs that its tests must find. All bugs are in one model, which an input switches: it is built once."""

import pytest
from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.tlb import Tlb

TESTS = "seqfault_tb.test_tlb"
BUGS = {
    "keeps_superpages": "random_traffic",
    "fill_wins": "fill_meets_invalidation",
    "double_entries": "random_traffic",
    "outlives_invalidation": "lookup_meets_its_end",
    "outlives_replacement": "lookup_meets_its_end",
    "aliases_spaces": "random_traffic",
    "forgets_sign": "random_traffic",
    "halves_napot": "random_traffic",
    "loses_type": "random_traffic",
    "takes_used_first": "working_set_fits",
    "stands": "lookups_every_cycle",
}
"""Bug, in the order of its number from 1, to the test that must find it."""


def run(tlb: Tlb, config: EngineConfig, *, bug: int = 0, testcase: str | None = None) -> None:
    parameters = {"ENTRIES": config.tlb_entries, "SPACES": config.spaces, "LEVELS": config.levels, "SV32": int(config.sv32), "BUG": bug}
    run_block(tlb, TESTS, name="tlb", parameters={f"TLB_{name}": str(value) for name, value in parameters.items()}, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["default"], PRESETS["core"], EngineConfig(tlb_entries=5, spaces=4, levels=4)])
def test_tlb(config: EngineConfig) -> None:
    run(Tlb(config), config)


class Buggy(Tlb):
    """A Tlb with planted bugs, one of which `bug` switches on."""

    bug: In(4)

    def has(self, name: str) -> Value:
        return self.bug == 1 + list(BUGS).index(name)

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        before = Signal()
        m.d.sync += before.eq(self.hit)
        with m.If(self.has("halves_napot")):
            m.d.comb += self.mask[3].eq(self.mask[4])
        with m.If(self.has("loses_type")):
            m.d.comb += self.pte.pbmt.eq(0)
        with m.If(self.has("stands") & before):
            m.d.comb += self.hit.eq(1)
        return m

    def _probe(self, m, tags, held):
        """Invalidations of one page that leave larger pages, fills that evict nothing."""
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        inside = Cat(((tag.vpn ^ self.record.vpn) & self._mask(tag.above)).any() for tag in tags)
        m.d.comb += kept.eq(struck)
        with m.If(self.has("keeps_superpages") & self.invalidate & ~self.record.any_page):
            m.d.comb += kept.eq(struck & ~inside)
        with m.If(self.has("double_entries") & ~self.invalidate):
            m.d.comb += kept.eq(0)
        return kept

    def _capture_fill(self, m):
        """A fill in the cycle of an invalidation that is stored."""
        held, waiting = super()._capture_fill(m)
        with m.If(self.has("fill_wins") & self.fill):
            m.d.sync += waiting.eq(1)
        return held, waiting

    def _match(self, m, tags, valid, stored):
        """Results that outlive their entries, lookups of a part of the address."""
        before, seen, whole = Signal(len(tags)), Signal(self.lookup_record.shape()), self.lookup_record
        bits = self._config.vpn_bits
        m.d.sync += before.eq(valid)
        m.d.comb += seen.eq(whole)
        with m.If(self.has("aliases_spaces")):
            m.d.comb += seen.space.eq(whole.space[: self._config.space_bits])
        with m.If(self.has("forgets_sign")):
            m.d.comb += seen.vpn.eq(whole.vpn[:bits].as_signed())
        self.lookup_record = seen
        matched = super()._match(m, tags, Mux(self.has("outlives_invalidation"), before, valid), Mux(self.has("outlives_replacement"), 0, stored))
        self.lookup_record = whole
        return matched

    def _choose_victim(self, m, valid, matched, waiting):
        """Victims that need not be invalid first."""
        return super()._choose_victim(m, valid | self.has("takes_used_first").replicate(len(valid)), matched, waiting)


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_found(bug: str) -> None:
    config = PRESETS["default"]
    with pytest.raises(SimulationFailed, match=BUGS[bug]):
        run(Buggy(config), config, bug=1 + list(BUGS).index(bug), testcase=BUGS[bug])


def test_without_a_planted_bug_it_passes() -> None:
    config = PRESETS["default"]
    run(Buggy(config), config, testcase="random_traffic")
