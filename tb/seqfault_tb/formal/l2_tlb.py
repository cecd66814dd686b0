"""What the L2 TLB may answer."""

import copy
from unittest.mock import patch

from amaranth import Cat, Const, Module, Mux, Signal

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.l2_bank import L2Bank
from seqfault_rtl.l2_tlb import L2Tlb

from .l2_lemmas import L2Lemmas, is_whole
from .spec import Spec, any_each_cycle, drive, is_range, opened
from .tlb import WatchedLeaf

__all__ = ["FillGoesOn", "NoStaleEntry", "StopsEarly", "with_sets"]


class NoStaleEntry(Spec):
    """A hit of the L2 TLB answers a leaf only if it was filled for a page that shares its page and space, after the last invalidation that
    covers it.

    For every page, space, leaf and size, also while the sets are swept; with two sets and two ways, in block RAM that gives anything for a row
    that is being written. The environment: masks are ranges of low bits; leaves are whole: aligned, those of 64 KiB as Svnapot writes them.
    """

    dut: L2Tlb

    def specify(self, m: Module) -> None:
        dut = self.dut
        drive(m, dut)
        with patch("seqfault_rtl.l2_bank.SMALL_SETS", 1):
            inside = opened(dut)
            for size in dut._sizes:
                _spoil_collisions(m, inside.block(size.name.lower()))
        leaf = WatchedLeaf(m, dut)
        self.assume(m, is_range(dut.record.mask))
        self.assume(m, is_whole(dut.fill_record.pte, dut.fill_record.size))
        self.assume(m, Cat(leaf.size == size for size in dut._sizes).any())
        asked = Signal()
        with m.If(dut.lookup):
            m.d.sync += asked.eq((dut.lookup_record.space == leaf.space) & (dut.lookup_record.vpn == leaf.vpn))
        answered = asked & dut.hit & leaf.is_it(dut.pte) & (dut.size == leaf.size)
        self.promise(m, "only_what_was_filled", ~answered | leaf.filled)
        self.promise(m, "valid_with_hit", dut.pte.v == dut.hit)
        L2Lemmas(self, m, inside, leaf, asked).say()


def with_sets(config: EngineConfig, sets: int) -> EngineConfig:
    """A configuration with fewer sets than the engine allows: a sweep takes fewer cycles."""
    smaller = copy.copy(config)
    object.__setattr__(smaller, "l2_sets", sets)
    return smaller


def _spoil_collisions(m: Module, bank: L2Bank) -> None:
    """A row read in the cycle in which it is written is anything."""
    read, write, collisions = bank._read, bank._write, []

    def spoiled_read(inner, memory, address, compared):  # type: ignore[no-untyped-def]
        row, given, collided = read(inner, memory, address, compared), Signal(bank._row), Signal()
        collisions.append((address, collided))
        m.d.comb += given.as_value().eq(Mux(collided, any_each_cycle(m, len(row.as_value()), "garbage"), row.as_value()))
        return given

    def watched_write(inner, port, *arguments):  # type: ignore[no-untyped-def]
        write(inner, port, *arguments)
        address, collided = collisions.pop(0)
        m.d.sync += collided.eq(port.en & (port.addr == address))

    bank._read, bank._write = spoiled_read, watched_write
    opened(bank)


class FillGoesOn(L2Tlb):
    """A fill under way is stored although an invalidation comes."""

    def _goes_on(self):  # type: ignore[no-untyped-def]
        return Const(1)


class StopsEarly(L2Tlb):
    """A sweep leaves out the last set."""

    def _is_last(self, distance, free):  # type: ignore[no-untyped-def]
        return distance + 1 >= free
