"""Drives an L2Tlb and checks its outputs in every cycle against `L2Model`."""

import os
from random import Random

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import FillRecord, InvalidateRecord
from seqfault_rtl.paging import Pte
from seqfault_rtl.tlb import LookupRecord

from .fields import pack, unpack
from .l2_model import L2Model, Leaf, Record

__all__ = ["LEVELS", "SETS", "SIZES", "SPACES", "WAYS", "L2Bench"]

LEVELS, SETS, WAYS, SPACES = (int(os.environ.get(f"L2_{name}", value)) for name, value in {"LEVELS": 5, "SETS": 128, "WAYS": 4, "SPACES": 64}.items())
SV32 = os.environ.get("L2_SV32", "1") == "1"
BUG = int(os.environ.get("L2_BUG", "0"))
"""Which planted bug is switched on, where the design has some."""
SIZES = frozenset([0, 1, *(2, 4, 5, 6)[: LEVELS - 1], *([3] if SV32 else [])])
SETTLE_NS = 1
VPN_MASK = (1 << 45) - 1
RSW = 0x300


class L2Bench:
    """One L2Tlb. `hits`, `misses` count lookups that were checked. `rng` is for the tests' use."""

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.model = L2Model(levels=LEVELS, sets=SETS, spaces=SPACES, sizes=SIZES)
        self.hits = self.misses = 0
        self._possible: list[Leaf] = []
        self._must_hit = False
        self._fresh = False
        self._standing: tuple[int, int] | None = None

    async def start(self) -> None:
        """Clock, reset, and the end of the sweep that follows."""
        Clock(self.dut.clk, 10, unit="ns").start()
        if hasattr(self.dut, "bug"):
            self.dut.bug.value = BUG
        await self.reset()
        await self.idle()

    async def reset(self) -> None:
        """Reset; the first cycle after it is the next `cycle`."""
        dut = self.dut
        await FallingEdge(dut.clk)
        for strobe in (dut.lookup, dut.fill, dut.invalidate):
            strobe.value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        self.model.reset()
        self._fresh, self._standing = False, None
        await Timer(SETTLE_NS, unit="ns")
        self._check()
        self.model.step(lookup=False, fill=None, invalidate=None)

    async def idle(self) -> int:
        """Wait until it is not busy; returns for how many cycles it was."""
        count = 0
        while self.model.busy:
            await self.cycle()
            count += 1
        return count

    async def cycle(self, *, lookup: tuple[int, int] | None = None, fill: Leaf | None = None, invalidate: Record | None = None) -> bool:
        """One clock cycle with these strobes; returns whether there is a hit in it, of an earlier lookup."""
        dut = self.dut
        await FallingEdge(dut.clk)
        self._drive(lookup, fill, invalidate)
        await Timer(SETTLE_NS, unit="ns")
        hit = self._check()
        if lookup:
            self._fresh = True
            self._possible = [] if invalidate else self.model.candidates(*lookup)
            self._must_hit = self.model.latest in self._possible
        if invalidate:
            self._standing = None
        self.model.step(lookup=lookup is not None, fill=fill, invalidate=invalidate)
        return hit

    async def hold(self, leaf: Leaf) -> None:
        """Fill, and wait until it is stored."""
        await self.cycle(fill=leaf)
        for _ in range(3):
            await self.cycle()

    async def hits_now(self, space: int, vpn: int) -> bool:
        """Look this up."""
        await self.cycle(lookup=(space, vpn))
        return await self.cycle()

    def _drive(self, lookup: tuple[int, int] | None, fill: Leaf | None, invalidate: Record | None) -> None:
        dut = self.dut
        dut.lookup.value, dut.fill.value, dut.invalidate.value = (x is not None for x in (lookup, fill, invalidate))
        if lookup:
            dut.lookup_record.value = pack(LookupRecord, {"space": lookup[0], "vpn": lookup[1]})
        if fill:
            fields = {"space": fill.space, "vpn": fill.vpn & VPN_MASK, "size": fill.size, "pte": unpack(Pte, fill.pte)}
            dut.fill_record.value = pack(FillRecord, fields)
        if invalidate:
            dut.record.value = pack(InvalidateRecord, {
                "any_space": invalidate.space is None, "space": invalidate.space or 0, "any_page": invalidate.vpn is None,
                "vpn": (invalidate.vpn or 0) & VPN_MASK, "mask": invalidate.mask & VPN_MASK,
            })  # fmt: skip

    def _check(self) -> bool:
        """Outputs of this cycle: `busy`, and the result of the last lookup, new or standing."""
        dut = self.dut
        assert bool(dut.busy.value) == (self.model.busy > 0), f"busy is {dut.busy.value}, {self.model.busy} cycles remain"
        hit, size, pte = bool(dut.hit.value), int(dut.size.value), int(dut.pte.value)
        assert bool(pte & 1) == hit, f"V is {pte & 1} in a result with hit {hit}"
        if self._fresh:
            self._fresh = False
            found = [(leaf.size, leaf.pte & ~RSW) for leaf in self._possible]
            assert not hit or (size, pte) in found, f"hit with {pte:#x} of size {size}; held are {found}"
            assert hit or not self._must_hit, f"lost {self.model.latest}, the leaf filled last"
            self.hits, self.misses = self.hits + hit, self.misses + (not hit)
            self._standing = (size, pte) if hit else None
        else:
            assert hit == (self._standing is not None), f"a standing result changed: hit is {hit}"
            assert not hit or self._standing == (size, pte), "a standing result changed its entry"
        return hit
