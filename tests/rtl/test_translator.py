"""Translator, walker and space table together under cocotb, and planted bugs that their tests must find."""

import pytest
from amaranth import Const, Signal
from amaranth.lib.fifo import SyncFIFOBuffered

import seqfault_rtl.miss_unit
import seqfault_rtl.port_lookup
from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.miss_sort import MissSort
from seqfault_rtl.paging import PagingMode, page_mask
from seqfault_rtl.tlb import Tlb
from seqfault_rtl.walker import Walker
from seqfault_tb.translator_top import TranslatorTop

TESTS = "seqfault_tb.test_translator"
TINY = EngineConfig(ports=1, tlb_entries=3, port_misses=1, walks=1, spaces=4)


def run(config: EngineConfig, *, axi: bool = False, walker: type[Walker] = Walker, testcase: str | None = None) -> None:
    parameters = {"PORTS": config.ports, "SPACES": config.spaces, "TLB_ENTRIES": config.tlb_entries, "AXI": int(axi)}
    settings = {name: str(value) for name, value in parameters.items()}
    run_block(TranslatorTop(config, walker, axi=axi), TESTS, name="translator", parameters=settings, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["small"], PRESETS["default"], TINY], ids=["small", "default", "tiny"])
def test_translator(config: EngineConfig) -> None:
    run(config)


def test_translator_over_axi() -> None:
    run(PRESETS["small"], axi=True)


class NeverStale(Walker):
    """Invalidations do not reach walks in flight."""

    def _watch(self, m, start, slot, request, top, levels):
        super()._watch(m, start, slot, request, top, levels)
        return Const(0, self._config.walks)

    def _respond(self, m, chosen, finished, result, stale):
        kept, self.invalidate = self.invalidate, Const(0)
        super()._respond(m, chosen, finished, result, stale)
        self.invalidate = kept


class KeepsSuperpages(Tlb):
    """An invalidation of one page leaves superpages that hold it."""

    def _probe(self, m, tags, held):
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        for index, tag in enumerate(tags):
            inside = self.invalidate & ~self.record.any_page & ((tag.vpn ^ self.record.vpn) & page_mask(tag.level)).any()
            m.d.comb += kept[index].eq(struck[index] & ~inside)
        return kept


class ForgetsSign(Tlb):
    """The address bits above the page number are not looked at."""

    def _match(self, m, tags, valid, stored):
        record, whole = Signal(self.lookup_record.shape()), self.lookup_record
        m.d.comb += [record.eq(whole), record.vpn.eq(whole.vpn[:36].as_signed())]
        self.lookup_record = record
        matched = super()._match(m, tags, valid, stored)
        self.lookup_record = whole
        return matched


class AnyAddress(MissSort):
    """Sv39 takes any address that Sv48 would."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        va, stage = self.miss.payload.request.va, m.submodules.stage
        with m.If((stage.entry.mode == PagingMode.SV39) & (va[47:].all() | ~va[47:].any()) & ~self.miss.payload.denied):
            m.d.comb += self.refused.valid.eq(0)
            self._send(m, self.walk, stage)
        return m


def short_queue(width: int, depth: int) -> SyncFIFOBuffered:
    """A fault queue without room for every fault."""
    return SyncFIFOBuffered(width=width, depth=2)


@pytest.mark.parametrize(
    ("place", "name", "mutant", "testcase"),
    [
        (seqfault_rtl.port_lookup, "Tlb", KeepsSuperpages, "tables_change"),
        (seqfault_rtl.port_lookup, "Tlb", ForgetsSign, "quiet_tables"),
        (seqfault_rtl.miss_unit, "MissSort", AnyAddress, "quiet_tables"),
    ],
)
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, place: object, name: str, mutant: object, testcase: str) -> None:
    monkeypatch.setattr(place, name, mutant)
    with pytest.raises(SimulationFailed, match=testcase):
        run(PRESETS["small"], testcase=testcase)


def test_fault_queue_without_room_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks that cannot end keep all slots, and the fault unit cannot walk."""
    monkeypatch.setattr(seqfault_rtl.miss_unit, "SyncFIFOBuffered", short_queue)
    with pytest.raises(SimulationFailed, match="fault_storm"):
        run(EngineConfig(ports=2, tlb_entries=4, port_misses=8, walks=2, spaces=16), testcase="fault_storm")


def test_walker_that_is_never_stale_is_found() -> None:
    with pytest.raises(SimulationFailed, match="tables_change"):
        run(PRESETS["small"], walker=NeverStale, testcase="tables_change")
