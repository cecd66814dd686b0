"""PageWalkCache: every cycle of random traffic against a set of pointers, and what it must keep, by itself."""

import os
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import InvalidateRecord

from .fields import pack

LEVELS, ROWS, SPACES = (int(os.environ.get(f"PWC_{name}", value)) for name, value in {"LEVELS": 5, "ROWS": 16, "SPACES": 64}.items())
SV32 = os.environ.get("PWC_SV32", "1") == "1"
BUG = int(os.environ.get("PWC_BUG", "0"))
"""Which planted bug is switched on, where the design has some."""
SETTLE_NS = 1
LEVEL_BITS, SV32_LEVEL_BITS = 9, 10
VPN_BITS = LEVEL_BITS * LEVELS


def prefix(vpn: int, level: int) -> int:
    """What the pages behind a pointer of `level` have in common."""
    return vpn >> LEVEL_BITS * level


class Pointers:
    """Tables by space, level and prefix: those that it may answer. `latest`: the one filled last, which it must know."""

    def __init__(self) -> None:
        self.tables: dict[tuple[int, int, int], int] = {}
        self.latest: tuple[int, int, int] | None = None

    def fill(self, space: int, vpn: int, level: int, table: int) -> None:
        if space < SPACES and 0 < level < LEVELS:
            self.latest = space, level, prefix(vpn, level)
            self.tables[self.latest] = table

    def invalidate(self, space: int | None, vpn: int | None, mask: int) -> None:
        for key in [key for key in self.tables if self._is_covered(key, space, vpn, mask)]:
            del self.tables[key]
        self.latest = None

    @staticmethod
    def _is_covered(key: tuple[int, int, int], space: int | None, vpn: int | None, mask: int) -> bool:
        reach = SV32_LEVEL_BITS if key[1] == 1 and SV32 else LEVEL_BITS * key[1]
        page = key[2] << LEVEL_BITS * key[1]
        return space in (None, key[0]) and (vpn is None or ((page ^ vpn) & ~mask) >> reach == 0)


class Bench:
    """Drives the block; the answer is checked in every cycle."""

    def __init__(self, dut, seed: int) -> None:
        self.dut, self.rng, self.pointers = dut, Random(seed), Pointers()
        self.hits = self.misses = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        if hasattr(dut, "bug"):
            dut.bug.value = BUG
        dut.fill.value = dut.invalidate.value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def cycle(
        self, query: tuple[int, int, int], *, fill: tuple[int, int, int, int] | None = None,
        invalidate: tuple[int | None, int | None, int] | None = None,
    ) -> int | None:  # fmt: skip
        """One cycle; `query` is space, vpn and levels. Returns the level that was answered."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.space.value, dut.vpn.value, dut.levels.value = query
        dut.fill.value, dut.invalidate.value = fill is not None, invalidate is not None
        if fill:
            dut.fill_space.value, dut.fill_vpn.value, dut.fill_level.value, dut.fill_table.value = fill
        if invalidate:
            space, vpn, mask = invalidate
            dut.record.value = pack(InvalidateRecord, {
                "any_space": space is None, "space": space or 0, "any_page": vpn is None, "vpn": vpn or 0, "mask": mask,
            })  # fmt: skip
        await Timer(SETTLE_NS, unit="ns")
        level = self.check(*query)
        if invalidate:
            self.pointers.invalidate(*invalidate)
        elif fill:
            self.pointers.fill(*fill)
        return level

    def check(self, space: int, vpn: int, levels: int) -> int | None:
        dut = self.dut
        latest = self.pointers.latest
        known = latest is not None and latest[1] < levels and latest == (space, latest[1], prefix(vpn, latest[1]))
        if not int(dut.hit.value):
            assert not known, f"lost {latest}, the pointer filled last"
            self.misses += 1
            return None
        level, table = int(dut.level.value), int(dut.table.value)
        assert level + 2 <= levels, f"level {level} is not below the root of {levels} levels"
        expected = self.pointers.tables.get((space, level + 1, prefix(vpn, level + 1)))
        assert expected == table, f"table {table:#x} of level {level} for {vpn:#x} of space {space}; known is {expected}"
        assert not known or level < latest[1], f"level {level}, but a deeper table is known by {latest}"
        self.hits += 1
        return level


class Traffic:
    """Few spaces, and pages that share tables of every level."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.spaces = rng, [0, 1, SPACES - 1]
        base = rng.getrandbits(VPN_BITS)
        self.pages = [base, *(base ^ 1 << bit for bit in rng.sample(range(VPN_BITS), 12)), base ^ 1 << LEVEL_BITS]

    def query(self) -> tuple[int, int, int]:
        return self.space(), self.rng.choice(self.pages), self.rng.randint(2, LEVELS)

    def space(self) -> int:
        return self.rng.choice(self.spaces) if self.rng.random() < 0.95 else SPACES + self.rng.choice(self.spaces)

    def fill(self) -> tuple[int, int, int, int]:
        return self.space(), self.rng.choice(self.pages), self.rng.randrange(LEVELS + 1), self.rng.getrandbits(44)

    def record(self) -> tuple[int | None, int | None, int]:
        vpn = None if self.rng.random() < 0.1 else self.rng.choice(self.pages)
        mask = self.rng.choice((0, 0, (1 << self.rng.randrange(VPN_BITS)) - 1))
        return self.rng.choice((*self.spaces, *self.spaces, None)), vpn, 0 if vpn is None else mask


@cocotb.test()
async def random_traffic(dut) -> None:
    """Queries, fills and invalidations at random, many in the same cycle."""
    bench = Bench(dut, seed=1)
    await bench.start()
    for fills, invalidations in ((0.2, 0.01), (0.5, 0.3), (0.5, 0.05), (0.1, 0.1)):
        traffic = Traffic(bench.rng)
        for _ in range(2000):
            fill = traffic.fill() if bench.rng.random() < fills else None
            record = traffic.record() if bench.rng.random() < invalidations else None
            await bench.cycle(traffic.query(), fill=fill, invalidate=record)
    assert bench.hits > 500, f"only {bench.hits} hits"
    assert bench.misses > 500, f"only {bench.misses} misses"


@cocotb.test()
async def deepest_is_answered(dut) -> None:
    """Each level filled on the way down is where the next walk can start, and nowhere in a mode without that level."""
    bench = Bench(dut, seed=2)
    await bench.start()
    for _ in range(20):
        space, vpn = bench.rng.randrange(SPACES), bench.rng.getrandbits(VPN_BITS)
        await bench.cycle((space, vpn, 2), invalidate=(None, None, 0))
        for level in reversed(range(1, LEVELS)):
            await bench.cycle((space, vpn, 2), fill=(space, vpn, level, bench.rng.getrandbits(44)))
            for levels in range(2, LEVELS + 1):
                start = await bench.cycle((space, vpn, levels))
                assert start == (level - 1 if level < levels else None), f"starts at {start} of {levels} levels, a pointer of {level} is known"


@cocotb.test()
async def rows_are_independent(dut) -> None:
    """As many neighbouring tables as there are rows are all known; an invalidation of a page costs only those in its row."""
    bench = Bench(dut, seed=3)
    await bench.start()
    for level in range(1, LEVELS):
        tables = [row << LEVEL_BITS * level for row in range(ROWS)]
        for struck in range(ROWS):
            for vpn in tables:
                await bench.cycle((1, vpn, LEVELS), fill=(1, vpn, level, vpn >> LEVEL_BITS))
            for vpn in tables:
                assert await bench.cycle((1, vpn, LEVELS)) == level - 1, f"lost {vpn:#x} of level {level}"
            await bench.cycle((1, 0, LEVELS), invalidate=(1, tables[struck], 0))
            gone = {struck, struck ^ 1} if level == 1 and SV32 else {struck}
            for row, vpn in enumerate(tables):
                start = await bench.cycle((1, vpn, LEVELS))
                assert (start is None) == (row in gone), f"row {row} of level {level} after an invalidation in row {struck}: level {start}"
            await bench.cycle((1, 0, LEVELS), invalidate=(None, None, 0))
