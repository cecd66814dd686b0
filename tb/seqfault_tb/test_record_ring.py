"""RecordRing with memory: no record is lost or out of order, whatever the ring and the bus do."""

import os
from random import Random

import cocotb
from cocotb.triggers import FallingEdge

from seqfault_rtl.messages import ReleasedRecord

from .fields import pack
from .ring_bench import RingBench

SEED = int(os.environ.get("SEED", "1"))
BASE = 0x7_0000_0000
RECORD_BYTES = 16


class Bench(RingBench):
    """Software reads entries when the tail moves over them; they must be the records sent, in order."""

    def __init__(self, dut, rng: Random, **options) -> None:
        super().__init__(dut, "ring", rng, **options)
        self.sent: list[tuple[int, int]] = []
        self.read: list[tuple[int, int]] = []
        self.accepted = 0
        self.tail = 0
        self.head = 0
        self.checks.append(self._visible)

    def _visible(self) -> None:
        tail = int(self.port("tail").value)
        while self.tail != tail:
            address = self.base + self.tail * RECORD_BYTES
            entry = self.region.word(address), self.region.word(address + 8)
            expected = self.sent[len(self.read)]
            assert entry == expected, f"entry {self.tail} holds {entry}, expected {expected} (record {len(self.read)})"
            self.read.append(entry)
            self.tail = (self.tail + 1) % self.entries
        if self.dut.idle.value:
            assert len(self.read) == self.accepted, f"idle, but {self.accepted - len(self.read)} records are not in memory"
        self.accepted += int(self.dut.record__valid.value and self.dut.record__ready.value)

    def move_head(self, count: int) -> None:
        self.head = (self.head + count) % self.entries
        self.port("head").value = self.head

    async def record(self, limit: int = 5000) -> None:
        """Send one random record."""
        pte, vpn, space = self.rng.getrandbits(64), self.rng.getrandbits(48), self.rng.getrandbits(16)
        self.sent.append((pte, vpn | space << 48))
        await self.send("record", pack(ReleasedRecord, {"pte": pte, "vpn": vpn, "space": space}), limit)

    async def drained(self) -> None:
        await self.until(lambda: bool(self.dut.idle.value), "idle")
        await self.cycle()
        assert self.read == self.sent
        assert self.sent, "no record was sent"

    async def started(self) -> "Bench":
        await self.start("record__valid", "ring__head")
        return self


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def records_and_wrap(dut):
    """Random records round a small ring; software reads at random, so the ring is often full."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=2)

    async def software() -> None:
        while True:
            for _ in range(bench.rng.randrange(40)):
                await FallingEdge(dut.clk)
            bench.move_head(bench.rng.randrange((bench.tail - bench.head) % bench.entries + 1))

    task = cocotb.start_soon(software())
    for _ in range(120):
        await bench.record()
        await bench.cycle(bench.rng.choice((0, 0, 0, 5)))
    await bench.drained()
    task.cancel()
    assert bench.strobes["written"] == 120
    assert bench.strobes["overflow"] > 0, "the ring was never full"
    bench.checker.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def pipelined(dut):
    """Several records are under way at once, also over the second page of a large ring."""
    bench = await Bench(dut, Random(SEED), pause=0.0).started()
    bench.configure(base=BASE, log2_entries=9)
    for _ in range(300):
        await bench.record()
    await bench.drained()
    assert bench.strobes["overflow"] == 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_and_disabled(dut):
    """A full ring and a disabled one make records wait, visibly; then they go on."""
    bench = await Bench(dut, Random(SEED)).started()
    await bench.record()
    await bench.cycle(20)
    assert bench.strobes["overflow"] > 10
    assert bench.checker.addresses == 0, "written to a disabled ring"
    assert not dut.idle.value
    bench.configure(base=BASE, log2_entries=1)
    await bench.drained()
    for _ in range(2):
        await bench.record()
    before = bench.strobes["overflow"]
    await bench.cycle(100)
    assert bench.strobes["overflow"] > before + 50
    assert len(bench.read) == 1, "written over the last free entry"
    for _ in range(2):
        bench.move_head(1)
        await bench.cycle(60)
    await bench.drained()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def disabled_meanwhile(dut):
    """Turning the ring off finishes what is under way and keeps the rest; turning it on starts at entry 0."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=4)
    for _ in range(8):
        await bench.record()
    bench.configure(base=BASE, log2_entries=4, enable=False)
    await bench.cycle()
    await bench.until(lambda: not bench.port("busy").value, "busy falls")
    writes = bench.checker.addresses
    await bench.cycle(50)
    assert bench.checker.addresses == writes, "written after busy fell"
    bench.checks.remove(bench._visible)
    bench.configure(base=BASE + 0x1000, log2_entries=4)
    await bench.cycle(2)
    bench.tail = bench.head = 0
    bench.checks.append(bench._visible)
    for _ in range(3):
        await bench.record()
    await bench.drained()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_error(dut):
    """After a bus error everything stops; once software has cleared the bit, the records are written again from the failed one."""
    bench = await Bench(dut, Random(SEED)).started()
    bench.configure(base=BASE, log2_entries=5)
    bench.region.failing = {BASE + 3 * RECORD_BYTES + 8}
    faults = 0

    def stop() -> None:
        nonlocal faults
        if bench.strobes["memory_fault"] > faults:
            faults = bench.strobes["memory_fault"]
            bench.port("stop").value = 1

    bench.checks.append(stop)
    for _ in range(9):
        await bench.record()
    await bench.until(lambda: bool(bench.port("stop").value) and not bench.port("busy").value, "stopped")
    await bench.cycle(30)
    assert len(bench.read) == 3, f"{len(bench.read)} entries although the fourth failed"
    assert bench.strobes["memory_fault"] == 1
    bench.region.failing = set()
    bench.port("stop").value = 0
    await bench.drained()
    assert len(bench.read) == 9
