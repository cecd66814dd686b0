"""The reader's steps R0 to R7 and PAGE: begin, find the VMA, snapshot, walk, look the page up. [protocol.md 0.2; contract, Steps and outcomes]

Each function is one step of one fault. What the step reads from memory is an argument, so the same function serves a checker (what the engine
says that it read) and an explorer or a replay (what is there now). It makes the step's change and returns its outcome; after any other than OK
the attempt has failed. It raises `NotAllowed` when the protocol does not allow the step now.
"""

from ..layout import Outcome, VmaFlag, pte_ppn, walk_outcome
from ..page_cache import slot_ppn
from .plan import Plan, looks_up, page_outcome, plan_of
from .world import Fault, NotAllowed, Phase, Safeguard, World, classic_from, expect_phase, fail, is_final, keeps

__all__ = ["page", "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"]

_ANY_RIGHT = VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC
_NEEDED = (_ANY_RIGHT, VmaFlag.WRITE, VmaFlag.EXEC)
"""By `Access`: any of these flags allows it."""


def r0(world: World, fault: Fault) -> None:
    """ "eligible? [..] set SPECULATIVE". The mm lock is taken "as a reader after `max_retries` (3) speculative attempts".

    "(and always under policy mm-lock)" [contract, mm lock]
    """
    if fault.phase == Phase.IDLE:
        fault.attempt = 0
    elif fault.phase != Phase.UNDONE:
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    elif is_final(world, fault):
        raise NotAllowed(f"another attempt after {Outcome(fault.reason).name}, which is handed over")
    else:
        fault.attempt += 1
    fault.classic = fault.attempt >= classic_from(world) and keeps(world, Safeguard.MAX_RETRIES)
    if fault.classic and not fault.holds_read_lock:
        raise NotAllowed("a classic attempt without the mm lock of its space")
    fault.phase = Phase.R1


def r1(world: World, fault: Fault, found: Outcome, record: int, vma_id: int) -> Outcome:
    """ "find VMA in the index and pin it": the lookup `found` a record, or NO_VMA, BAD_TREE, BUS_ERROR."""
    expect_phase(fault, Phase.R1)
    if found != Outcome.OK:
        return fail(fault, found)
    fault.record, fault.id = record, vma_id
    fault.phase = Phase.R2
    return Outcome.OK


def r2(world: World, fault: Fault) -> Outcome:
    """ "seq := vma.vm_sequence (acquire); must be even"; under the mm lock it is not looked at. Policy vma-lock: "vma_start_read"."""
    expect_phase(fault, Phase.R2)
    seq = world.sequence(fault.id)
    if seq & 1 and not fault.classic and keeps(world, Safeguard.EVEN_SEQUENCE):
        return fail(fault, Outcome.ODD)
    fault.seq = seq
    fault.holds_vma = world.policy == "vma-lock" and not fault.classic
    fault.phase = Phase.R3
    return Outcome.OK


def r3(world: World, fault: Fault, vma_flags: int) -> Outcome:
    """ "type filter": "VMAs with GROWSDOWN are `UNSUPPORTED`, those with HUGE are `HUGE`"."""
    expect_phase(fault, Phase.R3)
    fault.vma_flags = vma_flags
    if vma_flags & (VmaFlag.HUGE | VmaFlag.GROWSDOWN):
        return fail(fault, Outcome.HUGE if vma_flags & VmaFlag.HUGE else Outcome.UNSUPPORTED)
    fault.phase = Phase.R4
    return Outcome.OK


def r4(world: World, fault: Fault, page_prot: int) -> None:
    """ "snapshot vma_flags, vma_page_prot (single-copy-atomic reads, each field read once)"; the flags came with R3."""
    expect_phase(fault, Phase.R4)
    fault.page_prot = page_prot
    fault.phase = Phase.R5


def r5(world: World, fault: Fault, covered: bool) -> Outcome:
    """ "bounds: vm_start <= addr < vm_end": the record that was read has the page."""
    expect_phase(fault, Phase.R5)
    if not covered:
        return fail(fault, Outcome.BOUNDS)
    fault.phase = Phase.R6
    return Outcome.OK


def r6(world: World, fault: Fault) -> Outcome:
    """ "permission test against the *snapshot* (write needs VM_WRITE; read needs any of R/W/X)"; a fetch needs EXEC."""
    expect_phase(fault, Phase.R6)
    if not fault.vma_flags & _NEEDED[fault.access]:
        return fail(fault, Outcome.ACCESS)
    fault.phase = Phase.R7
    return Outcome.OK


def r7(world: World, fault: Fault, level: int, address: int, entry: int, features: int = 0) -> Outcome:
    """ "walk every level with one read per entry; none/bad/huge at any level aborts; orig_pte := *pte": it ended at `entry` of `level`.

    A page that is mapped with the rights that the access needs is nobody's fault any more: MAPPED, which ends the fault well. Otherwise it is
    decided here how the fault is served. `features`: of the space, as in SPACE_TABLE.
    """
    expect_phase(fault, Phase.R7)
    fault.entry_address, fault.entry = address, entry
    outcome = walk_outcome(entry, level, fault.access, features)
    if outcome == Outcome.OK:
        outcome, fault.plan = plan_of(fault.access, fault.flags, fault.vma_flags, level, entry, world.zero_frame)
    if outcome == Outcome.MAPPED:
        fault.reason = outcome
        fault.holds_vma = False
        fault.phase = Phase.MAPPED
    elif outcome != Outcome.OK:
        fail(fault, outcome)
    else:
        fault.source = world.zero_frame if fault.plan == Plan.ZERO else pte_ppn(entry)
        fault.phase = Phase.PAGE if looks_up(fault.plan) else Phase.R8
    return outcome


def page(world: World, fault: Fault, found: Outcome, word: int) -> Outcome:
    """PAGE: the lookup in the page cache `found` a slot (OK) with this `word`, or NOT_CACHED, BAD_TREE, BUS_ERROR. [contract, Page cache]"""
    expect_phase(fault, Phase.PAGE)
    outcome = page_outcome(fault.plan, fault.access, fault.flags, fault.vma_flags, fault.entry, found, word)
    if outcome != Outcome.OK:
        return fail(fault, outcome)
    fault.source = slot_ppn(word)
    fault.phase = Phase.R8
    return outcome
