"""FaultUnit: what a fault may wait for, and when it is refused instead of handed over. [docs/software-contract.md, Flags of a request]"""

import cocotb

from seqfault_golden.layout import Outcome, RequestFlag, VmaFlag

from .fault_case import (
    CHECKED,
    CLASSIC,
    CONFIG,
    FRAMES,
    FULL,
    ID,
    LIMIT,
    LOAD,
    OFFSET,
    PAGE,
    SPECULATIVE,
    STORE,
    Case,
    aborted,
    refused,
    software,
)

RETRY, TRIED, NOWAIT, ATOMIC = RequestFlag
ATOMIC_BOUND = 400
"""Cycles, with a bench that answers within some 40: no wait but for memory."""


async def case_with(dut, flags: int, policy: str = "spec", frames=FRAMES) -> Case:
    case = Case(dut, policy, frames)
    case.flags = int(flags)
    return await case.start()


@cocotb.test()
async def served_as_any_other(dut) -> None:
    """Flags change nothing where nothing has to be waited for."""
    for flags in (0, RETRY, RETRY | TRIED, RETRY | NOWAIT, ATOMIC, ATOMIC | RETRY | TRIED | NOWAIT):
        case = await case_with(dut, flags)
        await case.fault(STORE, FULL, SPECULATIVE, pa=FRAMES[0] << 12 | OFFSET)


@cocotb.test()
async def refused_without_a_page_request(dut) -> None:
    """What software would get is refused when the requester will not come back, or must not wait: no record, a cause, nothing left."""
    for flags in (0, TRIED, NOWAIT, ATOMIC, ATOMIC | RETRY):
        case = await case_with(dut, flags)
        case.vma.flags = int(VmaFlag.ANON | VmaFlag.READ)
        await case.fault(STORE, aborted("R0 R1-R6", Outcome.ACCESS, refused=True), refused(Outcome.ACCESS))
        case = await case_with(dut, flags, frames=[])
        await case.fault(STORE, aborted("R0 R1-R6 R7-R9", Outcome.POOL_EMPTY, refused=True), refused(Outcome.POOL_EMPTY))
        case = await case_with(dut, flags)
        case.world.find_outcome = Outcome.BUS_ERROR
        await case.fault(LOAD, aborted("R0 R1", Outcome.BUS_ERROR, refused=True), refused(Outcome.BUS_ERROR))


@cocotb.test()
async def atomic_never_parks(dut) -> None:
    """A locked table ends an attempt of an ATOMIC fault at once; after the last speculative one it is refused, within a bound."""
    case = await case_with(dut, ATOMIC | RETRY)
    case.commands.lock_table(case.world.table(0, PAGE))
    await case.bench.run(LIMIT, case.seen("PTE_LOCK"))
    began = case.bench.model.cycle
    case.commands.unlock_table(case.world.table(0, PAGE), after=lambda: bool(case.bench.model.answered))
    busy = aborted(f"R0 R1-R6 {CHECKED} R13", Outcome.PTL_BUSY)
    expected = " ".join([busy] * CONFIG.max_retries) + " ANSWER!PTL_BUSY"
    await case.fault(STORE, expected, refused(Outcome.PTL_BUSY))
    assert case.bench.model.cycle - began < ATOMIC_BOUND


@cocotb.test()
async def atomic_takes_no_mm_lock_after_speculation(dut) -> None:
    """A writer that stays: so many attempts, then a refusal, and the mm lock is not asked for."""
    case = await case_with(dut, ATOMIC)
    case.commands.sequence_begin(ID)
    await case.bench.run(LIMIT, case.seen("SEQ_BEGIN"))
    case.commands.sequence_end(ID, after=lambda: bool(case.bench.model.answered))
    odd = aborted("R0 R1-R2", Outcome.ODD)
    await case.fault(STORE, " ".join([odd] * CONFIG.max_retries) + " ANSWER!ODD", refused(Outcome.ODD))


@cocotb.test()
async def policy_mm_lock(dut) -> None:
    """The mm lock is taken if it is free; held by a writer, who must not wait is refused at once, and NOWAIT leaves a page request."""
    for flags in (ATOMIC, ATOMIC | RETRY, NOWAIT, NOWAIT | RETRY):
        case = await case_with(dut, flags, "mm-lock")
        await case.fault(STORE, f"MM_READ_LOCK {FULL} MM_READ_UNLOCK", CLASSIC)
        case = await case_with(dut, flags, "mm-lock")
        case.commands.mm_lock(0)
        await case.bench.run(LIMIT, case.seen("MM_LOCK"))
        began = case.bench.model.cycle
        case.commands.mm_unlock(0, after=lambda case=case: bool(case.bench.model.answered))
        handed = flags == NOWAIT | RETRY
        end = "HANDOVER!MM_BUSY ANSWER!MM_BUSY" if handed else "ANSWER!MM_BUSY"
        answer = software(Outcome.MM_BUSY) if handed else refused(Outcome.MM_BUSY)
        await case.fault(STORE, f"MM_READ_LOCK!MM_BUSY {end}", answer)
        assert case.bench.model.cycle - began < CONFIG.mm_lock_patience
