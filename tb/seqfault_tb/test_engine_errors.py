"""What can be wrong with each queue and ring, on the engine's pins: full, misplaced, bus errors, off, moved; requests are answered all the same."""

import os
from dataclasses import replace
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS

from .error_bench import FAULT, FENCED, LOAD, NOWHERE, OK, RETRY, SPACE, ErrorBench
from .error_memory import ANON, PRIVATE
from .kernel import commands as cmd
from .queue_pins import COMMANDS, QUEUES

SEED = int(os.environ.get("SEED", "7"))
CONFIG = replace(PRESETS["small"], svadu=True, srcu_calls=4)
MEMORY_FAULT, OVERFLOW, REFUSED, ILLEGAL, FENCE_DONE = 1 << 8, 1 << 9, 1 << 10, 1 << 10, 1 << 11
POOL_EMPTY, BUS_ERROR, QUEUE_FULL, NO_VMA = 15, 16, 18, 1
DROPPED = 0x1008
UNMAPPED = 0x0800_0000
"""A page of no VMA: software's."""
PPN_SHIFT, PPN_MASK = 10, (1 << 44) - 1
SETTLED = 500
"""Cycles in which the commands posted here run into their error."""
WRONG = "wrong", 127, 0


async def bench(dut: SimHandleBase, *off: str) -> ErrorBench:
    return await ErrorBench(dut, CONFIG, Random(SEED), pause=0.1).begin(*off)


def zap(pins: ErrorBench, vpn: int, count: int) -> list[cmd.Command]:
    """The whole of an unmapping in the anonymous VMA."""
    vma = pins.world.ids[ANON]
    return [
        cmd.mm_lock(SPACE), cmd.sequence_begin(SPACE, vma), cmd.zap(SPACE, vpn, count), *cmd.invalidate_range(SPACE, vpn, count),
        cmd.sequence_end(SPACE, vma), cmd.mm_unlock(SPACE), cmd.fence(FENCED, 2, True),
    ]  # fmt: skip


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def command_queue(dut: SimHandleBase) -> None:
    """It stops at the command that is wrong or cannot be read or done, requests go on; it goes on from there, or from 0 where it is put."""
    pins = await bench(dut)
    harmless = cmd.invalidate_page(SPACE, ANON)
    await pins.refused_base("command")
    before = pins.posted
    await pins.post(harmless, harmless, WRONG, harmless)
    await pins.expect("command", ILLEGAL, before + 2)
    await pins.interrupts("command", on=False)
    await pins.interrupts("command", on=True)
    assert await pins.ask(ANON) == (OK, 0)
    pins.region.set_word(COMMANDS + 16 * (before + 2), harmless[1])
    await pins.clear("command")
    await pins.expect("command", 0, before + 4)
    for read in (3, 7):  # a word of a command that is read in one burst with others
        failing = COMMANDS + 16 * (pins.posted + read // 2) + 8 * (read % 2)
        pins.region.fail("read", failing)
        before = pins.posted
        await pins.post(*[harmless] * 6)
        await pins.expect("command", MEMORY_FAULT, before + read // 2)
        assert await pins.ask(ANON + read) == (OK, 0)
        pins.repair()
        await pins.clear("command")
        await pins.expect("command", 0, before + 6)
    await pins.post(*[WRONG] * 3)
    await pins.expect("command", ILLEGAL)
    await pins.turn_off("command")
    await pins.turn_on("command", NOWHERE)
    await pins.write(QUEUES["command"].index, 3)
    await pins.expect("command", MEMORY_FAULT, 0)
    assert await pins.ask(ANON + 1) == (OK, 0)
    await pins.turn_off("command")
    await pins.turn_on("command")
    await pins.post(*[harmless] * 63)  # as many as the ring holds
    await pins.until(lambda: pins.pointers().cq_head == 63, "a full queue")
    await pins.run(("IOFENCE.C with WSI", 2 | 1 << 11, 0))
    await pins.expect("command", FENCE_DONE, 0)
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def commands_that_fail(dut: SimHandleBase) -> None:
    """A bus error of what a command reads or writes: cqmf, the head stays, and the same command succeeds afterwards."""
    pins = await bench(dut, "released")
    await pins.turn_on("released", log2=6)
    vma, pages = pins.world.ids[ANON], [ANON + index for index in range(10)]
    assert await pins.ask_all(pages) == [(OK, 0)] * 10
    failures = [
        ("read", pins.world.entry(ANON, 2), zap(pins, ANON, 2)), ("read", pins.world.entry(ANON + 3), zap(pins, ANON, 4)),
        ("write", FENCED + 8, [cmd.fence(FENCED + 8, 77, True)]),
        ("read", pins.world.entry(ANON + 5), [cmd.mm_lock(SPACE), cmd.sequence_begin(SPACE, vma), cmd.protect(SPACE, ANON + 4, 4, 1)]),
    ]  # fmt: skip
    for kind, address, commands in failures:
        await pins.fresh()
        fault = pins.region.fail(kind, address)
        place = next(index for index, command in enumerate(commands) if command[0] in ("ZAP", "PROTECT", "IOFENCE.C"))
        before = pins.posted
        await pins.post(*commands)
        await pins.pass_time(SETTLED)
        await pins.expect("command", MEMORY_FAULT, (before + place) % 64)
        assert fault.met
        assert await pins.ask(PRIVATE + before, LOAD) == (OK, 0)
        pins.repair()
        await pins.clear("command")
        await pins.run()
    await pins.run(cmd.sequence_end(SPACE, vma), cmd.mm_unlock(SPACE))
    assert pins.region.word(FENCED + 8) == 77
    assert [pins.world.leaf(vpn) & 1 for vpn in pages] == [0] * 4 + [1] * 6
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def page_requests(dut: SimHandleBase) -> None:
    """Records that find the queue full, stopped, off or without memory are dropped and counted; each request is answered, and why."""
    pins = await bench(dut)
    await pins.refused_base("page request")
    answers = await pins.ask_all([UNMAPPED + index for index in range(5)])
    assert sorted(answers) == [(RETRY, NO_VMA)] * 3 + [(RETRY, QUEUE_FULL)] * 2
    await pins.expect("page request", OVERFLOW, 3)
    await pins.interrupts("page request", on=False)
    await pins.interrupts("page request", on=True)
    await pins.write(QUEUES["page request"].index, 3)
    assert await pins.ask(UNMAPPED) == (RETRY, QUEUE_FULL), "a record behind the gap, before software knew of it"
    assert await pins.read_register(DROPPED) == 3
    await pins.clear("page request")
    assert await pins.ask(UNMAPPED + 9) == (RETRY, NO_VMA)
    word0, word1 = pins.words("page request", 3)
    assert (word0 & 31, word0 >> 12 & 0xFFFFF, word1 >> 12, word1 & 7) == (NO_VMA, SPACE, UNMAPPED + 9, 0b110)
    pins.region.fail("write", QUEUES["page request"].address + 8)
    assert await pins.ask(UNMAPPED) == (RETRY, BUS_ERROR)
    await pins.expect("page request", MEMORY_FAULT, 0)
    assert await pins.ask(UNMAPPED) == (RETRY, QUEUE_FULL)
    pins.repair()
    await pins.clear("page request")
    assert await pins.ask(UNMAPPED) == (RETRY, NO_VMA)
    await pins.expect("page request", 0, 1)
    await pins.turn_off("page request")
    assert await pins.ask(UNMAPPED) == (RETRY, QUEUE_FULL), "off"
    await pins.turn_on("page request", NOWHERE)
    assert sorted(await pins.ask_all([UNMAPPED] * 2)) == [(RETRY, BUS_ERROR), (RETRY, QUEUE_FULL)]
    await pins.expect("page request", MEMORY_FAULT, 0)
    assert await pins.ask(UNMAPPED, flags=0) == (FAULT, NO_VMA), "what has no record is not held up"
    assert await pins.ask(ANON) == (OK, 0)
    await pins.turn_off("page request")
    await pins.turn_on("page request")
    assert await pins.ask(UNMAPPED) == (RETRY, NO_VMA)
    await pins.expect("page request", 0, 1)
    assert await pins.read_register(DROPPED) == 8
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def free_frames(dut: SimHandleBase) -> None:
    """Frames that cannot be read are no frames: POOL_EMPTY at once; each that was read is used once, whatever happens to the ring."""
    pins = await bench(dut, "free")
    assert await pins.ask(ANON) == (RETRY, POOL_EMPTY), "off"
    await pins.turn_on("free", NOWHERE)
    await pins.write(QUEUES["free"].index, 20)
    await pins.expect("free", MEMORY_FAULT, 0)
    assert await pins.ask(ANON) == (RETRY, POOL_EMPTY)
    await pins.forget("page request")
    assert await pins.ask(ANON + 1, LOAD) == (OK, 0), "the zero frame is none of the pool's"
    await pins.turn_off("free")
    await pins.turn_on("free")
    await pins.refused_base("free")
    pins.region.fail("read", QUEUES["free"].address + 8 * 2)
    await pins.give_frames(6)
    await pins.expect("free", MEMORY_FAULT, 2)
    await pins.interrupts("free", on=False)
    await pins.interrupts("free", on=True)
    assert sorted(await pins.ask_all(range(ANON + 16, ANON + 20))) == [(OK, 0)] * 2 + [(RETRY, POOL_EMPTY)] * 2
    pins.repair()
    await pins.forget("page request")
    await pins.clear("free")
    await pins.expect("free", 0, 6)
    assert await pins.ask_all(range(ANON + 32, ANON + 36)) == [(OK, 0)] * 4
    await pins.give_frames(4)
    await pins.pass_time(100)
    await pins.turn_off("free")
    assert sorted(await pins.ask_all(range(ANON + 48, ANON + 53))) == [(OK, 0)] * 4 + [(RETRY, POOL_EMPTY)], "frames read before"
    await pins.turn_on("free")
    await pins.expect("free", 0, 0)
    await pins.give_frames(12)
    assert await pins.ask_all(range(ANON + 64, ANON + 70)) == [(OK, 0)] * 6
    frames = [frame for vpn in range(ANON + 2, ANON + 80) if (frame := pins.world.leaf(vpn) >> PPN_SHIFT & PPN_MASK)]
    assert len(frames) == len(set(frames)) == 2 + 4 + 4 + 6
    pins.finish()
