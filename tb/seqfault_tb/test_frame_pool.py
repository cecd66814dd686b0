"""FramePool with memory: every frame of the ring comes out once, frames given back come out again, nothing is read that is not there."""

import os
from random import Random

import cocotb
from cocotb.triggers import Timer

from .ring_bench import SETTLE_NS, RingBench

SEED = int(os.environ.get("SEED", "1"))
POOL_FRAMES = int(os.environ.get("POOL_FRAMES", "8"))
CONTEXTS = int(os.environ.get("CONTEXTS", "4"))
BASE = 0x5_0000_0000
ENTRY_BYTES = 8
PPN_BITS = 44
JUNK = (1 << 64) - 1
"""What entries hold that software has not filled."""


class Bench(RingBench):
    """Software fills the ring with frames of their own number; `free` are those that the engine may hand out."""

    def __init__(self, dut, rng: Random, **options) -> None:
        super().__init__(dut, "ring", rng, **options)
        self.tail = 0
        self.free: set[int] = set()
        self.out: list[int] = []
        self.handed_out = 0
        self.produced = 0

    async def started(self, log2_entries: int, enable: bool = True) -> "Bench":
        await self.start("take", "give", "give_frame", "ring__tail")
        for entry in range(1 << log2_entries):
            self.region.set_word(BASE + entry * ENTRY_BYTES, JUNK)
        self.configure(base=BASE, log2_entries=log2_entries, enable=enable)
        return self

    @property
    def head(self) -> int:
        return int(self.port("head").value)

    def produce(self, count: int) -> None:
        """Software puts up to `count` frames into the ring."""
        for _ in range(min(count, (self.head - self.tail - 1) % self.entries)):
            frame = (self.produced * 0x9E37_79B9 + 1) % (1 << PPN_BITS - 1)
            self.produced += 1
            self.region.set_word(self.base + self.tail * ENTRY_BYTES, frame)
            self.free.add(frame)
            self.tail = (self.tail + 1) % self.entries
        self.port("tail").value = self.tail

    async def step(self, *, take: bool = False, give: bool = False) -> bool:
        """One cycle with these operations, as far as they are possible; whether a frame was taken."""
        dut = self.dut
        await Timer(SETTLE_NS, unit="ns")
        take = take and bool(dut.available.value)
        give = give and bool(self.out)
        dut.take.value = take
        dut.give.value = give
        if take:
            frame = int(dut.frame.value)
            assert frame in self.free, f"frame {frame:#x} is not free (taken already, or never in the ring)"
            self.free.remove(frame)
        if give:
            back = self.out.pop(self.rng.randrange(len(self.out)))
            dut.give_frame.value = back
            self.free.add(back)
        if take:
            self.out.append(frame)
            self.handed_out += 1
        await self.cycle()
        dut.take.value = 0
        dut.give.value = 0
        return take

    async def take_all(self, limit: int = 3000) -> None:
        """Take frames for good until the engine has none left."""
        for _ in range(limit):
            await self.step(take=True)
            self.out.clear()
            if not self.free:
                return
        raise AssertionError(f"{len(self.free)} frames never came out of the pool")


async def random_life(bench: Bench, cycles: int) -> None:
    for _ in range(cycles):
        rng = bench.rng
        if rng.random() < 0.1:
            bench.produce(rng.randrange(12))
        kind = rng.random()
        await bench.step(take=kind < 0.3 and len(bench.out) < CONTEXTS, give=0.25 < kind < 0.4)
        if len(bench.out) == CONTEXTS or rng.random() < 0.1:
            bench.out = bench.out[1:]  # this frame was mapped: it never comes back


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def small_ring(dut):
    """Random takes and gives; the ring wraps many times."""
    bench = await Bench(dut, Random(SEED)).started(4)
    await random_life(bench, 3000)
    await bench.take_all()
    assert bench.produced > 10 * bench.entries, f"only {bench.produced} frames in the ring"
    assert bench.handed_out >= bench.produced
    assert bench.head == bench.tail
    bench.checker.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def large_ring(dut):
    """A ring of two pages, refilled by odd amounts: bursts end at pages and at the ring's end."""
    bench = await Bench(dut, Random(SEED), pause=0.1).started(10)
    for _ in range(400):
        bench.produce(bench.rng.choice((1, 3, 7, 30)))
        for _ in range(8):
            await bench.step(take=True)
        bench.out.clear()
    await bench.take_all()
    assert bench.produced > bench.entries
    bench.checker.finish()
    assert max(read["len"] for read in bench.checker.reads) == min(8, POOL_FRAMES // 2) - 1, "no burst of full length"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def room_for_all(dut):
    """No more than the pool's size is prefetched, and all contexts may give their frame back."""
    bench = await Bench(dut, Random(SEED)).started(8)
    bench.produce(200)
    await bench.until(lambda: bench.head == POOL_FRAMES, "prefetch")
    await bench.cycle(100)
    assert bench.head == POOL_FRAMES, f"{bench.head} frames prefetched"
    for _ in range(CONTEXTS):
        await bench.until(lambda: bool(dut.available.value), "a frame")
        assert await bench.step(take=True)
    await bench.until(lambda: bench.head > POOL_FRAMES + CONTEXTS - min(8, POOL_FRAMES // 2), "refill")
    await bench.cycle(100)
    for _ in range(CONTEXTS):
        await bench.step(give=True)
    taken = 0
    for _ in range(4):
        taken += await bench.step(take=True)
    assert taken == 4
    bench.out.clear()
    await bench.take_all()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def disabled(dut):
    """Nothing is read from a disabled ring, the pool is empty but still takes frames back; enabling starts at entry 0."""
    bench = await Bench(dut, Random(SEED)).started(4, enable=False)
    bench.produce(10)
    await bench.cycle(60)
    assert bench.region.reads == 0
    assert not dut.available.value
    bench.out.append(0x123)
    await bench.step(give=True)
    await bench.cycle(3)
    assert await bench.step(take=True)
    bench.configure(base=BASE, log2_entries=4)
    await bench.take_all()
    assert bench.head == 10
    bench.configure(base=BASE, log2_entries=4, enable=False)
    await bench.cycle(2)
    bench.tail = 0
    bench.port("tail").value = 0
    bench.configure(base=BASE, log2_entries=4)
    await bench.cycle(3)
    assert bench.head == 0
    bench.out.clear()
    bench.produce(5)
    await bench.take_all()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def bus_error(dut):
    """The head stays at the failed entry, the frames before it are good; after the bit is cleared nothing is lost or doubled."""
    bench = await Bench(dut, Random(SEED)).started(5)
    for failing in (2, 13):
        bench.region.failing = {BASE + failing * ENTRY_BYTES}
        bench.produce(20)
        before = bench.strobes["memory_fault"]
        for _ in range(400):
            await bench.step(take=True)
            if bench.strobes["memory_fault"] > before:
                bench.port("stop").value = 1
        assert bench.strobes["memory_fault"] == before + 1
        assert bench.head == failing, f"head at {bench.head}, not at the failed entry"
        assert not dut.available.value
        assert not bench.port("busy").value
        bench.region.failing = set()
        bench.port("stop").value = 0
        await bench.until(lambda: bool(dut.available.value), "frames after the error")
    await bench.take_all()
    assert bench.head == bench.tail
