"""FaultUnit under load: many faults at once, random delays, and software that changes VMAs, tables, pages and locks meanwhile.

Every step is checked by `fault_model.py`, and that no context steps before what it waits for; `fault_load.py` has what must hold at the end,
whatever the order was: one answer for each fault within bounds, no frame lost or used twice, and every entry as the VMA of now gives it.
"""

from collections import Counter
from typing import Any

import cocotb

from .fault_load import CONFIG, FAULTS, LATENCY, MUTANT, SEED, Load


async def load(dut: Any, policy: str, must_see: set[str], *, runs: int = 2, **options: Any) -> None:
    """Runs with different seeds; together they must have seen these steps."""
    seen: Counter[str] = Counter()
    known_walks = waited = again = 0
    for run in range(runs):
        case = Load(dut, policy, SEED + run, **options)
        await case.bench.start(MUTANT)
        await case.run(FAULTS)
        seen += case.seen
        known_walks += case.bench.model.known_walks
        waited += case.bench.waited
        again += case.bench.model.came_back
    dut._log.info("steps: %s", dict(seen.most_common()))
    assert known_walks, "never seen: a miss's walk that still stood"
    assert must_see <= set(seen), f"never seen: {must_see - set(seen)}"
    assert runs == 1 or waited, "never seen: a context that found the TLBs or the released ring busy"
    assert runs == 1 or again, "never seen: a frame that came back after a copy"


COMMON = {
    "R18",
    "R7!MAPPED",
    "R16!RACED",
    "R10-R12!WALK_C2",
    "R1-R6!ACCESS",
    "MM_READ_LOCK",
    "R13!PTL_WAIT",
    "PAGE",
    "PAGE!NOT_CACHED",
    "PAGE!PAGE_BUSY",
    "FILL",
    "CLEAR",
    "FLUSH",
    "R17",
    "AROUND",
    "TABLE",
}
"""What any load of this kind meets; the rarer failures are in `test_fault_unit`, `test_fault_unit_pages` and `test_fault_unit_writes`."""


@cocotb.test()
async def speculative(dut) -> None:
    """Policy spec."""
    await load(dut, "spec", COMMON | {"R1-R2!ODD", "R1-R2!CHANGED", "R8!CHANGED"})


@cocotb.test()
async def vma_lock(dut) -> None:
    """Policy vma-lock."""
    await load(dut, "vma-lock", COMMON | {"R1-R2!ODD", "R1-R2!CHANGED"})


@cocotb.test()
async def mm_lock(dut) -> None:
    """Policy mm-lock: no writer comes between; C2 and C4 fail by other faults, A/D updates and needless invalidations only."""
    await load(dut, "mm-lock", COMMON | {"MM_READ_LOCK!MM_BUSY"})


@cocotb.test()
async def unzeroed_pool(dut) -> None:
    """The pool's frames hold what was there."""
    await load(dut, "spec", {"R18", "FILL", "TABLE"}, unzeroed=True)


@cocotb.test()
async def fast_memory(dut) -> None:
    """Everything answers at once: steps follow each other without a gap."""
    await load(dut, "spec", {"R18"}, runs=1, pace=1.0, accidents=0.0)


@cocotb.test()
async def answers_are_not_taken(dut) -> None:
    """The translator takes no answers for long: none is lost, and no more faults are taken than there is room for."""
    case = Load(dut, "spec", SEED, accidents=0.0)
    case.bench.answers_ready = 0.0
    await case.bench.start(MUTANT)
    case.bench.faults.extend(case.request(index) for index in range(6 * CONFIG.contexts))
    for _ in range(300 * CONFIG.contexts):
        await case.bench.cycle()
    assert case.bench.faults, "faults are taken without room for their answers"
    case.bench.answers_ready = 1.0
    await case.bench.run(LATENCY)
    case.bench.check_at_rest()
    assert len(case.bench.model.answered) == 6 * CONFIG.contexts
