"""A bus error on every kind of access of a fault: it is answered, no frame is used twice, and the same request succeeds when memory answers again."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_rtl.config import PRESETS

from .error_bench import ALLOW_RETRY, FAULT, LOAD, OK, RETRY, STORE, ErrorBench
from .error_memory import ANON, FILE, HOLES, POOL, PRIVATE, ROOT_NODE, SHARED, TABLES, World
from .test_engine_errors import zap

SEED = int(os.environ.get("SEED", "7"))
CONFIG = replace(PRESETS["small"], svadu=True, srcu_calls=4)
BUS_ERROR = 16
R1, R7, R18, PAGE, FILL, FLUSH, AROUND, TABLE, AD_UPDATE = 1, 7, 18, 24, 25, 27, 28, 29, 45
PPN_SHIFT, PPN_MASK = 10, (1 << 44) - 1
POOL_FRAMES = 64
UNUSED_LEAF = FILE + 300 << PPN_SHIFT | 0x17
"""V, R, W and U, but A=0."""
NEXT = 2
"""A page beside the one that faults, in the same window."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An access to a page of `area`, after loads of it if `loaded`; the accesses at `where` (address, bytes) fail after the first `after`.

    `step` is the one that meets the error (None: the walk of the miss does); `status` and BUS_ERROR are the answer if software may come back.
    """

    area: int
    access: int = STORE
    loaded: bool = False
    kind: str
    where: Callable[[World, int], int]
    size: int = 8
    after: int = 0
    step: int | None = None
    status: int = RETRY


def _level(level: int) -> Callable[[World, int], int]:
    return lambda world, vpn: world.entry(vpn, level)


_leaf = _level(0)
CASES = {
    **{f"walk, level {level}": Case(area=ANON, kind="read", where=_level(level), status=FAULT) for level in range(4)},
    "walk of the fault": Case(area=PRIVATE, loaded=True, kind="read", where=_leaf, step=R7),
    "VMA node": Case(area=ANON, kind="read", where=lambda world, vpn: ROOT_NODE, step=R1),
    "VMA record": Case(area=ANON, kind="read", where=lambda world, vpn: world.record(vpn) + 24, step=R1),
    "inner node": Case(area=PRIVATE, access=LOAD, kind="read", where=World.inner, step=PAGE),
    "slot": Case(area=SHARED, access=STORE, kind="read", where=World.slot, step=PAGE),
    "commit": Case(area=ANON, kind="write", where=_leaf, step=R18),
    "commit of a file's page": Case(area=PRIVATE, access=LOAD, kind="write", where=_leaf, step=R18),
    "rights": Case(area=SHARED, loaded=True, kind="write", where=_leaf, step=FLUSH),
    "clear": Case(area=PRIVATE, loaded=True, kind="write", where=_leaf, step=FLUSH),
    "set": Case(area=PRIVATE, loaded=True, kind="write", where=_leaf, after=1, step=R18),
    "copy of a page of the cache, read": Case(
        area=PRIVATE, kind="read", where=lambda world, vpn: (FILE + vpn - PRIVATE << 12) + 0x7F8, step=FILL
    ),
    "copy on write, read": Case(area=PRIVATE, loaded=True, kind="read", where=lambda world, vpn: FILE + vpn - PRIVATE << 12, step=FILL),
    "copy, write": Case(area=PRIVATE, kind="write", where=lambda world, vpn: POOL << 12, size=POOL_FRAMES << 12, after=300, step=FILL),
    "around, entries": Case(area=PRIVATE, access=LOAD, kind="read", where=lambda world, vpn: _leaf(world, vpn + NEXT), step=AROUND, status=OK),
    "around, slots": Case(area=PRIVATE, access=LOAD, kind="read", where=lambda world, vpn: world.slot(vpn + NEXT), step=AROUND, status=OK),
    "around, writes": Case(area=PRIVATE, access=LOAD, kind="write", where=lambda world, vpn: _leaf(world, vpn + NEXT), step=AROUND, status=OK),
}  # fmt: skip
TABLE_CASES = {
    "table": Case(area=HOLES[0], kind="write", where=_level(1), step=TABLE),
    "zeroing": Case(area=HOLES[0], kind="write", where=lambda world, vpn: POOL << 12, size=POOL_FRAMES << 12, after=17, step=FILL),
    "zeroing of a page": Case(area=ANON, kind="write", where=lambda world, vpn: POOL << 12, size=POOL_FRAMES << 12, after=511, step=FILL),
}  # fmt: skip


async def go_through(pins: ErrorBench, name: str, case: Case, vpn: int, flags: int) -> None:
    """The request meets the error, is answered as `case` says, and succeeds the second time."""
    await pins.fresh()
    if case.loaded:
        assert await pins.ask(vpn, LOAD) == (OK, 0), name
    fault = pins.region.fail(case.kind, case.where(pins.world, vpn), case.size, after=case.after)
    pins.steps.clear()
    handed = pins.pointers().pq_tail
    answer = await pins.ask(vpn, case.access, flags)
    status = FAULT if case.status == RETRY and not flags else case.status
    assert answer == (status, BUS_ERROR if status != OK else 0), f"{name}, flags {flags}: {answer}"
    assert fault.met, f"{name}: memory was not asked there"
    met = {last for _first, last, outcome in pins.steps if outcome == BUS_ERROR} - {20, 19, 21}
    expected = set() if case.step is None else {case.step}
    assert (met & expected) == expected, f"{name}: BUS_ERROR at steps {met}, not {case.step}"
    assert (pins.pointers().pq_tail - handed) % 64 == (status == RETRY), f"{name}: no page request, or one too many"
    pins.repair()
    answer = await pins.ask(vpn, case.access)
    assert answer == (OK, 0), f"{name}: {answer} when memory answers again"


def expect_separate(pins: ErrorBench, pages: list[int]) -> None:
    """Each frame of the pool is in one entry at most, and what a failed write may have put into an entry is in none."""
    lost = {data >> PPN_SHIFT & PPN_MASK for address, data in pins.region.lost if TABLES <= address < ROOT_NODE}
    frames = [frame for vpn in pages if POOL <= (frame := pins.world.leaf(vpn) >> PPN_SHIFT & PPN_MASK) < POOL + POOL_FRAMES]
    assert len(frames) == len(set(frames)), "two pages have one frame"
    assert not lost & set(frames), "a frame that a failed write may have mapped is used again"
    assert len(frames) > len(pages) // 4


async def bench(dut: SimHandleBase, *, unzeroed: bool = False) -> ErrorBench:
    pins = await ErrorBench(dut, CONFIG, Random(SEED), pause=0.0, unzeroed=unzeroed).begin("page request")
    await pins.turn_on("page request", log2=6)
    await pins.turn_off("released")
    await pins.turn_on("released", log2=6)
    return pins


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def every_access(dut: SimHandleBase) -> None:
    """Each kind of access, for requests that software may repair and for those that nobody comes back for."""
    pins = await bench(dut)
    pages: list[int] = []
    for name, case in CASES.items():
        for flags in (ALLOW_RETRY, 0):
            pages.append(case.area + 16 * (len(pages) // 3) + len(pages) % 3 if case.area == ANON else case.area + 3 + 16 * (len(pages) % 32))
            await go_through(pins, name, case, pages[-1], flags)
            await pins.give_frames(1)
    expect_separate(pins, pages)
    pins.finish()
    cocotb.log.info(f"{pins.cycle} cycles, slowest answer {pins.slowest}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def tables_and_zeroing(dut: SimHandleBase) -> None:
    """Frames that the engine zeroes itself, and the tables that it makes of them."""
    pins = await bench(dut, unzeroed=True)
    pages: list[int] = []
    for number, (name, case) in enumerate(TABLE_CASES.items()):
        for turn, flags in enumerate((ALLOW_RETRY, 0)):
            pages.append(case.area + 512 * (2 * number + turn) * (case.area != ANON) + turn)
            await go_through(pins, name, case, pages[-1], flags)
            await pins.give_frames(2)
    expect_separate(pins, pages)
    pins.finish()
    cocotb.log.info(f"{pins.cycle} cycles, slowest answer {pins.slowest}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def update(dut: SimHandleBase) -> None:
    """An A/D update that cannot read the entry, or finds that memory has no exclusive access (as here), is refused; without the entry all is well."""
    pins = await ErrorBench(dut, CONFIG, Random(SEED)).begin("command")
    vpn = ANON + 40
    pins.write64(pins.world.entry(vpn), UNUSED_LEAF)
    await pins.turn_on("command")
    pins.adue = True
    for reads in (1, 2):  # that of the walk passes; then also that of the update
        await pins.fresh()
        fault = pins.region.fail("read", pins.world.entry(vpn), after=reads)
        pins.steps.clear()
        assert await pins.ask(vpn, LOAD) == (FAULT, BUS_ERROR)
        assert fault.met == (reads == 1)
        assert (AD_UPDATE, AD_UPDATE, BUS_ERROR) in pins.steps
        pins.repair()
        assert pins.world.leaf(vpn) == UNUSED_LEAF
    await pins.run(*zap(pins, vpn, 1))
    assert await pins.ask(vpn) == (OK, 0)
    assert pins.words("released", 0)[0] == UNUSED_LEAF
    pins.finish()
