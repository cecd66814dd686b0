"""Rings whose records must not be lost, on the engine's pins: released frames and completed SRCU calls wait for room, for memory, for software."""

import os
from collections.abc import Sequence
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from .error_bench import LOAD, NOWHERE, OK, RETRY, SPACE, ErrorBench
from .error_memory import ANON, FILE, PRIVATE
from .kernel import commands as cmd
from .queue_pins import QUEUES
from .test_engine_errors import CONFIG, MEMORY_FAULT, OVERFLOW, REFUSED, zap

SEED = int(os.environ.get("SEED", "7"))
WAITED, CALLS_REFUSED = 0x1010, 0x1020
RELEASED_FULL = 30
PPN_SHIFT, PPN_MASK = 10, (1 << 44) - 1
VPN_MASK = (1 << 48) - 1
BUFFERED = 8
"""Records that the writer of a ring has room for."""
ROOM = 3
"""Records that a ring of four entries holds."""


async def bench(dut: SimHandleBase, *off: str) -> ErrorBench:
    return await ErrorBench(dut, CONFIG, Random(SEED), pause=0.1).begin(*off)


def pages_of(records: list[tuple[int, ...]], first: int, frame: int) -> list[int]:
    """The pages that released records name, counted from `first`; each names its own frame."""
    pages = [(word1 & VPN_MASK) - first for _word0, word1 in records]
    assert [word0 >> PPN_SHIFT & PPN_MASK for word0, _word1 in records] == [frame + page for page in pages]
    assert {word1 >> 48 for _word0, word1 in records} <= {SPACE}
    return sorted(pages)


async def copy(pins: ErrorBench, pages: Sequence[int]) -> list[int]:
    """Stores, all at once; the pages whose store was answered OK, the others went to software."""
    answers = await pins.ask_all([PRIVATE + page for page in pages])
    await pins.forget("page request")
    done = [page for page, answer in zip(pages, answers, strict=True) if answer == (OK, 0)]
    assert all(answer in ((OK, 0), (RETRY, RELEASED_FULL)) for answer in answers), answers
    return done


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def released_ring(dut: SimHandleBase) -> None:
    """Nobody reads: copies on write are answered RELEASED_FULL when no place is left; then, each record comes once, and the stores succeed."""
    pins = await bench(dut)
    await pins.refused_base("released")
    assert await pins.ask_all([PRIVATE, PRIVATE + 16], LOAD) == [(OK, 0)] * 2  # and the pages around
    done = [page for first in range(0, 15, 3) for page in await copy(pins, range(first, first + 3))]
    await pins.expect("released", OVERFLOW, ROOM)
    assert len(done) == ROOM + BUFFERED
    waited = await pins.read_register(WAITED)
    assert waited > 0
    assert pages_of(await pins.drain("released", len(done)), PRIVATE, FILE) == done
    await pins.clear("released")
    rest = [page for page in range(15) if page not in done]
    assert await copy(pins, rest) == rest
    assert pages_of(await pins.drain("released", len(rest)), PRIVATE, FILE) == rest
    await pins.clear("released")
    await pins.expect("released", 0)
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def released_ring_errors(dut: SimHandleBase) -> None:
    """A bus error stops the ring, off and elsewhere and back it keeps its records: each is in memory once in the end."""
    pins = await bench(dut)
    assert await pins.ask_all([PRIVATE], LOAD) == [(OK, 0)]
    pins.region.fail("write", QUEUES["released"].address + 16 + 8)
    assert await copy(pins, range(3)) == [0, 1, 2]
    await pins.expect("released", MEMORY_FAULT, 1)
    await pins.interrupts("released", on=False)
    await pins.interrupts("released", on=True)
    assert await copy(pins, range(3, 6)) == [3, 4, 5]
    pins.repair()
    await pins.clear("released")
    assert pages_of(await pins.drain("released", 6), PRIVATE, FILE) == [0, 1, 2, 3, 4, 5]
    await pins.clear("released")
    await pins.expect("released", 0)
    await pins.turn_off("released")
    assert await copy(pins, range(6, 8)) == [6, 7]
    await pins.turn_on("released", NOWHERE)
    assert await copy(pins, range(8, 10)) == [8, 9]
    await pins.expect("released", MEMORY_FAULT | OVERFLOW, 0)
    await pins.turn_off("released")
    await pins.turn_on("released")
    assert pages_of(await pins.drain("released", 4), PRIVATE, FILE) == [6, 7, 8, 9]
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def removal_waits(dut: SimHandleBase) -> None:
    """A ZAP that finds the ring full waits, and so does its fence; requests do not; when it is read all go on."""
    pins = await bench(dut)
    pages = 15
    assert await pins.ask_all([ANON + page for page in range(pages)]) == [(OK, 0)] * pages
    frames = [pins.world.leaf(ANON + page) >> PPN_SHIFT & PPN_MASK for page in range(pages)]
    tail = await pins.post(*zap(pins, ANON, pages))
    await pins.expect("released", OVERFLOW, ROOM)
    await pins.pass_time(2000)
    assert pins.pointers().cq_head != tail
    assert await pins.ask(PRIVATE) == (OK, 0), "a store elsewhere"
    records = await pins.drain("released", pages)
    assert [(word0 >> PPN_SHIFT & PPN_MASK, word1 & VPN_MASK) for word0, word1 in records] == [(frames[page], ANON + page) for page in range(pages)]
    await pins.until(lambda: pins.pointers().cq_head == tail, "the end of the ZAP")
    await pins.clear("released")
    assert await pins.ask(ANON) == (OK, 0)
    await pins.expect("released", 0)
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def removal_that_fails(dut: SimHandleBase) -> None:
    """An entry whose 0 cannot be written is not given away until the ZAP is repeated; each comes once. (No event says so: golden looks away.)"""
    pins = await bench(dut, "released")
    await pins.turn_on("released", log2=6)
    assert await pins.ask_all([ANON + page for page in range(6)]) == [(OK, 0)] * 6
    frames = {pins.world.leaf(ANON + page) >> PPN_SHIFT & PPN_MASK for page in range(6)}
    pins.look_away()
    pins.region.fail("write", pins.world.entry(ANON + 2))
    commands = zap(pins, ANON, 6)
    before = pins.posted
    tail = await pins.post(*commands)
    await pins.pass_time(500)
    await pins.expect("command", MEMORY_FAULT, (before + 2) % 64)
    assert pins.world.leaf(ANON + 2), "the write has not failed"
    pins.repair()
    await pins.clear("command")
    await pins.until(lambda: pins.pointers().cq_head == tail, "the repetition")
    assert not any(pins.world.leaf(ANON + page) for page in range(6))
    await pins.expect("released", 0, 6)
    assert {pins.words("released", index)[0] >> PPN_SHIFT & PPN_MASK for index in range(6)} == frames


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def completion_ring(dut: SimHandleBase) -> None:
    """Nobody reads: calls are pending as many as can be, more are refused and counted, faults and commands go on; then all cookies come, in order."""
    pins = await bench(dut)
    await pins.refused_base("completion")
    kept = ROOM + BUFFERED + CONFIG.srcu_calls
    await pins.run(*[cmd.srcu_call(SPACE, cookie) for cookie in range(kept + 5)])
    await pins.expect("completion", OVERFLOW | REFUSED, ROOM)
    refused = await pins.read_register(CALLS_REFUSED)
    assert 5 <= refused <= kept, refused
    assert await pins.ask(ANON) == (OK, 0)
    found = await pins.drain("completion", kept + 5 - refused)
    cookies = [cookie for cookie, _where in found]
    assert cookies == sorted(set(cookies)), f"not in order, or twice: {cookies}"
    assert {where for _cookie, where in found} == {SPACE << 48}
    await pins.clear("completion")
    await pins.run(cmd.srcu_call(SPACE, 100))
    assert await pins.drain("completion", 1) == [(100, SPACE << 48)]
    await pins.expect("completion", 0)
    for cookie in cookies:
        pins.checker.srcu_completed(pins.cycle, cookie)
    pins.checker.srcu_completed(pins.cycle, 100)
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def completion_ring_errors(dut: SimHandleBase) -> None:
    """A bus error stops the ring; off and elsewhere and back it keeps its records: each cookie comes once in the end, and in order."""
    pins = await bench(dut)
    pins.region.fail("write", QUEUES["completion"].address + 16)
    await pins.run(*[cmd.srcu_call(SPACE, cookie) for cookie in range(3)])
    await pins.expect("completion", MEMORY_FAULT, 1)
    await pins.interrupts("completion", on=False)
    await pins.interrupts("completion", on=True)
    pins.repair()
    await pins.clear("completion")
    found = await pins.drain("completion", 3)
    await pins.expect("completion", 0)
    await pins.turn_off("completion")
    await pins.run(*[cmd.srcu_call(SPACE, cookie) for cookie in range(3, 5)])
    await pins.turn_on("completion", NOWHERE)
    await pins.run(cmd.srcu_call(SPACE, 5))
    await pins.expect("completion", MEMORY_FAULT | OVERFLOW, 0)
    assert await pins.ask(ANON) == (OK, 0)
    await pins.turn_off("completion")
    await pins.turn_on("completion")
    found += await pins.drain("completion", 3)
    assert found == [(cookie, SPACE << 48) for cookie in range(6)]
    for cookie in range(6):
        pins.checker.srcu_completed(pins.cycle, cookie)
    pins.finish()
