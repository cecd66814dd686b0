"""Tlb against a set of translations: a hit must be in the set, what was used last must hit, and small working sets fit."""

import os
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import FillRecord, InvalidateRecord
from seqfault_rtl.paging import Pte
from seqfault_rtl.tlb import LookupRecord

from .fields import pack, unpack
from .tlb_model import LEVEL_BITS, Invalidation, Translation, canonical, covers, same_superpage

ENTRIES = int(os.environ.get("TLB_ENTRIES", "16"))
SPACES = int(os.environ.get("TLB_SPACES", "64"))
SETTLE_NS = 1
VALID_LEAF = 0x1
RSW = 0x300


class Bench:
    """Drives a Tlb and keeps the set of translations that it may hold."""

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.allowed: list[Translation] = []
        self.arriving: Translation | None = None
        self.asked: tuple[int, int] | None = None
        self.recent: Translation | None = None
        self.due: Translation | None = None
        self.hits = self.misses = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for strobe in (dut.lookup, dut.fill, dut.invalidate):
            strobe.value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    def find(self, space: int, vpn: int) -> Translation | None:
        """The translation that covers this 52-bit page, if the TLB may hold one."""
        if not canonical(vpn, 4):
            return None
        found = [e for e in self.allowed if e.space == space and same_superpage(e.vpn, vpn & (1 << 36) - 1, e.level)]
        assert len(found) <= 1, "the model holds two translations of a page"
        return found[0] if found else None

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
            fields = {"space": fill.space, "vpn": fill.vpn, "level": fill.level, "pte": unpack(Pte, fill.pte)}
            dut.fill_record.value = pack(FillRecord, fields)
        if invalidate:
            dut.record.value = pack(InvalidateRecord, {
                "any_space": invalidate.space is None, "space": invalidate.space or 0, "any_page": invalidate.vpn is None,
                "vpn": invalidate.vpn or 0, "mask": invalidate.mask,
            })  # fmt: skip
        await Timer(SETTLE_NS, unit="ns")
        hit = None if self.asked is None else self.check(*self.asked)
        self.asked, self.due = lookup, self.recent
        self.follow(fill, invalidate)
        return hit

    def follow(self, fill: Translation | None, invalidate: Invalidation | None) -> None:
        """What this cycle's strobes do to the set. A fill takes effect one cycle late, and gives way to any invalidation until then."""
        if invalidate:
            self.allowed = [e for e in self.allowed if not covers(invalidate, e)]
            if self.recent not in self.allowed:
                self.recent = None
            self.arriving = None
            return
        if self.arriving:
            new = self.arriving
            self.allowed = [e for e in self.allowed if e.space != new.space or not same_superpage(e.vpn, new.vpn, max(e.level, new.level))]
            self.allowed.append(new)
            self.recent = new
        self.arriving = fill if fill and fill.pte & VALID_LEAF and fill.pte & 0xA and fill.space < SPACES else None

    def check(self, space: int, vpn: int) -> bool:
        dut, expected = self.dut, self.find(space, vpn)
        hit = bool(dut.hit.value)
        if hit:
            assert expected is not None, f"hit on {vpn:#x} of space {space}, which is not held"
            assert int(dut.pte.value) == expected.pte & ~RSW, f"entry {int(dut.pte.value):#x}, not {expected.pte:#x}"
            assert int(dut.level.value) == expected.level, f"level {int(dut.level.value)}, not {expected.level}"
            self.hits += 1
            self.recent = expected
        else:
            assert int(dut.pte.value) & VALID_LEAF == 0, "a miss gave a valid entry"
            assert expected is None or expected != self.due, f"lost {expected}, the translation used last before the lookup"
            self.misses += 1
        return hit


def random_pages(rng: Random) -> list[int]:
    """36-bit page numbers that share superpages of every size, in both halves of the address space."""
    pages = []
    for _ in range(3):
        page = rng.choice((0, 0x1FF << 27, 1 << 35, 0x0FF << 27)) | rng.getrandbits(27)
        pages.append(page)
        pages += [page ^ 1 << rng.randrange(LEVEL_BITS * level, LEVEL_BITS * (level + 1)) for level in range(4) for _ in range(2)]
    return pages


def extend(vpn: int) -> int:
    """36-bit page number to 52 bits, by its sign."""
    return vpn | (0xFFFF << 36 if vpn >> 35 else 0)


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
            vpn ^= 1 << self.rng.randrange(36, 52)
        return self.space(), vpn

    def fill(self, rate: float) -> Translation | None:
        if self.rng.random() >= rate:
            return None
        flags = self.rng.choice((0x1, 0x0, 0x1, 0x1, 0x1)) | self.rng.choice((0x2, 0x6, 0x8, 0xE, 0xA, 0x0)) | self.rng.getrandbits(6) << 4
        vpn, level = self.rng.choice(self.pages), self.rng.choice((0, 0, 0, 1, 1, 2, 3))
        return Translation(space=self.space(), vpn=vpn, level=level, pte=flags | self.rng.getrandbits(44) << 10)

    def invalidation(self, rate: float) -> Invalidation | None:
        if self.rng.random() >= rate:
            return None
        vpn = None if self.rng.random() < 0.1 else self.rng.choice(self.pages)
        mask = self.rng.choice((0, 0, (1 << self.rng.randrange(1, 36)) - 1))
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
    entry = {"space": 3 % SPACES, "vpn": 0x123456789}
    for level in range(4):
        for distance in range(-3, 4):
            fill = Translation(level=level, pte=0xCF | level << 10, **entry)
            inside = entry["vpn"] ^ ((1 << LEVEL_BITS * level) - 1)
            strike = Invalidation(space=entry["space"], vpn=inside)
            for time in range(8):
                await bench.cycle(fill=fill if time == 3 else None, invalidate=strike if time == 3 + distance else None)
            await bench.cycle(lookup=(entry["space"], entry["vpn"]))
            hit = await bench.cycle()
            assert hit == (distance < 0), f"level {level}: invalidation {distance} cycles after the fill: hit is {hit}"
            await bench.cycle(invalidate=Invalidation(space=None, vpn=None))


@cocotb.test()
async def standing_result_is_withdrawn(dut) -> None:
    """A result that stands after its lookup disappears with the invalidation, and when its entry gets another page."""
    bench = Bench(dut, seed=3)
    await bench.start()
    page = Translation(space=1, vpn=0x42, level=0, pte=0xDF)
    for others in (0, 2 * ENTRIES):
        await bench.cycle(fill=page)
        await bench.cycle()
        await bench.cycle(lookup=(1, 0x42))
        assert await bench.cycle()
        if others:
            for index in range(others):
                await bench.cycle(fill=Translation(space=2 % SPACES, vpn=index, level=0, pte=0xDF | 7 << 10))
        else:
            await bench.cycle(invalidate=Invalidation(space=1, vpn=0x42))
        await bench.cycle()
        await bench.cycle()
        still = bool(dut.hit.value)
        assert not still or int(dut.pte.value) == page.pte, "the standing result shows another page"
        assert others or not still, "the standing result survived its invalidation"
        await bench.cycle(invalidate=Invalidation(space=None, vpn=None))


@cocotb.test()
async def working_set_fits(dut) -> None:
    """As many pages as there are entries are all held, with back-to-back fills and again after single invalidations."""
    bench = Bench(dut, seed=4)
    await bench.start()
    pages = [Translation(space=1, vpn=0x1000 + index, level=0, pte=0xDF | index << 10) for index in range(ENTRIES)]
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
