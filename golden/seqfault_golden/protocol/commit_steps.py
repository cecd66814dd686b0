"""The reader's steps R8 to R18: allocate, check, lock, commit. [protocol.md 0.2; contract, Steps and outcomes]

The functions follow the rules of `find_steps`: the step's change and its outcome, or `NotAllowed`.
"""

from collections.abc import Iterable

from ..layout import (
    PTE_A,
    PTE_D,
    PTE_EXCLUSIVE,
    PTE_RIGHTS,
    PTE_U,
    PTE_V,
    PTE_W,
    Access,
    Outcome,
    RequestFlag,
    pte_ppn,
)  # fmt: skip
from .plan import Plan, clears, copies, fault_around, takes_frame, zeroes
from .world import Fault, NotAllowed, NotYet, Phase, Safeguard, World, expect_phase, fail, keeps

__all__ = [
    "around", "clear", "fill", "flush", "installed_pte", "needs_frame", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18",
    "table",
]  # fmt: skip

_TEMPLATE = 0xFF
"""PTE bits 7:0; RSW of a template is 0."""


def installed_pte(plan: int, entry: int, page_prot: int, frame: int, access: int) -> int:
    """The entry that a fault commits, where `entry` was.

    "The engine commits leaf entries with A=1, and with D=1 for a write fault only"; what is not written is never writable. An entry that stays
    gains "the rights of page_prot (W only for a store), A, and D for a store".
    """
    if plan == Plan.TABLE:
        return PTE_V | frame << 10
    store = access == Access.STORE
    if plan in (Plan.STAY, Plan.STAY_SHARED):
        rights = page_prot & (PTE_RIGHTS | PTE_U)
        return entry | PTE_A | (rights | PTE_D if store else rights & ~PTE_W)
    pte = page_prot & _TEMPLATE | PTE_A | frame << 10
    pte = pte | PTE_D if store else pte & ~(PTE_W | PTE_D)
    return pte | PTE_EXCLUSIVE if takes_frame(plan) else pte


def needs_frame(fault: Fault) -> bool:
    """R9 takes a frame of the pool; else it maps the zero frame, the slot's, or what the entry maps."""
    return takes_frame(fault.plan)


def _vma_has_changed(world: World, fault: Fault) -> bool:
    """ "RB_EMPTY_NODE(vma->vm_rb) [..] || s != vmf->sequence" [protocol.md 1.3]; under the mm lock nobody changes it."""
    return not fault.classic and not (world.is_linked(fault.id) and world.sequence(fault.id) == fault.seq)


def r8(world: World, fault: Fault) -> Outcome:
    """ "re-read seq; must equal seq (early filter; not needed for safety)"."""
    expect_phase(fault, Phase.R8)
    if keeps(world, Safeguard.EARLY_RECHECK) and not fault.classic and world.sequence(fault.id) != fault.seq:
        return fail(fault, Outcome.CHANGED)
    fault.phase = Phase.R9
    return Outcome.OK


def r9(world: World, fault: Fault, frame: int | None) -> Outcome:
    """ "do all sleeping work now: allocate/zero/copy the page": a frame of the pool (None: it is empty), where one is needed.

    ATOMIC neither copies nor zeroes.
    """
    expect_phase(fault, Phase.R9)
    to_zero = world.unzeroed and zeroes(fault.plan)
    if not needs_frame(fault):
        frame = fault.source
    elif frame is None or (to_zero and fault.flags & RequestFlag.ATOMIC):
        return fail(fault, Outcome.POOL_EMPTY)
    else:
        world.take_frame(frame, fault.agent)
        fault.owned = True
    fault.frame = frame
    fault.phase = Phase.FILL if to_zero or copies(fault.plan) else Phase.R10
    return Outcome.OK


def fill(world: World, fault: Fault) -> None:
    """FILL: copy into the frame, or zero it."""
    expect_phase(fault, Phase.FILL)
    if copies(fault.plan):
        world.copy_page(fault.source, fault.frame)
    else:
        world.zero_page(fault.frame)
    fault.phase = Phase.R10


def r10(world: World, fault: Fault) -> None:
    """ "pin walker (irqs off)": from here C1 and C2 count."""
    expect_phase(fault, Phase.R10)
    fault.pinned = keeps(world, Safeguard.WALKER_PIN)
    fault.phase = Phase.R11


def r11(world: World, fault: Fault) -> Outcome:
    """C1: "linked && vm_sequence == seq"."""
    expect_phase(fault, Phase.R11)
    if keeps(world, Safeguard.C1) and _vma_has_changed(world, fault):
        return fail(fault, Outcome.CHANGED_C1)
    fault.phase = Phase.R12
    return Outcome.OK


def _parent_has_changed(world: World, fault: Fault) -> bool:
    return keeps(world, Safeguard.C2) and not world.parent_is_same(fault.agent)


def r12(world: World, fault: Fault) -> Outcome:
    """C2: "*pmd == orig_pmd (huge collapse / table move guard)"."""
    expect_phase(fault, Phase.R12)
    if keeps(world, Safeguard.EARLY_C2) and _parent_has_changed(world, fault):
        return fail(fault, Outcome.WALK_C2)
    fault.phase = Phase.R13
    return Outcome.OK


def r13(world: World, fault: Fault, patient: bool) -> Outcome:
    """ "trylock PTL. Never spin with the walker pinned": who is `patient` unpins and goes to R10 (PTL_WAIT), who is not aborts (PTL_BUSY)."""
    expect_phase(fault, Phase.R13)
    table = world.table_of(fault.entry_address)
    if world.lock_holder(table) is not None:
        if not keeps(world, Safeguard.TRYLOCK):
            raise NotYet(f"context {fault.agent} spins on the lock of table {table:#x} with its walker pinned")
        if not patient:
            return fail(fault, Outcome.PTL_BUSY)
        if fault.flags & RequestFlag.ATOMIC:
            raise NotAllowed("PTL_WAIT of an ATOMIC fault, which must not wait")
        fault.pinned = False
        fault.phase = Phase.R10
        return Outcome.PTL_WAIT
    world.take_lock(table, fault.agent)
    fault.locked = table
    fault.phase = Phase.R14
    return Outcome.OK


def r14(world: World, fault: Fault) -> Outcome:
    """C3: "linked && vm_sequence == seq again, under PTL"."""
    expect_phase(fault, Phase.R14)
    if keeps(world, Safeguard.C3) and _vma_has_changed(world, fault):
        return fail(fault, Outcome.CHANGED_C3)
    if not keeps(world, Safeguard.EARLY_C2) and _parent_has_changed(world, fault):
        return fail(fault, Outcome.WALK_C2)
    fault.phase = Phase.R15
    return Outcome.OK


def r15(world: World, fault: Fault) -> None:
    """ "unpin walker (PTL now keeps the table alive)"."""
    expect_phase(fault, Phase.R15)
    fault.pinned = False
    fault.phase = Phase.CLEAR if clears(fault.plan, fault.entry) else Phase.R16


def r16(world: World, fault: Fault) -> Outcome:
    """C4: "pte still equals what R7 saw"."""
    expect_phase(fault, Phase.R16)
    if keeps(world, Safeguard.C4) and world.read_entry(fault.entry_address) != fault.entry:
        return fail(fault, Outcome.RACED)
    fault.phase = Phase.R17
    return Outcome.OK


def _expect_lock(world: World, fault: Fault, step: str) -> None:
    if world.lock_holder(world.table_of(fault.entry_address)) != fault.agent:
        raise NotAllowed(f"{step} writes {fault.entry_address:#x} without the lock of its table")


def clear(world: World, fault: Fault) -> Outcome:
    """CLEAR: C4, then "0 is written": "COW does clear-flush-set" [protocol.md 1.10]. The old frame is released, unless it is the zero frame."""
    expect_phase(fault, Phase.CLEAR)
    if keeps(world, Safeguard.C4) and world.read_entry(fault.entry_address) != fault.entry:
        return fail(fault, Outcome.RACED)
    releases = pte_ppn(fault.entry) != world.zero_frame
    if releases and not world.can_release():
        return fail(fault, Outcome.RELEASED_FULL)
    _expect_lock(world, fault, "CLEAR")
    world.write_entry(fault.entry_address, 0)
    world.unmap_frame(fault.entry_address)
    if releases:
        world.release(fault.agent, fault.entry)
    fault.pte = 0
    fault.phase = Phase.FLUSH
    return Outcome.OK


def flush(world: World, fault: Fault) -> None:
    """FLUSH: "that write is visible, and the page leaves all TLBs"; after a CLEAR the entry is set next."""
    expect_phase(fault, Phase.FLUSH)
    if keeps(world, Safeguard.COW_FLUSH):
        world.flush_page(fault.agent)
    fault.phase = Phase.R17 if clears(fault.plan, fault.entry) else Phase.R18


def r17(world: World, fault: Fault) -> None:
    """ "commit: write the pte from the *snapshot* (never re-read the VMA)", under the lock of its table."""
    expect_phase(fault, Phase.R17)
    _expect_lock(world, fault, "R17")
    page_prot = fault.page_prot if keeps(world, Safeguard.SNAPSHOT) else world.page_prot_now(fault.id)
    fault.pte = installed_pte(fault.plan, fault.entry, page_prot, fault.frame, fault.access)
    world.write_entry(fault.entry_address, fault.pte)
    if fault.owned:
        world.map_frame(fault.frame, fault.entry_address)
        fault.owned = False
    fault.phase = _after_commit(fault)


def _after_commit(fault: Fault) -> Phase:
    if fault.plan == Plan.TABLE:
        return Phase.TABLE
    if fault.plan in (Plan.STAY, Plan.STAY_SHARED):
        return Phase.FLUSH
    return Phase.AROUND if fault_around(fault.plan, fault.access, fault.flags, fault.vma_flags) else Phase.R18


def around(world: World, fault: Fault, entries: Iterable[tuple[int, int]]) -> None:
    """AROUND: entries (address, pte) of other pages of the window are set, "in the same hold of the PTE lock"."""
    expect_phase(fault, Phase.AROUND)
    _expect_lock(world, fault, "AROUND")
    for address, pte in entries:
        world.write_entry(address, pte)
    fault.phase = Phase.R18


def table(world: World, fault: Fault) -> None:
    """TABLE: "the table is visible; unlock, R7 comes next"."""
    expect_phase(fault, Phase.TABLE)
    world.drop_lock(fault.locked)
    fault.locked = 0
    fault.phase = Phase.R7


def r18(world: World, fault: Fault) -> None:
    """ "unlock PTL; drop the VMA pin": the entry is visible now, and the fault is answered."""
    expect_phase(fault, Phase.R18)
    world.drop_lock(fault.locked)
    fault.locked = 0
    fault.holds_vma = False
    fault.phase = Phase.COMMITTED if fault.classic else Phase.IDLE
