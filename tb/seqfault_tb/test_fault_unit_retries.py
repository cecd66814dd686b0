"""FaultUnit, one fault at a time: that are tried again, wait for locks, or meet writers. [docs/software-contract.md, Steps and outcomes]

Each test writes down the events it expects; `fault_model.py` checks all their fields, and what each step does to the other blocks.
"""

import cocotb

from seqfault_golden.layout import Outcome, VmaFlag

from .fault_case import CHECKED, CLASSIC, COMMIT, FRAMES, FULL, ID, LIMIT, LOAD, PAGE, RETRIED, SPECULATIVE, STORE, Case, aborted, software
from .fault_unit_top import TEST_CONFIG as CONFIG
from .fault_world import MALFORMED

# --- failures that are retried --------------------------------------------------------------------------------------


@cocotb.test()
async def writer_active(dut) -> None:
    """R2 meets an odd sequence."""
    case = await Case(dut).start()
    case.commands.sequence_begin(ID)
    case.commands.sequence_end(ID, after=case.seen("R1-R2!ODD"))
    await case.bench.run(LIMIT, case.seen("SEQ_BEGIN"))
    await case.fault(STORE, f"{aborted('R0 R1-R2', Outcome.ODD)} {FULL}", RETRIED)


@cocotb.test()
async def record_read_under_another_sequence(dut) -> None:
    """R2: the finder's sequence is not the current one."""
    case = await Case(dut).start()
    case.world.held.add("find")
    case.section(after=lambda: any("seq" in request for request in case.bench.pending["find_request"]))
    case.commands.software(case.world.held.clear)
    await case.fault(STORE, f"{aborted('R0 R1-R2', Outcome.CHANGED)} {FULL}", RETRIED)


@cocotb.test()
async def sequence_changes(dut) -> None:
    """R8, C1 and C3: a section of the VMA, or of one that shares its counter, begins just before; the frame and the lock are given back."""
    for before, steps, reason in (
        ("R1-R6", "R7-R8", Outcome.CHANGED),
        ("R7-R9", "R7-R9 R10-R11", Outcome.CHANGED_C1),
        ("R13", f"{CHECKED} R13 R14", Outcome.CHANGED_C3),
    ):
        for vma_id in (ID, ID + CONFIG.sequence_entries):
            for access in (STORE, LOAD):
                case = await Case(dut).start()
                case.commands.sequence_begin(vma_id, after=case.seen(before))
                case.commands.sequence_end(vma_id)
                await case.fault(access, f"{aborted(f'R0 R1-R6 {steps}', reason)} {FULL}", RETRIED)
    for vma_id in (ID + 1, ID - 1):
        case = await Case(dut).start()
        case.commands.sequence_begin(vma_id, after=case.seen("R13"))
        case.commands.sequence_end(vma_id)
        await case.fault(STORE, FULL, SPECULATIVE)


@cocotb.test()
async def invalidated_during_the_walk(dut) -> None:
    """C2: an invalidation of the page after the walk began."""
    attempt = aborted(f"R0 R1-R6 {CHECKED}", Outcome.WALK_C2)
    for space, vpn, mask, hit in (
        (0, PAGE, 0, True), (None, None, 0, True), (0, None, 0, True), (None, PAGE, 0, True), (0, PAGE ^ 1, 1, True),
        (0, PAGE ^ 0x100, 0x1FF, True), (1, PAGE, 0, False), (0, PAGE ^ 1, 0, False), (0, PAGE ^ 0x200, 0x1FF, False),
        (2, None, 0, False), (0, PAGE | 1 << 35, 0x1FF, False),
    ):  # fmt: skip
        case = await Case(dut).start()
        case.commands.invalidate(space=space, vpn=vpn, mask=mask, after=case.seen("R1-R6"))
        await case.fault(STORE, f"{attempt} {FULL}" if hit else FULL, RETRIED if hit else SPECULATIVE)
    for moment in ("R0", "R10-R12", "R13"):  # before the walk, or after the check
        case = await Case(dut).start()
        case.commands.invalidate(space=None, vpn=None, after=case.seen(moment))
        await case.fault(STORE, FULL, SPECULATIVE)


@cocotb.test()
async def entry_changed_during_the_walk(dut) -> None:
    """C4: a leaf entry in the page's line of eight changed after the walk began."""
    attempt = aborted(f"R0 R1-R6 {CHECKED} R13 R14-R15 R16", Outcome.RACED)
    for space, vpn, hit in ((0, PAGE, True), (0, PAGE ^ 7, True), (0, PAGE ^ 8, False), (1, PAGE, False)):
        case = await Case(dut).start()
        case.commands.change_leaf(space, vpn, lambda: None, after=case.seen("R1-R6"))
        await case.fault(STORE, f"{attempt} {FULL}" if hit else FULL, RETRIED if hit else SPECULATIVE)


@cocotb.test()
async def two_changes_in_one_cycle(dut) -> None:
    """C4: a change that is announced in the cycle of another fault's commit counts, too."""
    request = {"offset": 0, "space": 0, "access": int(STORE), "flags": 1, "port": 0}
    other, delays, together = PAGE ^ 0x100, range(8), []
    for delay in delays:
        case = await Case(dut).start()
        bench, world, commands = case.bench, case.world, case.commands
        cycles: dict[str, int] = {}

        def announced(case: Case = case, cycles: dict[str, int] = cycles) -> None:
            cycles["announced"] = case.bench.model.cycle
            case.bench.model.changed(0, other)

        world.held = {"write"}
        bench.faults.append(request | {"vpn": PAGE, "tag": 1})
        commands.software(lambda world=world: world.held.add("walk"), after=case.seen("R16-R17"))
        await bench.run(LIMIT, case.seen("R16-R17"))
        bench.faults.append(request | {"vpn": other, "tag": 2})
        commands.software(lambda world=world: world.held.discard("write"), after=case.seen("R1-R6", 2))
        commands.software(lambda: None, after=lambda bench=bench: any("write" in c.inbox for c, _ in bench.model.running.values()))
        commands.announce(0, other, announced, delay=delay)
        commands.software(world.held.clear)
        await bench.run(LIMIT, case.seen("R18"))
        committed = bench.model.cycle
        await bench.run(LIMIT)
        bench.check_at_rest()
        assert case.log.count("R16!RACED") == 1
        together.append(committed == cycles["announced"])
    assert any(together)


@cocotb.test()
async def table_locked(dut) -> None:
    """R13: parked until an unlock, and after `lock_rounds` of them without luck the attempt ends."""
    parked = "R13!PTL_WAIT R10-R12"
    for rounds in range(CONFIG.lock_rounds + 1):
        case = await Case(dut).start()
        table = case.world.table(0, PAGE)
        case.commands.lock_table(table)
        for turn in range(rounds):
            case.commands.unlock_table(table, after=case.seen("R13!PTL_WAIT", turn + 1))
            case.commands.lock_table(table)
        await case.bench.run(LIMIT, case.seen("PTE_LOCK"))
        last = rounds == CONFIG.lock_rounds
        case.commands.unlock_table(table, after=case.seen("R13!PTL_BUSY") if last else case.seen("R13!PTL_WAIT", rounds + 1))
        tries = f"R0 R1-R6 {CHECKED} " + f"{parked} " * (rounds if last else rounds + 1)
        expected = f"{aborted(tries + 'R13', Outcome.PTL_BUSY)} {FULL}" if last else tries + COMMIT
        await case.fault(STORE, expected, RETRIED if last else SPECULATIVE)


@cocotb.test()
async def parked_without_an_unlock(dut) -> None:
    """A parked fault takes no slot until a lock is released; one of another table wakes it too."""
    case = await Case(dut).start()
    table = case.world.table(0, PAGE)
    case.commands.lock_table(table)
    await case.bench.run(LIMIT, case.seen("PTE_LOCK"))
    case.commands.unlock_table(table, after=case.seen("R13!PTL_WAIT"), delay=400)
    await case.fault(STORE, f"R0 R1-R6 {CHECKED} R13!PTL_WAIT R10-R12 {COMMIT}", SPECULATIVE)


# --- retries, the mm lock, the other policies -----------------------------------------------------------------------


@cocotb.test()
async def classic_after_retries(dut) -> None:
    """After `max_retries` attempts the mm lock is taken, and the sequence is not looked at."""
    case = await Case(dut).start()
    case.commands.sequence_begin(ID)
    await case.bench.run(LIMIT, case.seen("SEQ_BEGIN"))
    case.commands.sequence_end(ID, after=case.seen("R18"))
    attempts = f"{aborted('R0 R1-R2', Outcome.ODD)} " * CONFIG.max_retries
    await case.fault(STORE, f"{attempts}MM_READ_LOCK {FULL} MM_READ_UNLOCK", CLASSIC)
    begins = [event["data"] >> 23 & 15 for event, name in zip(case.events, case.steps(), strict=True) if name == "R0"]
    assert begins == [0, 1, 2, 3 | 8]  # attempt, and in bit 3 classic


@cocotb.test()
async def never_more_than_eight_attempts(dut) -> None:
    """Even what is worth a retry goes to software after eight attempts."""
    case = await Case(dut).start()
    for attempt in range(9):
        case.commands.invalidate(space=0, vpn=PAGE, after=case.seen("R1-R6", attempt + 1))
    one = aborted(f"R0 R1-R6 {CHECKED}", Outcome.WALK_C2)
    expected = f"{one} " * 3 + f"MM_READ_LOCK {one} MM_READ_UNLOCK " * 5 + "HANDOVER!WALK_C2 ANSWER!WALK_C2"
    bench = case.bench
    bench.faults.append({"vpn": PAGE, "offset": 0, "space": 0, "access": 1, "flags": 1, "port": 0, "tag": 1})
    await bench.run(4 * LIMIT, lambda: bool(bench.model.answered))
    case.commands.queue.clear()
    await bench.run(LIMIT)
    bench.check_at_rest()
    assert " ".join(case.steps()) == expected
    assert [event["data"] >> 23 & 15 for event in case.events if event["first"] == 0] == [0, 1, 2, 11, 12, 13, 14, 15]
    assert bench.model.answered[0][1]["reason"] == Outcome.WALK_C2
    assert list(bench.model.pool) != FRAMES  # the frames went round
    assert sorted(bench.model.pool) == FRAMES


@cocotb.test()
async def mm_lock_is_busy(dut) -> None:
    """A reader waits for the mm lock between one and two times the patience, then software gets the fault."""
    for policy, before, attempt in (("mm-lock", "", 0), ("spec", f"{aborted('R0 R1-R2', Outcome.ODD)} " * CONFIG.max_retries, 3)):
        case = await Case(dut, policy).start()
        case.commands.mm_lock(0)
        case.commands.sequence_begin(ID)
        await case.bench.run(LIMIT, case.seen("SEQ_BEGIN"))
        case.commands.sequence_end(ID, after=case.seen("MM_READ_LOCK!MM_BUSY"))
        case.commands.mm_unlock(0)
        begun = case.bench.model.cycle
        await case.fault(STORE, f"{before}MM_READ_LOCK!MM_BUSY HANDOVER!MM_BUSY ANSWER!MM_BUSY", software(Outcome.MM_BUSY))
        waited = case.bench.model.cycle - begun
        assert CONFIG.mm_lock_patience <= waited < 2 * CONFIG.mm_lock_patience + 100 * (attempt + 1), waited


@cocotb.test()
async def mm_lock_is_released_in_time(dut) -> None:
    """A reader parked for the mm lock goes on when the writer has released it."""
    case = await Case(dut, "mm-lock").start()
    case.commands.mm_lock(0)
    case.commands.mm_unlock(0, delay=40)
    await case.bench.run(LIMIT, case.seen("MM_LOCK"))
    await case.fault(STORE, f"MM_READ_LOCK {FULL} MM_READ_UNLOCK", CLASSIC)
    assert case.log.index("MM_UNLOCK") < case.log.index("MM_READ_LOCK")


@cocotb.test()
async def mm_writer_waits_for_the_reader(dut) -> None:
    """A classic fault ends before MM.LOCK is given; a failure releases the mm lock too."""
    case = await Case(dut, "mm-lock").start()
    case.commands.mm_lock(0, after=case.seen("R0"))
    case.commands.mm_unlock(0)
    await case.fault(STORE, f"MM_READ_LOCK {FULL} MM_READ_UNLOCK", CLASSIC)
    assert case.log.index("MM_READ_UNLOCK") < case.log.index("MM_LOCK")
    case = await Case(dut, "mm-lock").start()
    case.vma.flags = int(VmaFlag.ANON | VmaFlag.READ)
    case.commands.mm_lock(0, after=case.seen("R0"))
    case.commands.mm_unlock(0)
    steps = "R0 R1-R6!ACCESS UNDO!ACCESS MM_READ_UNLOCK HANDOVER!ACCESS ANSWER!ACCESS"
    await case.fault(STORE, f"MM_READ_LOCK {steps}", software(Outcome.ACCESS))
    assert case.log.index("MM_READ_UNLOCK") < case.log.index("MM_LOCK")


@cocotb.test()
async def vma_lock_keeps_writers_out(dut) -> None:
    """Policy vma-lock: SEQ.BEGIN waits for the fault that holds the VMA, resolved or not; a writer that waits keeps new faults out."""
    case = await Case(dut, "vma-lock").start()
    case.section(after=case.seen("R1-R6"))
    await case.fault(STORE, FULL, SPECULATIVE)
    assert case.log.index("R18") < case.log.index("SEQ_BEGIN")
    case = await Case(dut, "vma-lock").start()
    case.world.walked = {"outcome": MALFORMED, "level": 1, "pte": 4}
    case.section(after=case.seen("R1-R6"))
    reason = Outcome.BAD_TABLE
    await case.fault(STORE, aborted("R0 R1-R6 R7", reason, final=True), software(reason))
    assert case.log.index("UNDO!BAD_TABLE") < case.log.index("SEQ_BEGIN")
    case = await Case(dut, "vma-lock").start()
    case.commands.sequence_begin(ID)
    case.commands.sequence_end(ID, after=case.seen("R1-R2!ODD"))
    await case.bench.run(LIMIT, case.seen("SEQ_BEGIN"))
    await case.fault(STORE, f"{aborted('R0 R1-R2', Outcome.ODD)} {FULL}", RETRIED)
