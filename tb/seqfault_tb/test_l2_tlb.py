"""L2Tlb: every cycle of random traffic against its model, and what it must keep, which a model of hints cannot say, by itself."""

from random import Random

import cocotb

from .l2_bench import LEVELS, SETS, SIZES, SPACES, WAYS, L2Bench
from .l2_model import ADDRESS_PAGE_BITS, MASK_BITS, Leaf, Record

RESULT_AFTER_FILL = 4
"""A fill is found by a lookup that many cycles later."""
G_BIT, V_AND_RIGHTS = 5, 0xDF
VPN_BITS = 9 * LEVELS


def extend(vpn: int) -> int:
    """The topmost translated bit to all bits above it."""
    vpn &= (1 << VPN_BITS) - 1
    return vpn | ((1 << ADDRESS_PAGE_BITS) - (1 << VPN_BITS) if vpn >> (VPN_BITS - 1) else 0)


def random_leaf(rng: Random, space: int, vpn: int, *, size: int | None = None, flags: int | None = None) -> Leaf:
    """A leaf with everything random that a walk can return."""
    size = rng.choice(sorted(SIZES)) if size is None else size
    ppn = rng.getrandbits(44) >> MASK_BITS[size] << MASK_BITS[size] | (8 if size == 1 else 0)
    flags = V_AND_RIGHTS & ~(1 << G_BIT) | rng.getrandbits(1) << G_BIT if flags is None else flags
    pte = flags | rng.getrandbits(2) << 8 | ppn << 10 | rng.randrange(3) << 61 | (size == 1) << 63
    return Leaf(space=space, vpn=vpn, size=size, pte=pte)


class Traffic:
    """Few spaces and pages, so that they meet; the pages share superpages of every size, sets, and differ in every bit."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.spaces = rng, [0, 1, SPACES - 1]
        base = rng.getrandbits(VPN_BITS)
        self.pages = [extend(base), *(extend(base ^ 1 << bit) for bit in rng.sample(range(VPN_BITS), 12))]

    def space(self) -> int:
        return self.rng.choice(self.spaces) if self.rng.random() < 0.95 else SPACES + self.rng.choice(self.spaces)

    def lookup(self) -> tuple[int, int]:
        vpn = self.rng.choice(self.pages)
        if self.rng.random() < 0.1:
            vpn ^= 1 << self.rng.randrange(VPN_BITS, ADDRESS_PAGE_BITS)
        return self.space(), vpn

    def fill(self) -> Leaf:
        vpn, flags = self.rng.choice(self.pages), self.rng.choice((None, None, self.rng.getrandbits(8)))
        size = self.rng.randrange(7) if self.rng.random() < 0.1 else None
        return random_leaf(self.rng, self.space(), vpn, size=size, flags=flags)

    def record(self) -> Record:
        vpn = None if self.rng.random() < 0.1 else self.rng.choice(self.pages)
        mask = self.rng.choice((0, 0, 1, (1 << self.rng.randrange(VPN_BITS)) - 1))
        return Record(space=self.rng.choice((*self.spaces, *self.spaces, None)), vpn=vpn, mask=0 if vpn is None else mask)


@cocotb.test()
async def random_traffic(dut) -> None:
    """Every strobe at random, many in the same cycle. Invalidations come only where it is not busy."""
    bench = L2Bench(dut, seed=1)
    await bench.start()
    rng = bench.rng
    for lookups, fills, invalidations in ((0.5, 0.3, 0.01), (0.9, 0.5, 0.005), (0.3, 0.5, 0.3), (0.2, 0.1, 0.05)):
        traffic = Traffic(rng)
        for _ in range(2000):
            strobes = {"lookup": (traffic.lookup, lookups), "fill": (traffic.fill, fills), "invalidate": (traffic.record, invalidations)}
            if bench.model.busy:
                del strobes["invalidate"]
            await bench.cycle(**{name: make() for name, (make, rate) in strobes.items() if rng.random() < rate})
    assert bench.hits > 300, f"only {bench.hits} hits"
    assert bench.misses > 500, f"only {bench.misses} misses"


@cocotb.test()
async def invalidations_are_exact(dut) -> None:
    """What was there before an invalidation is there after it, unless it is covered; and it takes as long as its record says."""
    bench = L2Bench(dut, seed=2)
    await bench.start()
    rng = bench.rng
    kept = lost = 0
    for round_ in range(48):
        traffic = Traffic(rng)
        traffic.spaces = traffic.spaces[:2]
        leaves = {leaf.key: leaf for leaf in (random_leaf(rng, rng.choice(traffic.spaces), page) for page in traffic.pages * 2)}
        for leaf in leaves.values():
            await bench.hold(leaf)
        there = [leaf for leaf in leaves.values() if await found(bench, leaf)]
        record = Record(space=rng.choice((*traffic.spaces, None)), vpn=None) if round_ % 4 == 0 else traffic.record()
        await bench.cycle(invalidate=record)
        busy = await bench.idle()
        assert busy == record.busy_cycles(SETS), f"busy for {busy} cycles with {record}"
        for leaf in there:
            still = await found(bench, leaf)
            assert still != record.covers(leaf), f"{record} {'left' if still else 'took'} {leaf}"
            kept, lost = kept + still, lost + (not still)
        await bench.cycle(invalidate=Record())
        await bench.idle()
    assert kept > 50, f"only {kept} leaves were to be kept"
    assert lost > 50, f"only {lost} leaves were to be lost"


async def found(bench: L2Bench, leaf: Leaf) -> bool:
    """This leaf is there; another size that holds its page does not count."""
    hit = await bench.hits_now(leaf.space, leaf.vpn)
    return hit and int(bench.dut.size.value) == leaf.size


@cocotb.test()
async def fill_meets_invalidation(dut) -> None:
    """For each distance between a fill and a matching invalidation: what came first, or was under way, is gone; what came later is there."""
    bench = L2Bench(dut, seed=3)
    await bench.start()
    space, vpn = 3 % SPACES, extend(0x123456789AB >> 1)
    strike = Record(space=space, vpn=vpn)
    busy = strike.busy_cycles(SETS)
    for size in sorted(SIZES):
        for distance in range(-busy - 2, 6):
            fill = random_leaf(bench.rng, space, vpn, size=size, flags=V_AND_RIGHTS)
            for time in range(busy + 12):
                await bench.cycle(fill=fill if time == busy + 2 else None, invalidate=strike if time == busy + 2 + distance else None)
            await bench.idle()
            hit = await bench.hits_now(space, vpn)
            assert hit == (distance < -busy), f"size {size}: invalidation {distance} cycles after the fill: hit is {hit}"
            await bench.cycle(invalidate=Record())
            await bench.idle()


@cocotb.test()
async def fill_is_found_soon(dut) -> None:
    """Four cycles after the fill; later by the lookups that take its cycles."""
    bench = L2Bench(dut, seed=4)
    await bench.start()
    for disturbed in range(2, 8):
        leaf = random_leaf(bench.rng, 1, extend(0x42 + disturbed))
        await bench.cycle(fill=leaf)
        for time in range(1, disturbed + RESULT_AFTER_FILL):
            await bench.cycle(lookup=(1, extend(0x7)) if time < disturbed else None)
        assert await bench.hits_now(leaf.space, leaf.vpn), f"not there after {disturbed} cycles with lookups"


@cocotb.test()
async def nothing_stands_or_hits_while_busy(dut) -> None:
    """A result that nothing covers is withdrawn all the same, lookups miss until the sweep is over, and hit again then."""
    bench = L2Bench(dut, seed=5)
    await bench.start()
    page = extend(0x155)
    for size in sorted(SIZES):
        leaf = random_leaf(bench.rng, 1, page, size=size)
        await bench.hold(leaf)
        for record in (Record(space=0, vpn=page), Record(space=0, vpn=page, mask=7), Record(space=0)):
            assert await bench.hits_now(1, page)
            assert await bench.cycle(invalidate=record), "the result was withdrawn too soon"
            for _ in range(record.busy_cycles(SETS)):
                assert not await bench.cycle(lookup=(1, page)), "hit while busy"
            assert not await bench.cycle(lookup=(1, page)), "hit by a lookup while busy"
            assert await bench.cycle(), "lost an entry that was not covered"


@cocotb.test()
async def invalidation_while_busy_covers_all(dut) -> None:
    """Not to be done, but nothing stale may come of it."""
    bench = L2Bench(dut, seed=6)
    await bench.start()
    for delay in range(3):
        leaves = [random_leaf(bench.rng, 1, extend(0x1000 + 1 << 9 * level)) for level in range(LEVELS)]
        for leaf in leaves:
            await bench.hold(leaf)
        await bench.cycle(invalidate=Record(space=0, vpn=0))
        for _ in range(delay):
            await bench.cycle()
        await bench.cycle(invalidate=Record(space=1, vpn=leaves[0].vpn))
        assert await bench.idle() == Record().busy_cycles(SETS)
        for leaf in leaves:
            assert not await bench.hits_now(leaf.space, leaf.vpn)


@cocotb.test()
async def reset_forgets(dut) -> None:
    """The memory keeps its content over a reset; it is swept before anything can hit."""
    bench = L2Bench(dut, seed=7)
    await bench.start()
    leaves = [random_leaf(bench.rng, 1, extend(0x777 * (1 << size)), size=size) for size in sorted(SIZES)]
    for leaf in leaves:
        await bench.hold(leaf)
        assert await bench.hits_now(leaf.space, leaf.vpn)
    await bench.reset()
    while bench.model.busy:
        await bench.cycle(lookup=(1, leaves[0].vpn))
    for leaf in leaves:
        assert not await bench.hits_now(leaf.space, leaf.vpn), f"{leaf} is there after reset"


@cocotb.test()
async def working_set_fits(dut) -> None:
    """As many consecutive 4 KiB pages as there are entries, and 16 of every other size, are all held; also after some were replaced."""
    bench = L2Bench(dut, seed=8)
    await bench.start()
    for size in sorted(SIZES):
        count = SETS * WAYS if size == 0 else 16
        pages = [extend(index << MASK_BITS[size]) for index in range(count)]
        for page in (*pages, *pages[::-2]):
            await bench.hold(random_leaf(bench.rng, 1, page, size=size))
        for page in pages:
            assert await bench.hits_now(1, page), f"page {page:#x} of size {size} was lost"
        await bench.cycle(invalidate=Record())
        await bench.idle()
