"""Tlb under cocotb, and planted bugs that its tests must find."""

import pytest
from amaranth import Mux, Signal

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.tlb import Tlb

TESTS = "seqfault_tb.test_tlb"


def run(tlb: type[Tlb], config: EngineConfig, testcase: str | None = None) -> None:
    parameters = {
        "TLB_ENTRIES": str(config.tlb_entries), "TLB_SPACES": str(config.spaces), "TLB_LEVELS": str(config.levels), "TLB_SV32": str(int(config.sv32))
    }  # fmt: skip
    run_block(tlb(config), TESTS, name="tlb", parameters=parameters, testcase=testcase)


@pytest.mark.parametrize("config", [PRESETS["default"], PRESETS["core"], EngineConfig(tlb_entries=5, spaces=4, levels=4)])
def test_tlb(config: EngineConfig) -> None:
    run(Tlb, config)


class KeepsSuperpages(Tlb):
    """An invalidation of one page leaves superpages that hold it."""

    def _probe(self, m, tags, held):
        struck, kept = super()._probe(m, tags, held), Signal(len(tags))
        for index, tag in enumerate(tags):
            inside = self.invalidate & ~self.record.any_page & ((tag.vpn ^ self.record.vpn) & self._mask(tag.above)).any()
            m.d.comb += kept[index].eq(struck[index] & ~inside)
        return kept


class FillWins(Tlb):
    """A fill in the cycle of an invalidation is stored."""

    def _capture_fill(self, m):
        held, waiting = super()._capture_fill(m)
        with m.If(self.fill):
            m.d.sync += waiting.eq(1)
        return held, waiting


class DoubleEntries(Tlb):
    """A fill does not remove what it overlaps."""

    def _probe(self, m, tags, held):
        struck = super()._probe(m, tags, held)
        return Mux(self.invalidate, struck, 0)


class OutlivesInvalidation(Tlb):
    """A result does not look at whether its entry is still valid."""

    def _match(self, m, tags, valid, stored):
        before = Signal(len(tags))
        m.d.sync += before.eq(valid)
        return super()._match(m, tags, before, stored)


class OutlivesReplacement(Tlb):
    """A result does not look at whether its entry is still the same."""

    def _match(self, m, tags, valid, stored):
        return super()._match(m, tags, valid, Signal(len(tags)))


class Aliases(Tlb):
    """Spaces out of range are taken modulo the number of spaces."""

    def _match(self, m, tags, valid, stored):
        record = self.lookup_record
        whole = self.lookup_record
        self.lookup_record = Signal(record.shape())
        m.d.comb += [self.lookup_record.eq(whole), self.lookup_record.space.eq(whole.space[: self._config.space_bits])]
        result = super()._match(m, tags, valid, stored)
        self.lookup_record = whole
        return result


@pytest.mark.parametrize(
    ("mutant", "testcase"),
    [
        (KeepsSuperpages, "random_traffic"),
        (FillWins, "fill_meets_invalidation"),
        (DoubleEntries, "random_traffic"),
        (OutlivesInvalidation, "lookup_meets_its_end"),
        (OutlivesReplacement, "lookup_meets_its_end"),
        (OutlivesReplacement, "random_traffic"),
        (Aliases, "random_traffic"),
    ],
)
def test_planted_bug_is_found(mutant: type[Tlb], testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run(mutant, PRESETS["default"], testcase)
