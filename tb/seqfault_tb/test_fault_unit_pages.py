"""FaultUnit, one fault at a time: every row of the table of frames, and why a fault is software's. [docs/software-contract.md, Frames; Page cache]

`fault_model.py` checks what is asked of the page lookup, the mover and the fault-around, that frames hold what they must when they are mapped,
and the SRCU side: one `enter` with the first R0, one `leave` at the end, with its bank.
"""

import cocotb

from seqfault_golden.layout import Outcome, RequestFlag, VmaFlag

from .fault_case import CLASSIC, FETCH, FRAMES, LOAD, PAGE, RWX, STORE, ZERO_FRAME, aborted, refused
from .fault_page_case import (
    AROUND,
    CLEARED,
    EXCLUSIVE,
    FILE,
    FRAME,
    FRAME_READY,
    PRIVATE,
    READ_ONLY,
    SET,
    SHARED,
    STAYS,
    UFFD_WP,
    WRITABLE,
    A,
    D,
    file_case,
    mapped_case,
    serve,
    to_software,
)

R7 = "R0 R1-R6 R7"
ANONYMOUS = int(VmaFlag.ANON | VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC)
OWN = FRAMES[0] << 10 | RWX | A | D | EXCLUSIVE
"""The entry of a store that got a frame of the pool."""

# --- the rows of the table ------------------------------------------------------------------------------------------


@cocotb.test()
async def load_of_a_file(dut) -> None:
    """The slot's frame, W=0, and the pages around; shared anonymous memory is a file, too."""
    for flags in (PRIVATE, SHARED, SHARED | VmaFlag.ANON):
        for access in (LOAD, FETCH):
            for slot in (FRAME_READY, FRAME_READY | WRITABLE):
                await serve(file_case(dut, flags, slot), access, f"{FILE} {AROUND}", FRAME << 10 | READ_ONLY)


@cocotb.test()
async def pages_around(dut) -> None:
    """The fault-around is told what bounds it, and what it has set is in the event."""
    case = file_case(dut)
    case.vma.start, case.vma.end = PAGE - 2, PAGE + 5
    case.world.slots = {case.world.slot_address(case.vma, page): (FRAME + page - PAGE << 10) | 3 for page in range(PAGE - 2, PAGE + 20)}
    case.world.entries[case.world.address(0, PAGE + 1)] = 0x5A << 10
    await serve(case, LOAD, f"{FILE} {AROUND}", FRAME << 10 | READ_ONLY)
    event = next(event for event in case.events if event["first"] == 28)
    set_pages = [page for page in range(PAGE & -16, (PAGE & -16) + 16) if event["data"] >> (page & 15) & 1]
    assert event["addr"] == case.world.address(0, PAGE & -16)
    assert set_pages == [PAGE - 2, PAGE - 1, PAGE + 2, PAGE + 3, PAGE + 4]


@cocotb.test()
async def no_pages_around(dut) -> None:
    """Not for a store, not for ATOMIC, and not where the VMA has userfaults."""
    await serve(file_case(dut, SHARED, FRAME_READY | WRITABLE), STORE, f"{FILE} {SET}", FRAME << 10 | RWX | A | D)
    for flag in (VmaFlag.UFFD, VmaFlag.UFFD_WP):
        await serve(file_case(dut, PRIVATE | flag), LOAD, f"{FILE} {SET}", FRAME << 10 | READ_ONLY)
    case = file_case(dut)
    case.flags = int(RequestFlag.ATOMIC)
    await serve(case, LOAD, f"{FILE} {SET}", FRAME << 10 | READ_ONLY)


@cocotb.test()
async def store_to_a_private_file(dut) -> None:
    """The slot's frame is copied (the model looks into the frame); the miss's walk is taken here, too."""
    for policy, steps, answer in (("spec", "{}", None), ("mm-lock", "MM_READ_LOCK {} MM_READ_UNLOCK", CLASSIC), ("vma-lock", "{}", None)):
        case = file_case(dut, policy=policy)
        await serve(case, STORE, steps.format(f"{FILE} FILL {SET}"), OWN, *([answer] if answer else []))
        assert case.bench.model.contents[FRAMES[0]] == ("of a process", FRAMES[0])
    case = await file_case(dut).start()
    await case.fault(STORE, f"{FILE} FILL {SET}", (0, 1, 0), walked=True)
    assert case.bench.model.known_walks == 1


@cocotb.test()
async def rights_are_added(dut) -> None:
    """The frame stays: what the access needs is added, what was there stays, one write and then the flush."""
    bare = FRAME << 10 | 0x11  # V, U
    kept = UFFD_WP | EXCLUSIVE | 1 << 5 | 2 << 61  # RSW, G and the memory type
    shared, writable = SHARED, FRAME_READY | WRITABLE
    for access, entry, flags, slot, after in (
        (LOAD, FRAME << 10 | READ_ONLY & ~A, ANONYMOUS, None, FRAME << 10 | READ_ONLY),
        (LOAD, bare, PRIVATE, None, FRAME << 10 | READ_ONLY),
        (LOAD, bare & ~0x10 | 2, shared, None, FRAME << 10 | READ_ONLY),
        (FETCH, bare | 2 | A | kept, ANONYMOUS, None, FRAME << 10 | READ_ONLY | kept),
        (LOAD, bare | 6 | D | kept, ANONYMOUS | VmaFlag.UFFD_WP, None, FRAME << 10 | RWX | A | D | kept),
        (STORE, FRAME << 10 | RWX, ANONYMOUS, None, FRAME << 10 | RWX | A | D),
        (STORE, FRAME << 10 | RWX | A | UFFD_WP, PRIVATE, None, FRAME << 10 | RWX | A | D | UFFD_WP),
        (STORE, FRAME << 10 | READ_ONLY | kept, ANONYMOUS, None, FRAME << 10 | RWX | A | D | kept),
        (STORE, FRAME << 10 | READ_ONLY | EXCLUSIVE, shared, None, FRAME << 10 | RWX | A | D | EXCLUSIVE),
        (STORE, FRAME << 10 | READ_ONLY, shared, writable, FRAME << 10 | RWX | A | D),
    ):
        looked = " PAGE" if slot else ""
        await serve(mapped_case(dut, entry, flags, slot), access, f"{R7}{looked} R8-R9 {STAYS}", after)
    case = mapped_case(dut, FRAME << 10 | RWX)  # the entry has X, the VMA (as software wants it from now on) has not
    case.vma.page_prot = RWX & ~8
    await serve(case, STORE, f"{R7} R8-R9 {STAYS}", FRAME << 10 | RWX | A | D)


@cocotb.test()
async def copy_on_write(dut) -> None:
    """Clear, flush, set; the old frame goes to the released ring. The zero frame is not copied, and not released."""
    for flags in (ANONYMOUS, PRIVATE, PRIVATE | VmaFlag.UFFD | VmaFlag.UFFD_MINOR | VmaFlag.UFFD_WP):
        for policy, steps in (("spec", "{}"), ("mm-lock", "MM_READ_LOCK {} MM_READ_UNLOCK")):
            old = FRAME << 10 | READ_ONLY
            case = mapped_case(dut, old, flags, policy=policy)
            answer = [CLASSIC] if policy == "mm-lock" else []
            await serve(case, STORE, steps.format(f"{R7} R8-R9 FILL {CLEARED}"), OWN, *answer)
            assert case.bench.model.released == [old]
        case = mapped_case(dut, ZERO_FRAME << 10 | READ_ONLY, flags)
        case.bench.released_pace = 0.0
        await serve(case, STORE, f"{R7} R8-R9 {CLEARED}", OWN)
        assert case.bench.model.released == []


@cocotb.test()
async def tables_are_made(dut) -> None:
    """From the highest missing level on, each like an entry of its own; the leaf follows in the same attempt."""
    one = f"R7 R8-R9 {SET.removesuffix(' R18')} TABLE"
    for levels in ((1,), (2,), (2, 1)):
        for access, leaf in ((LOAD, "R7-R9"), (STORE, "R7-R9")):
            case = file_case(dut, ANONYMOUS)
            world = case.world
            upper = [world.upper_address(0, PAGE, level) for level in levels]
            world.missing = set(upper)
            await case.start()
            await case.fault(access, f"R0 R1-R6 {' '.join([one] * len(levels))} {leaf} {SET}", (0, 1, 0))
            assert [world.entry(address) for address in upper] == [FRAMES[index] << 10 | 1 for index in range(len(levels))]
            frame, rights = (FRAMES[len(levels)], RWX | A | D | EXCLUSIVE) if access == STORE else (ZERO_FRAME, READ_ONLY)
            assert world.entry(world.address(0, PAGE)) == frame << 10 | rights
    case = file_case(dut)
    case.world.missing = {case.world.upper_address(0, PAGE, 1)}
    await case.start()
    await case.fault(STORE, f"R0 R1-R6 {one} R7 PAGE R8-R9 FILL {SET}", (0, 1, 0))


@cocotb.test()
async def unzeroed_pool(dut) -> None:
    """What is not copied into is zeroed: anonymous memory, and tables. The zero frame needs nothing."""
    made = "R7 R8-R9 FILL R10-R12 R13 R14-R15 R16-R17 TABLE"
    for entry, access, missing, expected in (
        (0, STORE, False, f"R0 R1-R6 R7-R9 FILL {SET}"),
        (0, LOAD, False, f"R0 R1-R6 R7-R9 {SET}"),
        (ZERO_FRAME << 10 | READ_ONLY, STORE, False, f"{R7} R8-R9 FILL {CLEARED}"),
        (FRAME << 10 | READ_ONLY, STORE, False, f"{R7} R8-R9 FILL {CLEARED}"),
        (FRAME << 10 | READ_ONLY | EXCLUSIVE, STORE, False, f"{R7} R8-R9 {STAYS}"),
        (0, STORE, True, f"R0 R1-R6 {made} R7-R9 FILL {SET}"),
    ):
        case = mapped_case(dut, entry)
        case.bench.model.unzeroed = True
        case.bench.model.contents = dict.fromkeys(FRAMES, "what software left there")
        case.world.missing = {case.world.upper_address(0, PAGE, 1)} if missing else set()
        await case.start()
        await case.fault(access, expected, (0, 1, 0))


# --- what is software's ---------------------------------------------------------------------------------------------


@cocotb.test()
async def page_is_not_there(dut) -> None:
    """PAGE: each reason, and their order."""
    address = 0x1234_5678
    for slot, reason in (
        (0, Outcome.NOT_CACHED),
        (FRAME_READY & ~1, Outcome.NOT_CACHED),
        (FRAME_READY & ~2, Outcome.NOT_CACHED),
        (FRAME_READY | 4, Outcome.PAGE_BUSY),
    ):
        for access in (LOAD, STORE):
            await to_software(file_case(dut, PRIVATE, slot), access, f"{R7} PAGE", reason)
            await to_software(file_case(dut, SHARED, slot), access, f"{R7} PAGE", reason)
    for found in (Outcome.NOT_CACHED, Outcome.BAD_TREE, Outcome.BUS_ERROR):
        case = file_case(dut)
        case.world.looked = {"outcome": found, "addr": address, "word": 0}
        await to_software(case, LOAD, f"{R7} PAGE", found)
    await to_software(file_case(dut, SHARED), STORE, f"{R7} PAGE", Outcome.NOT_WRITABLE)
    entry = FRAME << 10 | READ_ONLY
    for slot, reason in ((FRAME_READY, Outcome.NOT_WRITABLE), (FRAME_READY + 1024 | WRITABLE, Outcome.PRESENT), (0, Outcome.NOT_CACHED)):
        await to_software(mapped_case(dut, entry, SHARED, slot), STORE, f"{R7} PAGE", reason)


@cocotb.test()
async def userfaults(dut) -> None:
    """Of anonymous memory, of a page that is not in the cache, of one that is, and of a protected entry."""
    reason = Outcome.USERFAULT
    for access in (LOAD, STORE):
        await to_software(file_case(dut, ANONYMOUS | VmaFlag.UFFD), access, R7, reason)
        for slot in (0, FRAME_READY & ~2):
            await to_software(file_case(dut, PRIVATE | VmaFlag.UFFD, slot), access, f"{R7} PAGE", reason)
        await to_software(file_case(dut, PRIVATE | VmaFlag.UFFD_MINOR), access, f"{R7} PAGE", reason)
        await to_software(file_case(dut, PRIVATE | VmaFlag.UFFD_MINOR, 0), access, f"{R7} PAGE", Outcome.NOT_CACHED)
        await to_software(file_case(dut, PRIVATE | VmaFlag.UFFD_MINOR, FRAME_READY | 4), access, f"{R7} PAGE", Outcome.PAGE_BUSY)
    for bits in (0, EXCLUSIVE):
        entry = FRAME << 10 | READ_ONLY | UFFD_WP | bits
        await to_software(mapped_case(dut, entry, ANONYMOUS | VmaFlag.UFFD_WP), STORE, R7, reason)
        await to_software(mapped_case(dut, entry, SHARED | VmaFlag.UFFD_WP, FRAME_READY | WRITABLE), STORE, R7, reason)
    await serve(file_case(dut, ANONYMOUS | VmaFlag.UFFD_WP | VmaFlag.UFFD_MINOR), STORE, f"R0 R1-R6 R7-R9 {SET}", OWN)


@cocotb.test()
async def atomic(dut) -> None:
    """It gets what needs no copy, no zeroing and no table; the rest is refused."""
    old = FRAME << 10 | READ_ONLY
    for case, unzeroed, steps, reason in (
        (mapped_case(dut, old), False, R7, Outcome.PRESENT),
        (file_case(dut), False, f"{R7} PAGE", Outcome.PRESENT),
        (file_case(dut, ANONYMOUS), True, "R0 R1-R6 R7-R9", Outcome.POOL_EMPTY),
        (mapped_case(dut, ZERO_FRAME << 10 | READ_ONLY), True, f"{R7} R8-R9", Outcome.POOL_EMPTY),
    ):
        case.flags, case.bench.model.unzeroed = int(RequestFlag.ATOMIC), unzeroed
        await case.start()
        await case.fault(STORE, aborted(steps, reason, refused=True), refused(reason))
    for access in (LOAD, STORE):
        case = file_case(dut, ANONYMOUS)
        case.flags, case.world.missing = int(RequestFlag.ATOMIC), {case.world.upper_address(0, PAGE, 1)}
        await case.start()
        await case.fault(access, aborted(R7, Outcome.NO_TABLE, refused=True), refused(Outcome.NO_TABLE))
    for case, expected, entry in (
        (mapped_case(dut, ZERO_FRAME << 10 | READ_ONLY), f"{R7} R8-R9 {CLEARED}", OWN),
        (mapped_case(dut, old | EXCLUSIVE), f"{R7} R8-R9 {STAYS}", old | EXCLUSIVE | 4 | D),
        (file_case(dut, SHARED, FRAME_READY | WRITABLE), f"{FILE} {SET}", FRAME << 10 | RWX | A | D),
    ):
        case.flags = int(RequestFlag.ATOMIC)
        await serve(case, STORE, expected, entry)


@cocotb.test()
async def pool_is_empty(dut) -> None:
    """R9, wherever a frame is needed."""
    for case, missing, steps in (
        (file_case(dut), False, f"{R7} PAGE R8-R9"),
        (mapped_case(dut, FRAME << 10 | READ_ONLY), False, f"{R7} R8-R9"),
        (mapped_case(dut, ZERO_FRAME << 10 | READ_ONLY), False, f"{R7} R8-R9"),
        (file_case(dut, ANONYMOUS), True, f"{R7} R8-R9"),
    ):
        case.bench.hide_pool = True
        case.world.missing = {case.world.upper_address(0, PAGE, 1)} if missing else set()
        await to_software(case, STORE, steps, Outcome.POOL_EMPTY)
