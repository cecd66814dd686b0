"""The reader's steps R8 to R18 as a transition system: allocate, check, lock, commit. [protocol.md 0.2; contract, Steps and outcomes]

The functions follow the rules of `find_steps`: `NotAllowed`, or the step's change.
"""

from .layout import PTE_A, PTE_D, PTE_W, Access, Outcome
from .lookups import table_of, walk
from .state import Fault, NotAllowed, Phase, State, bus_error, expect_phase, fail

__all__ = ["installed_pte", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18"]

_TEMPLATE = 0x3FF
"""PTE bits 9:0."""


def installed_pte(page_prot: int, frame: int, access: int) -> int:
    """The entry that a fault commits, "from the *snapshot* (never re-read the VMA)" [R17].

    "The engine commits leaf entries with A=1, and with D=1 for a write fault only"; a read fault maps the shared zero frame, so never writable.
    """
    pte = page_prot & _TEMPLATE | PTE_A | frame << 10
    return pte | PTE_D if access == Access.STORE else pte & ~(PTE_W | PTE_D)


def _same_sequence(state: State, fault: Fault, outcome: Outcome, seq: int, changed: Outcome, check: str) -> None:
    """The verdict of R8, C1 or C3 is what the sequence table says at this instant; under a lock the sequence is not looked at."""
    if fault.classic:
        if outcome == changed:
            raise NotAllowed(f"{check} fails under the mm lock, where the sequence is not looked at")
        return
    current = state.sequences.value(fault.id)
    if seq != current:
        raise NotAllowed(f"{check} reports sequence {seq:#x} of VMA {fault.id}, it is {current:#x}")
    if outcome == changed:
        if current == fault.seq:
            raise NotAllowed(f"{check} false abort: the sequence of VMA {fault.id} is {current:#x} as in the snapshot")
    elif current != fault.seq:
        raise NotAllowed(f"{check} passed although the sequence of VMA {fault.id} went from {fault.seq:#x} to {current:#x}")


def r8(state: State, fault: Fault, outcome: Outcome, seq: int) -> None:
    """ "re-read seq; must equal seq (early filter)"."""
    expect_phase(fault, Phase.R8)
    _same_sequence(state, fault, outcome, seq, Outcome.CHANGED, "R8")
    if outcome == Outcome.CHANGED:
        return fail(fault, outcome)
    fault.phase = Phase.R9


def r9(state: State, fault: Fault, outcome: Outcome, frame: int, owned: bool) -> None:
    """ "allocate/zero/copy the page": a store takes a frame that software offered, anything else maps the shared zero frame."""
    expect_phase(fault, Phase.R9)
    store = fault.access == Access.STORE
    if outcome == Outcome.POOL_EMPTY:
        if not store:
            raise NotAllowed("R9 POOL_EMPTY for an access that needs no frame of the pool")
        return fail(fault, outcome)
    if owned != store:
        raise NotAllowed(f"R9 {'takes a frame of the pool for a read' if owned else 'takes no frame of the pool for a store'}")
    if store:
        if frame not in state.frames.free:
            place = state.frames.taken.get(frame, state.frames.home.get(frame))
            raise NotAllowed(f"R9 allocates frame {frame:#x}, which is {'not offered' if place is None else 'in use'}")
        state.frames.free.remove(frame)
        state.frames.taken[frame] = fault.agent
    elif frame != state.zero_frame:
        raise NotAllowed(f"R9 maps frame {frame:#x} for a read, not the zero frame {state.zero_frame:#x}")
    fault.frame, fault.owned = frame, owned
    fault.phase = Phase.R10


def r10(state: State, fault: Fault) -> None:
    """ "pin walker (irqs off)": from here C1 and C2 count."""
    expect_phase(fault, Phase.R10)
    fault.phase = Phase.R11


def r11(state: State, fault: Fault, outcome: Outcome, seq: int) -> None:
    """C1: "linked && vm_sequence == seq"."""
    expect_phase(fault, Phase.R11)
    _same_sequence(state, fault, outcome, seq, Outcome.CHANGED_C1, "C1")
    if outcome == Outcome.CHANGED_C1:
        return fail(fault, outcome)
    fault.phase = Phase.R12


def r12(state: State, fault: Fault, outcome: Outcome) -> None:
    """C2: "*pmd == orig_pmd (huge collapse / table move guard)"; decided by the INVALIDATEs since the walk began, conservatively."""
    expect_phase(fault, Phase.R12)
    if outcome == Outcome.WALK_C2:
        if state.invalidated <= fault.walk_began:
            raise NotAllowed("C2 false abort: no INVALIDATE since the walk began")
        return fail(fault, outcome)
    if fault.invalidated:
        raise NotAllowed("C2 passed although an INVALIDATE hit this page since the walk began")
    fault.phase = Phase.R13


def r13(state: State, fault: Fault, outcome: Outcome, table: int) -> None:
    """ "trylock PTL. Never spin with the walker pinned": PTL_WAIT goes back to R10, PTL_BUSY ends the attempt."""
    expect_phase(fault, Phase.R13)
    if table != table_of(fault.entry_address):
        raise NotAllowed(f"R13 locks table {table:#x}, the entry is in table {table_of(fault.entry_address):#x}")
    holder = state.pte_locks.get(table)
    if outcome != Outcome.OK:
        if holder is None:
            raise NotAllowed(f"R13 {outcome.name} although the lock of table {table:#x} is free")
        if outcome == Outcome.PTL_BUSY:
            return fail(fault, outcome)
        fault.phase = Phase.R10
        return
    if holder is not None:
        raise NotAllowed(f"R13 takes the lock of table {table:#x}, which agent {holder} holds")
    state.pte_locks[table] = fault.agent
    fault.locked = table
    fault.phase = Phase.R14


def r14(state: State, fault: Fault, outcome: Outcome, seq: int) -> None:
    """C3: "linked && vm_sequence == seq again, under PTL"."""
    expect_phase(fault, Phase.R14)
    _same_sequence(state, fault, outcome, seq, Outcome.CHANGED_C3, "C3")
    if outcome == Outcome.CHANGED_C3:
        return fail(fault, outcome)
    fault.phase = Phase.R15


def r15(state: State, fault: Fault) -> None:
    """ "unpin walker (PTL now keeps the table alive)"."""
    expect_phase(fault, Phase.R15)
    fault.phase = Phase.R16


def r16(state: State, fault: Fault, outcome: Outcome) -> None:
    """C4: "pte still equals what R7 saw"; the engine may see a change of another leaf entry as one of this (RACED), never the reverse."""
    expect_phase(fault, Phase.R16)
    now = state.memory.read(fault.entry_address)
    if outcome == Outcome.RACED:
        if now == fault.entry and state.leaf_changed <= fault.walk_began:
            raise NotAllowed("C4 false abort: no leaf entry changed since the walk began")
        return fail(fault, outcome)
    if now != fault.entry:
        raise NotAllowed(f"C4 passed although the entry at {fault.entry_address:#x} went from {fault.entry:#x} to {now:#x}")
    fault.phase = Phase.R17


def r17(state: State, fault: Fault, address: int, pte: int) -> None:
    """ "commit: write the pte from the *snapshot* (never re-read the VMA)", under the lock of its table, which is still in use (I1)."""
    expect_phase(fault, Phase.R17)
    if state.pte_locks.get(table_of(address)) != fault.agent:
        raise NotAllowed(f"R17 writes {address:#x} without the lock of its table")
    if address != fault.entry_address:
        raise NotAllowed(f"R17 writes {address:#x}, the walk ended at {fault.entry_address:#x}")
    expected = installed_pte(fault.page_prot, fault.frame, fault.access)
    if pte != expected:
        raise NotAllowed(f"R17 commits {pte:#x}; the snapshot (page_prot {fault.page_prot:#x}, frame {fault.frame:#x}) gives {expected:#x}")
    reached = walk(state.memory, fault.space, fault.vpn)[0]
    if reached != address:
        raise NotAllowed(f"R17 writes {address:#x}, but a walk of page {fault.vpn:#x} now ends at {reached:#x}: the table is gone (I1)")
    state.memory.write_unsettled(address, pte, state.now)
    state.tables.entry_written(address, fault.entry, pte)
    state.leaf_changed = state.now
    if fault.owned:
        del state.frames.taken[fault.frame]
        state.frames.home[fault.frame] = address
        state.frames.mapped[address] = fault.frame
    fault.pte = pte
    fault.phase = Phase.R18


def r18(state: State, fault: Fault, outcome: Outcome, address: int, pte: int) -> None:
    """ "unlock PTL; drop the VMA pin": the entry is visible now, and the fault is answered."""
    expect_phase(fault, Phase.R18)
    if (address, pte) != (fault.entry_address, fault.pte):
        raise NotAllowed(f"R18 reports {pte:#x} at {address:#x}, committed was {fault.pte:#x} at {fault.entry_address:#x}")
    state.leaf_changed = state.now
    if outcome == Outcome.BUS_ERROR:  # nobody knows what the entry holds now: it stays unsettled, and its frame is not used again
        bus_error(state, fault)
        fault.owned = False
        return
    state.memory.settle(address, state.now)
    del state.pte_locks[fault.locked]
    fault.locked = 0
    fault.owned = fault.holds_vma = False
    fault.phase = Phase.COMMITTED if fault.classic else Phase.IDLE
    if not fault.classic:
        fault.known = False
