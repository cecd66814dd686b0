"""FaultQueue with memory: exact records, in order, visible before the tail; nothing makes a reporter wait, and what is dropped is counted."""

import os
from random import Random

import cocotb
from cocotb.triggers import FallingEdge

from .fault_queue_bench import BASE, BUFFER, RECORD_BYTES, FaultBench

SEED = int(os.environ.get("SEED", "1"))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def records_and_wrap(dut):
    """Random records round a small ring, software following: none is dropped."""
    bench = await FaultBench(dut, Random(SEED)).started(2)
    for number in range(60):
        await bench.report()
        await bench.until(lambda number=number: bench.found == number + 1, "the record is in memory")
        bench.head(bench.tail - bench.rng.randrange(3))
    await bench.quiet()
    assert (bench.found, bench.strobes["dropped"], bench.strobes["overflow"], bench.strobes["memory_fault"]) == (60, 0, 0, 0)
    bench.checker.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def large_ring(dut):
    """A ring over 4 KiB: the records of its second page are where they belong. Reports come in bursts as long as the buffer."""
    bench = await FaultBench(dut, Random(SEED), pause=0.0).started(8)
    for burst in range(12):
        for _ in range(BUFFER):
            await bench.report()
        await bench.until(lambda burst=burst: bench.found == BUFFER * (burst + 1), "the burst is in memory")
    await bench.quiet()
    assert bench.strobes["dropped"] == 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_and_stopped(dut):
    """The last entry stays free: the record behind is dropped and sets fqof; then all are, though there is room, until it is cleared."""
    bench = await FaultBench(dut, Random(SEED)).started(2)
    for _ in range(5):
        await bench.report()
    await bench.quiet()
    assert (bench.found, bench.strobes["overflow"], bench.strobes["dropped"]) == (3, 1, 2)
    bench.head(2)
    await bench.report()
    await bench.quiet()
    assert (bench.found, bench.strobes["overflow"], bench.strobes["dropped"]) == (3, 1, 3)
    bench.clear()
    await bench.cycle(2)
    await bench.report()
    await bench.quiet()
    assert (bench.found, bench.lost, bench.strobes["overflow"]) == (4, 3, 1)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def faster_than_memory(dut):
    """A report in every cycle: those that were buffered before the first was lost are written, then fqof is set and nothing is written."""
    bench = await FaultBench(dut, Random(SEED)).started(8)
    for _ in range(100):
        await bench.report()
    await bench.quiet()
    assert bench.strobes["overflow"] == 1
    assert BUFFER <= bench.found < 100
    assert bench.strobes["dropped"] == 100 - bench.found
    found = bench.found
    bench.clear()
    await bench.cycle(2)
    for _ in range(BUFFER):
        await bench.report()
    await bench.quiet()
    assert bench.found == found + BUFFER
    assert bench.strobes["overflow"] == 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def disabled(dut):
    """Off: nothing is written, all is counted, no sticky bit is set, and the unit is not busy; turning it on sets the tail to 0."""
    bench = await FaultBench(dut, Random(SEED)).started(3)
    for _ in range(3):
        await bench.report()
    await bench.quiet()
    bench.configure(base=BASE, log2_entries=3, enable=False)
    await bench.cycle()
    writes = bench.checker.addresses
    for _ in range(40):
        await bench.report()
        assert bench.port("busy").value == 0
    await bench.quiet()
    assert bench.checker.addresses == writes
    assert (bench.strobes["overflow"], bench.strobes["dropped"]) == (0, 40)
    assert int(bench.port("tail").value) == 3
    bench.checks.remove(bench._visible)
    bench.configure(base=BASE + 0x1000, log2_entries=3)
    await bench.cycle(2)
    bench.tail, bench.gap_allowed = 0, True
    bench.checks.append(bench._visible)
    await bench.report()
    await bench.quiet()
    assert int(bench.port("tail").value) == 1
    assert bench.lost == 40


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def disabled_meanwhile(dut):
    """Turned off with reports in the buffer: the record begun is finished, the others are dropped; busy until then, and a bounded time."""
    bench = await FaultBench(dut, Random(SEED)).started(6)
    for _ in range(30):
        await bench.report()
    bench.configure(base=BASE, log2_entries=6, enable=False)
    found = bench.found
    await bench.cycle()
    assert bench.port("busy").value == 1
    await bench.until(lambda: not bench.port("busy").value, "busy falls", 300)
    assert bench.found in (found, found + 1)
    await bench.quiet()
    assert bench.strobes["dropped"] == 30 - bench.found
    assert bench.strobes["overflow"] == 0
    bench.checks.remove(bench._visible)
    bench.configure(base=BASE, log2_entries=6)
    await bench.cycle(2)
    bench.tail, bench.gap_allowed = 0, True
    bench.checks.append(bench._visible)
    for _ in range(3):
        await bench.report()
    await bench.quiet()
    assert int(bench.port("tail").value) == 3
    assert bench.strobes["overflow"] == 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_error(dut):
    """An error on any of the four words: the tail stays, fqmf is set, the record and all after it are dropped until it is cleared."""
    bench = await FaultBench(dut, Random(SEED)).started(3)
    await bench.report()
    await bench.quiet()
    for number, word in enumerate((0, 8, 16, 24), start=1):
        bench.region.failing = {BASE + RECORD_BYTES + word}
        for _ in range(3):
            await bench.report()
        await bench.quiet()
        assert (bench.strobes["memory_fault"], bench.strobes["dropped"], bench.found) == (number, 3 * number, 1)
        bench.clear()
        await bench.cycle(2)
    bench.region.failing = set()
    await bench.report()
    await bench.quiet()
    assert (bench.found, bench.lost, bench.strobes["overflow"]) == (2, 12, 0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def random_reports(dut):
    """Bursts and pauses; software reads, and clears what is set, when it likes; words fail now and then. What is not found was counted."""
    bench = await FaultBench(dut, Random(SEED)).started(4)
    rng = bench.rng

    async def software() -> None:
        while True:
            for _ in range(rng.randrange(60)):
                await FallingEdge(dut.clk)
            bench.head(bench.tail - rng.randrange(2))
            bench.region.failing = {BASE + 8 * rng.randrange(64) for _ in range(rng.choice((0, 0, 4)))}
            if any(bench.sticky.values()) and rng.random() < 0.5:
                bench.clear()

    task = cocotb.start_soon(software())
    for _ in range(400):
        for _ in range(rng.choice((1, 3, 20))):
            await bench.report()
        await bench.cycle(rng.choice((0, 5, 100)))
    await bench.quiet()
    task.cancel()
    assert bench.found > 300
    assert min(bench.strobes[name] for name in ("dropped", "overflow", "memory_fault")) > 3
