"""FaultUnit, one fault at a time: that are resolved at once, and those that go to software. [docs/software-contract.md, Steps and outcomes]

Each test writes down the events it expects; `fault_model.py` checks all their fields, and what each step does to the other blocks.
"""

import cocotb

from seqfault_golden.layout import How, Outcome, Status, VmaFlag

from .fault_case import (
    CHECKED,
    COMMIT,
    FETCH,
    FRAMES,
    FULL,
    LOAD,
    OFFSET,
    PAGE,
    SPECULATIVE,
    STORE,
    ZERO_FRAME,
    Case,
    aborted,
    run_case,
    software,
)
from .fault_world import BUS_ERROR, LEAF, MALFORMED, NO_SPACE, NONE, RWX

# --- faults that are resolved ---------------------------------------------------------------------------------------


@cocotb.test()
async def write_fault(dut) -> None:
    """A store gets a frame of the pool; A, D and EXCLUSIVE are set, the rest is the template."""
    case = Case(dut)
    case.vma.page_prot = RWX | 1 << 5
    await case.start()
    await case.fault(STORE, FULL, SPECULATIVE, pa=FRAMES[0] << 12 | OFFSET)
    assert case.world.entries == {case.world.address(0, PAGE): FRAMES[0] << 10 | RWX | 1 << 5 | 0x1C0}
    assert list(case.bench.model.pool) == FRAMES[1:]


@cocotb.test()
async def read_faults(dut) -> None:
    """A load or fetch maps the shared zero frame without W and D, even with an empty pool and in a VMA that may only be written."""
    for access, hide_pool, flags in (
        (LOAD, False, VmaFlag.READ), (LOAD, True, VmaFlag.WRITE), (LOAD, True, VmaFlag.EXEC), (FETCH, False, VmaFlag.EXEC),
    ):  # fmt: skip
        case = Case(dut)
        case.vma.flags, case.vma.page_prot, case.bench.hide_pool = int(flags | VmaFlag.ANON), RWX | 0x80, hide_pool
        await case.start()
        await case.fault(access, FULL, SPECULATIVE, pa=ZERO_FRAME << 12 | OFFSET)
        assert case.world.entries == {case.world.address(0, PAGE): ZERO_FRAME << 10 | (RWX & ~4) | 0x40}
        assert list(case.bench.model.pool) == FRAMES


@cocotb.test()
async def walk_of_the_miss_is_taken(dut) -> None:
    """Nothing has changed since the miss's walk found the entry empty: no walk is made again."""
    for policy, expected, answer in (("spec", FULL, SPECULATIVE), ("vma-lock", FULL, SPECULATIVE)):
        case = Case(dut, policy)
        await case.start()
        await case.fault(STORE, expected, answer, pa=FRAMES[0] << 12 | OFFSET, walked=True)
        assert case.bench.model.known_walks == 1
        assert case.world.entries == {case.world.address(0, PAGE): FRAMES[0] << 10 | RWX | 0x1C0}


@cocotb.test()
async def walk_of_the_miss_is_too_old(dut) -> None:
    """A command came after the miss's walk: the fault walks again, and finds the entry that software has written."""
    case = Case(dut)
    case.world.held.add("find")
    case.commands.mm_lock(0, after=case.seen("R0"))
    case.commands.software(lambda: case.world.entries.update({case.world.address(0, PAGE): 1 << 8}))
    case.commands.mm_unlock(0)
    case.commands.software(case.world.held.clear)
    await case.start()
    await case.fault(STORE, aborted("R0 R1-R6 R7", Outcome.PRESENT, final=True), software(Outcome.PRESENT), walked=True)
    assert case.bench.model.known_walks == 0


@cocotb.test()
async def mapped_already(dut) -> None:
    """Somebody else mapped the page: answered from the entry, also within a superpage, and nothing is allocated."""
    steps = "R0 R1-R6 R7!MAPPED ANSWER!MAPPED"
    answer = (Status.OK, How.SPECULATIVE, Outcome.MAPPED)
    ppn = 0x123 << 27
    for level in range(4):
        within = (1 << 12 + 9 * level) - 1
        pa = ppn << 12 & ~within | (PAGE << 12 | OFFSET) & within
        for access in (LOAD, STORE, FETCH):
            await run_case(dut, access, steps, answer, pa=pa, walked={"outcome": LEAF, "level": level, "pte": ppn << 10 | RWX | 0xC0})
    pte = {"outcome": LEAF, "level": 1, "pte": ppn << 10 | RWX | 0xC0}
    locked = "MM_READ_LOCK R0 R1-R6 R7!MAPPED MM_READ_UNLOCK ANSWER!MAPPED"
    await run_case(dut, LOAD, locked, (Status.OK, How.CLASSIC, Outcome.MAPPED), policy="mm-lock", walked=pte)
    await run_case(dut, LOAD, steps, answer, policy="vma-lock", walked=pte)


# --- failures that go to software -----------------------------------------------------------------------------------


@cocotb.test()
async def lookup_fails(dut) -> None:
    for reason in (Outcome.NO_VMA, Outcome.BAD_TREE, Outcome.BUS_ERROR):
        await run_case(dut, STORE, aborted("R0 R1", reason, final=True), software(reason), find_outcome=reason)


@cocotb.test()
async def vma_refuses(dut) -> None:
    """R3, R5, R6: each reason alone, and their order."""
    base = VmaFlag.ANON | VmaFlag.READ | VmaFlag.WRITE
    for flag, reason in ((VmaFlag.GROWSDOWN, Outcome.UNSUPPORTED), (VmaFlag.HUGE, Outcome.HUGE)):
        steps = aborted("R0 R1-R3", reason, final=True)
        await run_case(dut, STORE, steps, software(reason), flags=int(base | flag), start=PAGE + 1)
    for bounds in ({"start": PAGE + 1}, {"end": PAGE}):
        steps = aborted("R0 R1-R5", Outcome.BOUNDS, final=True)
        await run_case(dut, STORE, steps, software(Outcome.BOUNDS), flags=int(VmaFlag.ANON), **bounds)
    await run_case(dut, LOAD, FULL, SPECULATIVE, start=PAGE, end=PAGE + 1, flags=int(base | VmaFlag.LOCKED))
    steps = aborted("R0 R1-R6", Outcome.ACCESS, final=True)
    for access, flags in ((STORE, VmaFlag.READ | VmaFlag.EXEC), (FETCH, VmaFlag.READ | VmaFlag.WRITE), (LOAD, VmaFlag.LOCKED)):
        await run_case(dut, access, steps, software(Outcome.ACCESS), flags=int(flags | VmaFlag.ANON))


@cocotb.test()
async def walk_fails(dut) -> None:
    read_only, clean, swapped = RWX & ~4 | 0xC0, RWX | 0x40, 0x5A5A << 10
    for reason, walked in (
        (Outcome.HUGE, {"outcome": LEAF, "level": 1, "pte": read_only}),
        (Outcome.HUGE, {"outcome": LEAF, "level": 0, "pte": clean | 8 << 10 | 1 << 63}),
        (Outcome.PRESENT, {"outcome": NONE, "level": 0, "pte": swapped}),
        (Outcome.PRESENT, {"outcome": NONE, "level": 1, "pte": swapped}),
        (Outcome.BAD_TABLE, {"outcome": MALFORMED, "level": 2, "pte": 4}),
        (Outcome.NO_TABLE, {"outcome": NO_SPACE, "level": 0, "pte": 0}),
        (Outcome.BUS_ERROR, {"outcome": BUS_ERROR, "level": 0, "pte": 0}),
    ):
        await run_case(dut, STORE, aborted("R0 R1-R6 R7", reason, final=True), software(reason), walked=walked)


@cocotb.test()
async def no_frame(dut) -> None:
    """R9: an empty pool is an answer, not a wait."""
    steps = aborted("R0 R1-R6 R7-R9", Outcome.POOL_EMPTY, final=True)
    await (await Case(dut, frames=()).start()).fault(STORE, steps, software(Outcome.POOL_EMPTY))


@cocotb.test()
async def commit_write_fails(dut) -> None:
    """A bus error of the commit: the lock is dropped, but the frame is not used again: nobody knows what the entry holds."""
    steps = aborted(f"R0 R1-R6 {CHECKED} {COMMIT}", Outcome.BUS_ERROR, final=True)
    for access, lost in ((STORE, 1), (LOAD, 0)):
        case = Case(dut)
        case.world.write_error = True
        await case.start()
        await case.fault(access, steps, software(Outcome.BUS_ERROR))
        assert len(case.bench.model.lost) == lost


@cocotb.test()
async def page_request_dropped(dut) -> None:
    """The answer names what happened to the page request."""
    for outcome in (Outcome.QUEUE_FULL, Outcome.BUS_ERROR):
        steps = f"R0 R1!NO_VMA UNDO!NO_VMA HANDOVER!{outcome.name} ANSWER!{outcome.name}"
        await run_case(dut, STORE, steps, software(outcome), vmas=[], queue_outcome=outcome)
