"""Fault records on the engine's pins: one for each FAULT answer whatever it comes from, and no answer waits for the queue."""

import os
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from .fault_record_bench import COUNTED_WITHIN, FQMF, FQOF, KINDS, RecordBench

SEED, PORTS = int(os.environ.get("SEED", "7")), int(os.environ.get("PORTS", "2"))
QUEUE = 0x9000_0000
ELSEWHERE = 0xA000_0000
FIP, FAULT_WIRE = 1 << 1, 1 << 4
IPSR = 0x54
FAULT = 2
SETTLED = 1000
"""Cycles in which a few records are written."""
REFUSED = [name for name, kind in KINDS.items() if kind.status == FAULT]


async def bench(dut: SimHandleBase, pause: float = 0.3) -> RecordBench:
    return await RecordBench(dut, Random(SEED), ports=PORTS, pause=pause).begin()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def one_record_each(dut: SimHandleBase) -> None:
    """Every kind of refusal, alone and among others: the records are those of the FAULT answers, no more, no less, each once."""
    pins = await bench(dut)
    await pins.queue(QUEUE, 4)
    for name in KINDS:
        pins.ask(name)
        await pins.answered()
        await pins.records_complete()
        await pins.pass_time(COUNTED_WITHIN)
        await pins.read_records()
        pins.expect_exact(name)
    for _ in range(12):
        for _ in range(14):
            pins.ask(pins.random.choice(list(KINDS)))
        await pins.answered()
        await pins.records_complete()
    pins.expect_exact()
    assert await pins.errors() == 0
    assert await pins.dropped() == 0
    assert set(pins.counts) == set(KINDS)
    assert await pins.read_register(IPSR) == FIP
    assert int(dut.interrupts.value) == FAULT_WIRE
    pins.bus_checker.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def withdrawn(dut: SimHandleBase) -> None:
    """What a port withdraws is not answered, and has one record or none; what is asked afterwards has its own, and only that."""
    pins = await bench(dut)
    await pins.queue(QUEUE, 5)
    kept = 0
    for attempt in range(6):
        for _ in range(6):
            pins.ask(pins.random.choice(REFUSED))
        await pins.pass_time(20 + 25 * attempt)
        gone = await pins.withdraw()
        await pins.pass_time(SETTLED)
        await pins.read_records()
        extra = pins.found - pins.refused
        assert not extra - gone, f"not asked for, or twice: {extra - gone}"
        assert not pins.refused - pins.found, f"missing: {pins.refused - pins.found}"
        kept += extra.total()
        pins.found -= extra
        pins.ask("no table")
        await pins.answered()
        await pins.records_complete()
        pins.expect_exact()
    assert kept > 0, "nothing was withdrawn in time"
    assert (await pins.errors(), await pins.dropped()) == (0, 0)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def full_queue(dut: SimHandleBase) -> None:
    """Software does not read: three records fit, the others are dropped and counted, and every request is answered; later it goes on."""
    pins = await bench(dut)
    await pins.queue(QUEUE, 2)
    for number in range(3):
        for _ in range(3 + number):
            pins.ask(pins.random.choice(REFUSED))
        await pins.answered()
    await pins.pass_time(SETTLED)
    assert (await pins.errors(), await pins.dropped()) == (FQOF, 9)
    await pins.read_records()
    assert pins.found.total() == 3
    assert not pins.found - pins.refused, f"not asked for: {pins.found - pins.refused}"
    pins.ask("no table")
    await pins.answered()
    assert await pins.dropped() == 10, "a record was written after the gap, before software knew of it"
    await pins.clear()
    pins.ask("atomic")
    await pins.answered()
    await pins.records_complete()
    assert (pins.found.total(), await pins.errors(), await pins.dropped()) == (4, 0, 10)
    assert not pins.found - pins.refused


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def bus_error_on_a_record(dut: SimHandleBase) -> None:
    """The record is dropped, the tail stays, fqmf stops the queue, requests are answered; when it is cleared the queue goes on."""
    pins = await bench(dut)
    await pins.queue(QUEUE, 3)
    pins.region.failing.add(QUEUE + 32 + 16)
    for name in ("no table", "not canonical", "without flags"):
        pins.ask(name)
        await pins.answered()
        await pins.pass_time(SETTLED)
    await pins.records_complete()
    assert (pins.found.total(), await pins.errors(), await pins.dropped()) == (1, FQMF, 2)
    pins.region.failing.discard(QUEUE + 32 + 16)
    await pins.clear()
    pins.ask("bus error of a walk")
    await pins.answered()
    await pins.records_complete()
    assert (pins.found.total(), await pins.errors(), await pins.dropped()) == (2, 0, 2)
    assert not pins.found - pins.refused


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def base_nowhere(dut: SimHandleBase) -> None:
    """The base points to where nothing answers but with errors: all is answered, all is counted, and the queue can be moved."""
    pins = await bench(dut)
    pins.region.failing |= set(range(ELSEWHERE, ELSEWHERE + 4096, 8))
    await pins.queue(ELSEWHERE, 4)
    for _ in range(4):
        for _ in range(10):
            pins.ask(pins.random.choice(list(KINDS)))
        await pins.answered()
        await pins.pass_time(SETTLED)
        await pins.clear()
    await pins.pass_time(SETTLED)
    assert await pins.dropped() == pins.refused.total()
    await pins.queue_off()
    before = pins.refused.copy()
    pins.ask("no table")
    await pins.answered()
    assert await pins.dropped() == pins.refused.total(), "a record that finds the queue off is not counted"
    before = pins.refused.copy()
    await pins.queue(QUEUE, 4)
    pins.ask("atomic")
    await pins.answered()
    await pins.pass_time(SETTLED)
    await pins.read_records()
    assert pins.found == pins.refused - before


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def faster_than_memory(dut: SimHandleBase) -> None:
    """Refusals from all sources at once, as fast as they come: each is in memory or counted; with the gap fqof is set."""
    pins = await bench(dut, pause=0.05)
    await pins.queue(QUEUE, 8)
    for burst in range(8):
        before = await pins.dropped()
        for _ in range(80):
            pins.ask(pins.random.choice(("without flags", "atomic", "no table") if burst % 2 else REFUSED))
        await pins.answered()
        await pins.records_complete()
        lost = await pins.dropped() - before
        assert await pins.errors() == (FQOF if lost else 0)
        await pins.clear()
    assert pins.found.total() + await pins.dropped() == pins.refused.total()
    assert not pins.found - pins.refused, f"not asked for, or twice: {pins.found - pins.refused}"
    cocotb.log.info(f"{pins.found.total()} records, {await pins.dropped()} dropped, {pins.cycle} cycles")
