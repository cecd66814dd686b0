"""L2Tlb under cocotb, and planted bugs that its tests must find. All bugs are in one model, which an input switches: it is built once."""

import pytest
from amaranth import Cat, Signal, Value
from amaranth.lib.wiring import In

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS, EngineConfig
from seqfault_rtl.l2_bank import Found, L2Bank
from seqfault_rtl.l2_tlb import L2Tlb
from seqfault_rtl.paging import PageSize

from ..long import LONG, in_short

TESTS = "seqfault_tb.test_l2_tlb"
SMALL = EngineConfig(levels=3, sv32=False, l2_sets=16, l2_ways=3, spaces=4)
GARBAGE = 15
"""A way to switch, besides the bugs."""
BUGS = {
    "skips_last_set": "invalidations_are_exact",
    "forgets_globals": "invalidations_are_exact",
    "spares_globals": "invalidations_are_exact",
    "ignores_index_bits": "invalidations_are_exact",
    "keeps_superpages": "invalidations_are_exact",
    "hits_while_busy": "nothing_stands_or_hits_while_busy",
    "stands": "nothing_stands_or_hits_while_busy",
    "fill_goes_on": "fill_meets_invalidation",
    "fills_twice": "random_traffic",
    "resets_nothing": "reset_forgets",
    "aliases": "random_traffic",
}
"""Bug, in the order of its number from 1, to the test that must find it."""


def is_on(bug: Signal, name: str) -> Value:
    return bug == list(BUGS).index(name) + 1


class PlantedBank(L2Bank):
    """A bank with bugs. With GARBAGE it is right: a read in the cycle in which its row is written gives garbage, as block RAM may."""

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__(*arguments, **keywords)
        self.bug: Signal = Signal(4)
        self._collisions: list[Signal] = []

    def _read(self, m, memory, address, compared):
        row, given, collided = super()._read(m, memory, address, compared), Signal(self._row), Signal()
        self._address = address
        self._collisions.append(collided)
        garbage = collided & (self.bug == GARBAGE)
        m.d.comb += given.as_value().eq(row.as_value() ^ garbage.replicate(len(row.as_value())))
        return given

    def _write(self, m, port, index, entry, taken):
        super()._write(m, port, index, entry, taken)
        m.d.sync += self._collisions.pop(0).eq(port.en & (port.addr == self._address))

    def _compare(self, m, row, index):
        found = super()._compare(m, row, index)
        with m.If(is_on(self.bug, "forgets_globals")):
            m.d.comb += found.is_global.eq(0)
        with m.If(is_on(self.bug, "ignores_index_bits")):
            m.d.comb += found.same_set.eq(1)
        return found

    def _choose(self, m, found):
        seen = [Signal(Found) for _ in found]
        m.d.comb += [one.eq(entry) for one, entry in zip(seen, found, strict=True)]
        with m.If(is_on(self.bug, "fills_twice")):
            m.d.comb += [one.same_page.eq(0) for one in seen]
        return super()._choose(m, seen)


class Planted(L2Tlb):
    """An L2Tlb with the bugs of BUGS, one of which `bug` switches on."""

    bug: In(4)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        reads = is_on(self.bug, "hits_while_busy")
        for bank in self._banks:
            asked, late = Signal(bank.asked.shape()), Signal()
            m.d.sync += [asked.eq(bank.asked), late.eq(self.lookup)]
            with m.If(reads & self.lookup):
                m.d.comb += bank.use_held.eq(0)
            with m.If(reads & late):
                m.d.comb += bank.wanted.eq(asked)
        return m

    def _make_banks(self, m):
        banks = super()._make_banks(m)
        self._banks = list(banks.values())
        m.d.comb += [bank.bug.eq(self.bug) for bank in self._banks]
        return banks

    def _goes_on(self):
        return super()._goes_on() | is_on(self.bug, "fill_goes_on")

    def _exists(self, record):
        return super()._exists(record) | is_on(self.bug, "aliases")

    def _is_last(self, distance, free):
        self._last = super()._is_last(distance, free)
        return self._last

    def _sweep(self, m, banks):
        super()._sweep(m, banks)
        last, late, begun = Signal(), Signal(), Signal()
        m.d.sync += [last.eq(self._last), late.eq(last), begun.eq(begun | self.invalidate)]
        skips = (is_on(self.bug, "skips_last_set") & late) | (is_on(self.bug, "resets_nothing") & ~begun)
        for size, bank in banks.items():
            keeps = (size != PageSize.KIB_4) & is_on(self.bug, "keeps_superpages") & ~bank.ignored.all()
            with m.If(skips | keeps):
                m.d.comb += [bank.strike.eq(0), bank.clear.eq(0)]
            with m.If(is_on(self.bug, "spares_globals")):
                m.d.comb += bank.any_space.eq(0)

    def _answer(self, m, banks):
        super()._answer(m, banks)
        asked, stands = Signal(), Signal()
        m.d.sync += [asked.eq(self.lookup), stands.eq(self.hit & ~self.lookup)]
        found = asked & Cat(bank.hit for bank in banks.values()).any()
        with m.If((is_on(self.bug, "hits_while_busy") & found) | (is_on(self.bug, "stands") & stands)):
            m.d.comb += [self.hit.eq(1), self.pte.v.eq(1)]


def run(block: L2Tlb, config: EngineConfig, *, bug: int = 0, testcase: str | None = None) -> None:
    parameters = {
        "L2_LEVELS": str(config.levels), "L2_SETS": str(config.l2_sets), "L2_WAYS": str(config.l2_ways), "L2_SPACES": str(config.spaces),
        "L2_SV32": str(int(config.sv32)), "L2_BUG": str(bug),
    }  # fmt: skip
    run_block(block, TESTS, name="l2_tlb", parameters=parameters, testcase=testcase)


def run_planted(monkeypatch: pytest.MonkeyPatch, bug: int, testcase: str | None = None) -> None:
    monkeypatch.setattr("seqfault_rtl.l2_tlb.L2Bank", PlantedBank)
    run(Planted(SMALL), SMALL, bug=bug, testcase=testcase)


@pytest.mark.parametrize("config", in_short(1, [PRESETS["default"], SMALL]))
def test_l2_tlb(config: EngineConfig) -> None:
    run(L2Tlb(config), config)


@LONG
def test_collisions_in_block_ram_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    run_planted(monkeypatch, GARBAGE)


@pytest.mark.parametrize(("bug", "testcase"), BUGS.items())
def test_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, bug: str, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=testcase):
        run_planted(monkeypatch, list(BUGS).index(bug) + 1, testcase)
