"""Tlb against a set of translations: a hit must be in the set, what was used last must hit, and small working sets fit."""

import os
from itertools import pairwise
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import FillRecord, InvalidateRecord
from seqfault_rtl.paging import Pte
from seqfault_rtl.tlb import LookupRecord

from .fields import pack, unpack
from .tlb_model import PAGE_BITS, Invalidation, TlbModel, Translation, possible_sizes

ENTRIES = int(os.environ.get("TLB_ENTRIES", "16"))
SPACES = int(os.environ.get("TLB_SPACES", "64"))
LEVELS = int(os.environ.get("TLB_LEVELS", "5"))
SIZES = possible_sizes(LEVELS, sv32=os.environ.get("TLB_SV32", "1") == "1")
BUG = int(os.environ.get("TLB_BUG", "0"))
"""Which planted bug is switched on, where the design has some."""
VPN_BITS = 9 * LEVELS
SETTLE_NS = 1
VALID_LEAF = 0x1
RSW = 0x300
NAPOT, PBMT_SHIFT = 1 << 63, 61
KIB_64 = 1


class Bench:
    """Drives a Tlb and keeps the set of translations that it may hold."""

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.model = TlbModel(levels=LEVELS, spaces=SPACES)
        self.asked: tuple[int, int] | None = None
        self.recent: Translation | None = None
        self.due: Translation | None = None
        self.hits = self.misses = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        if hasattr(dut, "bug"):
            dut.bug.value = BUG
        for strobe in (dut.lookup, dut.fill, dut.invalidate):
            strobe.value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def cycle(
        self, *, lookup: tuple[int, int] | None = None, fill: Translation | None = None, invalidate: Invalidation | None = None
    ) -> bool | None:
        """One clock cycle with these strobes; checks the answer to the last cycle's lookup and returns whether it hit."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.lookup.value = lookup is not None
        dut.fill.value = fill is not None
        dut.invalidate.value = invalidate is not None
        if lookup:
            dut.lookup_record.value = pack(LookupRecord, {"space": lookup[0], "vpn": lookup[1]})
        if fill:
            fields = {"space": fill.space, "vpn": fill.vpn, "size": fill.size, "pte": unpack(Pte, fill.pte)}
            dut.fill_record.value = pack(FillRecord, fields)
        if invalidate:
            dut.record.value = pack(InvalidateRecord, {
                "any_space": invalidate.space is None, "space": invalidate.space or 0, "any_page": invalidate.vpn is None,
                "vpn": invalidate.vpn or 0, "mask": invalidate.mask,
            })  # fmt: skip
        await Timer(SETTLE_NS, unit="ns")
        if self.asked is None:
            assert not int(dut.hit.value), "a hit that nobody asked for"
        hit = None if self.asked is None else self.check(*self.asked)
        self.asked, self.due = lookup, self.recent
        self.follow(fill, invalidate)
        return hit

    def follow(self, fill: Translation | None, invalidate: Invalidation | None) -> None:
        """What this cycle's strobes do to the set, and to what was used last."""
        new = self.model.cycle(fill, invalidate)
        if new:
            self.recent = new
        elif invalidate and self.recent not in self.model.held:
            self.recent = None

    def check(self, space: int, vpn: int) -> bool:
        dut, expected = self.dut, self.model.find(space, vpn)
        hit = bool(dut.hit.value)
        if hit:
            assert expected is not None, f"hit on {vpn:#x} of space {space}, which is not held"
            assert int(dut.pte.value) == expected.pte & ~RSW, f"entry {int(dut.pte.value):#x}, not {expected.pte:#x}"
            assert int(dut.mask.value) == (1 << PAGE_BITS[expected.size]) - 1, f"mask {int(dut.mask.value):#x} for size {expected.size}"
            self.hits += 1
            self.recent = expected
        else:
            assert int(dut.pte.value) & VALID_LEAF == 0, "a miss gave a valid entry"
            assert expected is None or expected != self.due, f"lost {expected}, the translation used last before the lookup"
            self.misses += 1
        return hit


def random_pages(rng: Random) -> list[int]:
    """Page numbers that share pages of every size, in both halves of the address space."""
    pages = []
    edges = [0, *(PAGE_BITS[size] for size in SIZES[1:]), VPN_BITS]
    for _ in range(3):
        page = rng.choice((0, 1 << VPN_BITS - 1)) | rng.getrandbits(VPN_BITS - 1)
        pages.append(page)
        pages += [page ^ 1 << rng.randrange(low, high) for low, high in pairwise(edges) for _ in range(2)]
    return pages


def extend(vpn: int) -> int:
    """A page number to 52 bits, by its sign."""
    return vpn | ((1 << 52) - (1 << VPN_BITS) if vpn >> VPN_BITS - 1 else 0)


class Traffic:
    """Random strobes over few pages and spaces, so that they meet."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.spaces = [0, 1, SPACES - 1]
        self.pages = random_pages(rng)

    def space(self) -> int:
        return self.rng.choice(self.spaces) if self.rng.random() < 0.95 else SPACES + self.rng.choice(self.spaces)

    def lookup(self) -> tuple[int, int] | None:
        if self.rng.random() < 0.2:
            return None
        vpn = extend(self.rng.choice(self.pages))
        if self.rng.random() < 0.1:
            vpn ^= 1 << self.rng.randrange(VPN_BITS, 52)
        return self.space(), vpn

    def fill(self, rate: float) -> Translation | None:
        if self.rng.random() >= rate:
            return None
        flags = self.rng.choice((0x1, 0x0, 0x1, 0x1, 0x1)) | self.rng.choice((0x2, 0x6, 0x8, 0xE, 0xA, 0x0)) | self.rng.getrandbits(6) << 4
        vpn, size = self.rng.choice(self.pages), self.rng.choice((0, 0, *SIZES))
        flags |= self.rng.randrange(3) << PBMT_SHIFT | (NAPOT if size == KIB_64 else 0)
        return Translation(space=self.space(), vpn=vpn, size=size, pte=flags | self.rng.getrandbits(44) << 10)

    def invalidation(self, rate: float) -> Invalidation | None:
        if self.rng.random() >= rate:
            return None
        vpn = None if self.rng.random() < 0.1 else self.rng.choice(self.pages)
        mask = self.rng.choice((0, 0, (1 << self.rng.randrange(1, VPN_BITS)) - 1))
        return Invalidation(space=self.rng.choice((*self.spaces, *self.spaces, None)), vpn=vpn, mask=mask)


@cocotb.test()
async def random_traffic(dut) -> None:
    """Every strobe at random, many in the same cycle."""
    bench = Bench(dut, seed=1)
    await bench.start()
    for fills, invalidations in ((0.1, 0.02), (0.5, 0.3), (0.05, 0.001), (0.3, 0.05)):
        traffic = Traffic(bench.rng)
        for _ in range(3000):
            await bench.cycle(lookup=traffic.lookup(), fill=traffic.fill(fills), invalidate=traffic.invalidation(invalidations))
    assert bench.hits > 500, f"only {bench.hits} hits"
    assert bench.misses > 500, f"only {bench.misses} misses"


@cocotb.test()
async def fill_meets_invalidation(dut) -> None:
    """For each distance between a fill and a matching invalidation, and each size: what came first is gone, what came later is held."""
    bench = Bench(dut, seed=2)
    await bench.start()
    entry = {"space": 3 % SPACES, "vpn": 0x5623456789 & (1 << VPN_BITS - 1) - 1}
    for size in SIZES:
        for distance in range(-3, 4):
            fill = Translation(size=size, pte=0xCF | size << 10, **entry)
            inside = entry["vpn"] ^ ((1 << PAGE_BITS[size]) - 1)
            strike = Invalidation(space=entry["space"], vpn=inside)
            for time in range(8):
                await bench.cycle(fill=fill if time == 3 else None, invalidate=strike if time == 3 + distance else None)
            await bench.cycle(lookup=(entry["space"], entry["vpn"]))
            hit = await bench.cycle()
            assert hit == (distance < 0), f"size {size}: invalidation {distance} cycles after the fill: hit is {hit}"
            await bench.cycle(invalidate=Invalidation(space=None, vpn=None))


@cocotb.test()
async def lookup_meets_its_end(dut) -> None:
    """A lookup in the cycle of an invalidation that covers its entry does not hit, nor one in the cycle in which another page takes its place."""
    bench = Bench(dut, seed=3)
    await bench.start()
    page = Translation(space=1, vpn=0x42, size=0, pte=0xDF)
    await bench.cycle(fill=page)
    await bench.cycle()
    await bench.cycle(lookup=(1, 0x42), invalidate=Invalidation(space=1, vpn=0x42))
    assert not await bench.cycle(), "the result survived the invalidation"
    for others in range(2 * ENTRIES):
        await bench.cycle(invalidate=Invalidation(space=None, vpn=None))
        await bench.cycle(fill=page)
        for index in range(others):
            await bench.cycle(fill=Translation(space=2 % SPACES, vpn=index, size=0, pte=0xDF | 7 << 10))
        await bench.cycle(lookup=(1, 0x42))
        await bench.cycle()


@cocotb.test()
async def lookups_every_cycle(dut) -> None:
    """One lookup a cycle, each answered in the next, hits and misses in turn."""
    bench = Bench(dut, seed=5)
    await bench.start()
    for index in range(ENTRIES):
        await bench.cycle(fill=Translation(space=1, vpn=0x1000 + index, size=0, pte=0xDF | index << 10))
    await bench.cycle()
    results = [await bench.cycle(lookup=(1, 0x1000 + index // 2 + (0x100 if index % 2 else 0))) for index in range(2 * ENTRIES)]
    results.append(await bench.cycle())
    assert results == [None, *[True, False] * ENTRIES], results


@cocotb.test()
async def working_set_fits(dut) -> None:
    """As many pages as there are entries are all held, with back-to-back fills and again after single invalidations."""
    bench = Bench(dut, seed=4)
    await bench.start()
    pages = [Translation(space=1, vpn=0x1000 + index, size=0, pte=0xDF | index << 10) for index in range(ENTRIES)]
    for page in pages:
        await bench.cycle(fill=page)
    await bench.cycle()
    for round_ in range(3):
        for page in pages:
            await bench.cycle(lookup=(1, page.vpn))
            assert await bench.cycle(), f"{page.vpn:#x} was lost in round {round_}"
        gone = pages[round_ * 5 % ENTRIES]
        await bench.cycle(invalidate=Invalidation(space=1, vpn=gone.vpn))
        await bench.cycle(fill=gone)
        await bench.cycle()
