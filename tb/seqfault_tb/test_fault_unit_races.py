"""FaultUnit: what comes between the steps of faults of all kinds: writers, hardware's A/D updates, and other faults. [protocol.md 0.2, R8 to R17]

`fault_model.py` checks at each write that memory has what the fault saw there.
"""

import cocotb

from seqfault_golden.layout import Outcome, RequestFlag

from .fault_case import FRAMES, LIMIT, LOAD, PAGE, RETRIED, RWX, STORE, Case, aborted
from .fault_page_case import (
    AROUND,
    CLEARED,
    EXCLUSIVE,
    FILE,
    FRAME,
    FRAME_READY,
    READ_ONLY,
    SET,
    SHARED,
    STAYS,
    WRITABLE,
    A,
    D,
    file_case,
    mapped_case,
    without_table,
)

R7 = "R0 R1-R6 R7"
COPY = f"{R7} R8-R9 FILL"
OLD = FRAME << 10 | READ_ONLY
REQUEST = {"offset": 0, "space": 0, "access": int(STORE), "flags": int(RequestFlag.ALLOW_RETRY), "port": 0}
TABLE = f"R7 R8-R9 {SET.removesuffix(' R18')} TABLE"


PLANS = {
    "load of a file": (lambda dut: file_case(dut), LOAD, f"{FILE} {AROUND}"),
    "store to a private file": (lambda dut: file_case(dut), STORE, f"{FILE} FILL {SET}"),
    "store to a shared file": (lambda dut: mapped_case(dut, OLD, SHARED, FRAME_READY | WRITABLE), STORE, f"{R7} PAGE R8-R9 {STAYS}"),
    "copy on write": (lambda dut: mapped_case(dut, OLD), STORE, f"{COPY} {CLEARED}"),
    "rights": (lambda dut: mapped_case(dut, FRAME << 10 | RWX), STORE, f"{R7} R8-R9 {STAYS}"),
    "table": (without_table, STORE, f"R0 R1-R6 {TABLE} R7-R9 {SET}"),
}
CHECKERS = {"R8-R9": ("R7-R8", Outcome.CHANGED), "R10-R12": ("R10-R11", Outcome.CHANGED_C1), "R14-R15": ("R14", Outcome.CHANGED_C3)}


@cocotb.test()
async def vma_changes(dut) -> None:
    """A section after each step up to the lock: the next check of the sequence ends the attempt, and the next attempt is served."""
    for plan, access, steps in PLANS.values():
        every = steps.split()
        for index, moment in enumerate(every[: every.index("R14-R15")]):
            if moment in ("R0", *every[:index]):
                continue
            checker = next(step for step in every[index + 1 :] if step in CHECKERS)
            failed, reason = CHECKERS[checker]
            failed = failed.replace("R7-R8", "R8")
            case = await plan(dut).start()
            case.section(after=case.seen(moment))
            first = aborted(" ".join([*every[: every.index(checker)], failed]), reason)
            await case.fault(access, f"{first} {steps}", RETRIED)


@cocotb.test()
async def page_is_invalidated(dut) -> None:
    """C2 after each step up to the check."""
    for plan, access, steps in PLANS.values():
        every = steps.split()
        for moment in every[1 : every.index("R10-R12")]:
            case = await plan(dut).start()
            case.commands.invalidate(space=0, vpn=PAGE, after=case.seen(moment))
            await case.fault(access, f"{aborted(' '.join(every[: every.index('R10-R12') + 1]), Outcome.WALK_C2)} {steps}", RETRIED)


@cocotb.test()
async def entry_changes(dut) -> None:
    """C4: software's change, or an A/D update by hardware, after the walk."""
    for plan, access, steps in PLANS.values():
        every = steps.split()
        write = "CLEAR" if "CLEAR" in every else "R16"
        failed = aborted(" ".join([*every[: every.index("R14-R15") + 1], write]), Outcome.RACED)
        for moment in every[1 : every.index("R10-R12")]:
            for change in ("change_leaf", "update_leaf"):
                case = await plan(dut).start()
                getattr(case.commands, change)(0, PAGE, lambda: None, after=case.seen(moment))
                await case.fault(access, f"{failed} {steps}", RETRIED)


async def race(case: Case, pages: list[int], access: int) -> list[str]:
    """Two faults: the second finds its page and walks while the writes of the first are held. Returns its steps."""
    bench, world = case.bench, case.world
    world.held = {"write", "around"}
    bench.faults.append(REQUEST | {"vpn": pages[0], "tag": 1, "access": access})
    await bench.run(LIMIT, lambda: any(step in case.log for step in ("R16-R17", "CLEAR")))
    first = len(case.log)
    bench.faults.append(REQUEST | {"vpn": pages[1], "tag": 2, "access": access})
    await bench.run(LIMIT, case.seen("R13!PTL_WAIT"))
    world.held.clear()
    await bench.run(LIMIT)
    bench.check_at_rest()
    assert [answer["status"] for _, answer in bench.model.answered] == [0, 0]
    return case.log[first:]


@cocotb.test()
async def two_make_one_table(dut) -> None:
    """C4 of upper entries: the second takes the table of the first, whatever page it is for; in another space nothing has happened."""
    for other in (PAGE, PAGE + 1, PAGE ^ 0x100):
        case = await without_table(dut).start()
        log = await race(case, [PAGE, other], int(STORE))
        assert (log.count("TABLE"), log.count("R16!RACED")) == (1, 1 + (other == PAGE and "R7!MAPPED" not in log))
        assert case.world.entry(case.world.upper_address(0, PAGE, 1)) == FRAMES[0] << 10 | 1


@cocotb.test()
async def neighbours_in_a_window(dut) -> None:
    """The second fault walked before the first mapped its page: RACED, then MAPPED; beyond the window, or unmappable, it goes its own way."""
    for other, slot, raced in ((PAGE ^ 1, 3, 1), (PAGE ^ 12, 3, 1), (PAGE ^ 16, 3, 0)):
        case = await file_case(dut).start()
        case.world.slots[case.world.slot_address(case.vma, other)] = (FRAME + 1) << 10 | slot
        log = await race(case, [PAGE, other], int(LOAD))
        assert (log.count("R16!RACED"), log.count("R7!MAPPED")) == (raced, raced)
        assert case.world.entry(case.world.address(0, other)) == FRAME + 1 << 10 | READ_ONLY
    case = await file_case(dut).start()
    assert "R7!MAPPED" in await race(case, [PAGE, PAGE], int(LOAD))


@cocotb.test()
async def walk_of_a_neighbours_miss(dut) -> None:
    """A miss's walk that found the entry empty before the fault-around mapped it is not taken."""
    case = await file_case(dut).start()
    bench, world = case.bench, case.world
    world.slots[world.slot_address(case.vma, PAGE ^ 1)] = (FRAME + 1) << 10 | 3
    world.held = {"around"}
    bench.faults.append(REQUEST | {"vpn": PAGE, "tag": 1, "access": int(LOAD), "walked": False})
    await bench.run(LIMIT, case.seen("R16-R17"))
    bench.faults.append(REQUEST | {"vpn": PAGE ^ 1, "tag": 2, "access": int(LOAD), "walked": True})
    world.held.add("find")
    await bench.run(LIMIT, case.seen("R0", 2))
    world.held.discard("around")
    await bench.run(LIMIT, case.seen("R18"))
    world.held.clear()
    await bench.run(LIMIT)
    bench.check_at_rest()
    assert case.log[-2:] == ["R7!MAPPED", "ANSWER!MAPPED"]
    assert bench.model.known_walks == 0


@cocotb.test()
async def copied_by_both(dut) -> None:
    """Two stores to one page whose frame is shared: one maps its copy, and its flush is C2 of the other, that finds the page mapped then."""
    case = await mapped_case(dut, OLD).start()
    log = await race(case, [PAGE, PAGE], int(STORE))
    assert (log.count("R10-R12!WALK_C2"), log.count("R7!MAPPED")) == (1, 1)
    assert (case.bench.model.released, list(case.bench.model.used)) == ([OLD], FRAMES[1:2])
    assert case.world.entry(case.world.address(0, PAGE)) == FRAMES[0] << 10 | RWX | A | D | EXCLUSIVE
