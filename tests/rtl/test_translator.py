"""Translator, walker and space table together under cocotb, and planted bugs that their tests must find."""

import pytest
from amaranth import Const, Module, Signal
from amaranth.lib.fifo import SyncFIFOBuffered

import seqfault_rtl.miss_sort
import seqfault_rtl.miss_unit
import seqfault_rtl.port_lookup
import seqfault_rtl.translator
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.ad_update import AdUpdate
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.miss_table import MissTable
from seqfault_rtl.paging import PagingMode, is_canonical
from seqfault_rtl.port_lookup import PortLookup
from seqfault_rtl.round_robin import RoundRobin
from seqfault_rtl.tlb import Tlb
from seqfault_rtl.walker import Walker
from seqfault_tb.translator_top import TranslatorTop

TESTS = "seqfault_tb.test_translator"
FULL = EngineConfig(ports=3, tlb_entries=4, port_misses=4, walks=6, l2_sets=16, l2_ways=2, walk_cache=4, spaces=16)
TINY = EngineConfig(ports=1, tlb_entries=3, port_misses=1, walks=1, l2_sets=0, walk_cache=1, spaces=4)
PLAIN = EngineConfig(ports=2, tlb_entries=4, port_misses=4, walks=3, levels=3, sv32=False, l2_sets=0, walk_cache=0, spaces=4)
"""For planted bugs."""


def run(config: EngineConfig, *, axi: bool = False, walker: type[Walker] = Walker, testcase: str | None = None) -> None:
    parameters = {
        "PORTS": config.ports, "SPACES": config.spaces, "TLB_ENTRIES": config.tlb_entries, "LEVELS": config.levels, "SV32": int(config.sv32),
        "SVADU": int(config.svadu), "HAS_L2": int(config.l2_sets > 0), "WALK_CACHE": config.walk_cache, "AXI": int(axi),
    }  # fmt: skip
    settings = {name: str(value) for name, value in parameters.items()}
    run_block(TranslatorTop(config, walker, axi=axi), TESTS, name="translator", parameters=settings, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["small"], FULL, TINY], ids=["small", "full", "tiny"])
def test_translator(config: EngineConfig) -> None:
    run(config)


def test_translator_over_axi() -> None:
    run(PRESETS["small"], axi=True, testcase="tables_change")


class NeverStale(Walker):
    """Invalidations do not reach walks in flight."""

    def _watch(self, m, begin, start, slot, levels):
        super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)

    def _respond(self, m, ending, slot, client, result, stale):
        kept, self.invalidate = self.invalidate, Const(0)
        super()._respond(m, ending, slot, client, result, stale)
        self.invalidate = kept


class KeepsSuperpages(Tlb):
    """An invalidation of one page leaves superpages that hold it."""

    def _probe(self, m, tags, held):
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        for index, tag in enumerate(tags):
            inside = self.invalidate & ~self.record.any_page & ((tag.vpn ^ self.record.vpn) & self._mask(tag.above)).any()
            m.d.comb += kept[index].eq(struck[index] & ~inside)
        return kept


class ForgetsSign(PortLookup):
    """The address bits above the page number are not looked at."""

    def _look_up(self, m, tlb, taken):
        super()._look_up(m, tlb, taken)
        m.d.comb += tlb.lookup_record.vpn.eq(self.requests.payload.va[12 : 12 + self._config.vpn_bits].as_signed())


class IgnoresWithdrawal(PortLookup):
    """What was withdrawn is answered all the same."""

    def elaborate(self, platform) -> Module:
        kept, self.withdraw = self.withdraw, Const(0)
        m = super().elaborate(platform)
        self.withdraw = kept
        return m


class JoinsOldWalks(MissTable):
    """A request joins a walk that is older than an invalidation."""

    def elaborate(self, platform) -> Module:
        kept, self.invalidate = self.invalidate, Const(0)
        m = super().elaborate(platform)
        self.invalidate = kept
        return m


class NeverMerges(MissTable):
    """Each request has a walk of its own."""

    def elaborate(self, platform) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.found.eq(0)
        return m


class LowestFirst(RoundRobin):
    """The lowest requester that asks is chosen."""

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.valid.eq(self.requests.any())
        for index in reversed(range(self.count)):
            with m.If(self.requests[index]):
                m.d.comb += self.grant.eq(index)
        return m


class LoadsSetD(AdUpdate):
    """D is set for every access."""

    def _wanted(self, m, item):
        wanted = super()._wanted(m, item)
        m.d.comb += wanted.d.eq(1)
        return wanted


def sv39_as_sv48(page, mode):
    """Sv39 takes any address that Sv48 would."""
    return is_canonical(page, PagingMode.SV48 if mode is PagingMode.SV39 else mode)


def short_queue(width: int, depth: int) -> SyncFIFOBuffered:
    """A fault queue without room for every fault."""
    return SyncFIFOBuffered(width=width, depth=2)


@pytest.mark.parametrize(
    ("place", "name", "mutant", "testcase"),
    [
        (seqfault_rtl.port_lookup, "Tlb", KeepsSuperpages, "tables_change"),
        (seqfault_rtl.translator, "PortLookup", ForgetsSign, "quiet_tables"),
        (seqfault_rtl.translator, "PortLookup", IgnoresWithdrawal, "quiet_tables"),
        (seqfault_rtl.miss_sort, "is_canonical", sv39_as_sv48, "quiet_tables"),
        (seqfault_rtl.miss_unit, "MissTable", JoinsOldWalks, "misses_merge"),
        (seqfault_rtl.miss_unit, "MissTable", NeverMerges, "misses_merge"),
        (seqfault_rtl.miss_unit, "RoundRobin", LowestFirst, "ports_are_served_evenly"),
        (seqfault_rtl.miss_unit, "AdUpdate", LoadsSetD, "quiet_tables"),
        (seqfault_rtl.miss_unit, "SyncFIFOBuffered", short_queue, "fault_storm"),
    ],
)
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, place: object, name: str, mutant: object, testcase: str) -> None:
    monkeypatch.setattr(place, name, mutant)
    with pytest.raises(SimulationFailed, match=testcase):
        run(PLAIN, testcase=testcase)


def test_walker_that_is_never_stale_is_found() -> None:
    with pytest.raises(SimulationFailed, match="tables_change"):
        run(PLAIN, walker=NeverStale, testcase="tables_change")
