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

from ..long import LONG, in_short

TESTS = "seqfault_tb.test_translator,seqfault_tb.test_translator_cases"
FULL = EngineConfig(ports=3, tlb_entries=4, port_misses=4, walks=6, l2_sets=16, l2_ways=2, walk_cache=4, spaces=16)
TINY = EngineConfig(ports=1, tlb_entries=3, port_misses=1, walks=1, l2_sets=0, walk_cache=1, spaces=4)
PLAIN = EngineConfig(ports=2, tlb_entries=4, port_misses=8, walks=2, levels=3, sv32=False, l2_sets=0, walk_cache=0, spaces=4)
"""Also for planted bugs."""


def run(config: EngineConfig, *, axi: bool = False, walker: type[Walker] = Walker, testcase: str | None = None) -> None:
    parameters = {
        "PORTS": config.ports, "SPACES": config.spaces, "TLB_ENTRIES": config.tlb_entries, "LEVELS": config.levels, "SV32": int(config.sv32),
        "SVADU": int(config.svadu), "HAS_L2": int(config.l2_sets > 0), "WALK_CACHE": config.walk_cache, "AXI": int(axi),
    }  # fmt: skip
    settings = {name: str(value) for name, value in parameters.items()}
    run_block(TranslatorTop(config, walker, axi=axi), TESTS, name="translator", parameters=settings, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [FULL, PLAIN, TINY]), ids=["full", "plain", "tiny"])
def test_translator(config: EngineConfig) -> None:
    run(config)


@LONG
def test_translator_over_axi() -> None:
    run(PRESETS["small"], axi=True)


class NeverStale(Walker):
    """Invalidations do not reach walks in flight."""

    def _watch(self, m, begin, start, slot, levels):
        super()._watch(m, begin, start, slot, levels)
        return Const(0, self._config.walk_slots)

    def _respond(self, m, end, stale):
        kept, self.invalidate = self.invalidate, Const(0)
        super()._respond(m, end, stale)
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
    """The address bits above the page number are not looked at, and what was withdrawn is answered all the same."""

    def _look_up(self, m, tlb, taken):
        super()._look_up(m, tlb, taken)
        m.d.comb += tlb.lookup_record.vpn.eq(self.requests.payload.va[12 : 12 + self._config.vpn_bits].as_signed())

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
    ("planted", "walker", "found"),
    in_short(0, [
        (
            {(seqfault_rtl.port_lookup, "Tlb"): KeepsSuperpages, (seqfault_rtl.miss_unit, "MissTable"): NeverMerges},
            Walker,
            {"one_page_is_enough": "for Pending", "misses_merge": "reads for"},
        ),
        (
            {(seqfault_rtl.miss_unit, "RoundRobin"): LowestFirst, (seqfault_rtl.miss_unit, "AdUpdate"): LoadsSetD},
            NeverStale,
            {"misses_merge": "for Pending", "ports_are_served_evenly": "answers by port", "quiet_tables": "nobody asked"},
        ),
        (
            {
                (seqfault_rtl.translator, "PortLookup"): ForgetsSign,
                (seqfault_rtl.miss_sort, "is_canonical"): sv39_as_sv48,
                (seqfault_rtl.miss_unit, "MissTable"): JoinsOldWalks,
                (seqfault_rtl.miss_unit, "SyncFIFOBuffered"): short_queue,
            },
            Walker,
            {
                "warm_addresses": "", "cold_addresses": "", "misses_merge": "for Pending",
                "fault_storm": "", "withdrawals": "",
            },
        ),
    ]),
)  # fmt: skip
def test_planted_bugs_are_found(monkeypatch: pytest.MonkeyPatch, planted: dict, walker: type[Walker], found: dict[str, str]) -> None:
    """Several in one model: each has a test that finds it and that the others do not concern."""
    for (place, name), mutant in planted.items():
        monkeypatch.setattr(place, name, mutant)
    for testcase, message in found.items():
        with pytest.raises(SimulationFailed, match=f"(?s){testcase} failed.*{message}"):
            run(PLAIN, walker=walker, testcase=testcase)
