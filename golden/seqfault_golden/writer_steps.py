"""The writer's steps: the command unit's share of the protocol, and software's direct writes. [protocol.md 0.3; contract]

The functions follow the rules of `find_steps`: `NotAllowed`, or the step's change. In the terms of protocol.md: W1 is `seq_begin`, W2
`software_write`, W3 `pte_lock .. pte_protect or pte_clear .. pte_unlock` (U2, F2, K4 alike), W4 `seq_end`; U1 is `space_vmas`.
"""

from .history import features_key, table_key, vmas_key
from .layout import COMMAND_UNIT, EVERY_SPACE, PTE_R, PTE_RIGHTS, PTE_W, is_leaf
from .lookups import covering_record, table_of, walk
from .state import NotAllowed, Phase, State

__all__ = [
    "fence", "invalidate", "mm_lock", "mm_unlock", "pte_clear", "pte_lock", "pte_protect", "pte_unlock", "seq_begin", "seq_end",
    "software_frames", "software_write", "space_table", "space_vmas",
]  # fmt: skip


def mm_lock(state: State, space: int) -> None:
    """ "`MM.LOCK` stops new readers, waits for the running ones and takes it": one writer, no readers."""
    if space in state.mm_writers:
        raise NotAllowed(f"MM_LOCK of space {space}, which is locked already")
    if state.mm_readers.get(space):
        raise NotAllowed(f"MM_LOCK of space {space} while contexts {sorted(state.mm_readers[space])} hold it as readers")
    state.mm_writers.add(space)


def mm_unlock(state: State, space: int) -> None:
    """Release of what MM_LOCK took."""
    if space not in state.mm_writers:
        raise NotAllowed(f"MM_UNLOCK of space {space}, which is not locked")
    state.mm_writers.remove(space)
    state.mm_released[space] = state.now


def _under_mm_lock(state: State, space: int, step: str) -> None:
    if space not in state.mm_writers:
        raise NotAllowed(f"{step} without the mm lock of space {space}")


def seq_begin(state: State, space: int, vma_id: int, seq: int) -> None:
    """W1 `seq++` (odd): "generation + 1, writers + 1", under MM.LOCK; under policy vma-lock not while a reader holds the VMA."""
    _under_mm_lock(state, space, "SEQ_BEGIN")
    entries = state.sequences.entries
    for fault in state.faults:
        if fault.holds_vma and fault.id % entries == vma_id % entries:
            raise NotAllowed(f"SEQ_BEGIN of VMA {vma_id}, which context {fault.agent} holds as a reader")
    state.sequences.begin(vma_id, state.now)
    _expect_sequence(state, vma_id, seq, "SEQ_BEGIN")


def seq_end(state: State, space: int, vma_id: int, seq: int) -> None:
    """W4 `seq++` (even): "writers - 1", under MM.LOCK, after a BEGIN."""
    _under_mm_lock(state, space, "SEQ_END")
    if not state.sequences.writers(vma_id):
        raise NotAllowed(f"SEQ_END of VMA {vma_id} without SEQ_BEGIN")
    state.sequences.end(vma_id, state.now)
    _expect_sequence(state, vma_id, seq, "SEQ_END")


def _expect_sequence(state: State, vma_id: int, seq: int, step: str) -> None:
    current = state.sequences.value(vma_id)
    if seq != current:
        raise NotAllowed(f"{step} of VMA {vma_id} reports sequence {seq:#x}, it is {current:#x}")


def pte_lock(state: State, table: int) -> None:
    """ "lock PTL": nobody else holds the lock of this leaf table."""
    holder = state.pte_locks.get(table)
    if holder is not None:
        raise NotAllowed(f"PTE_LOCK of table {table:#x}, which agent {holder} holds")
    state.pte_locks[table] = COMMAND_UNIT


def pte_unlock(state: State, table: int) -> None:
    """ "unlock": the entries written under this lock are visible."""
    if state.pte_locks.get(table) != COMMAND_UNIT:
        raise NotAllowed(f"PTE_UNLOCK of table {table:#x}, which the command unit has not locked")
    del state.pte_locks[table]
    for address in [address for address in state.memory.unsettled if table_of(address) == table]:
        state.memory.settle(address, state.now)
        state.leaf_changed = state.now


def _locked_leaf(state: State, space: int, vpn: int, address: int, step: str) -> int:
    """The entry at `address`, which is the leaf entry of `vpn`, valid, and under the command unit's lock."""
    _under_mm_lock(state, space, step)
    if state.pte_locks.get(table_of(address)) != COMMAND_UNIT:
        raise NotAllowed(f"{step} of {address:#x} without the lock of its table")
    here, entry, level = walk(state.memory, space, vpn)
    if here != address or level != 0:
        raise NotAllowed(f"{step} of page {vpn:#x} at {address:#x}, a walk ends at {here:#x} (level {level})")
    if not is_leaf(entry):
        raise NotAllowed(f"{step} of {address:#x}, which holds {entry:#x}: no valid leaf")
    return entry


def _write_leaf(state: State, address: int, old: int, new: int) -> None:
    state.memory.write_unsettled(address, new, state.now)
    state.tables.entry_written(address, old, new)
    state.leaf_changed = state.now


def pte_clear(state: State, space: int, vpn: int, address: int, old: int) -> None:
    """U2: "clear ptes" under the PTL; ZAP "writes 0 to every valid leaf entry of the range" and releases the removed entry."""
    entry = _locked_leaf(state, space, vpn, address, "PTE_CLEAR")
    if old != entry:
        raise NotAllowed(f"PTE_CLEAR of {address:#x} removes {old:#x}, the entry is {entry:#x}")
    _write_leaf(state, address, entry, 0)
    state.frames.unmap(address)


def pte_protect(state: State, space: int, vpn: int, address: int, new: int) -> None:
    """W3: "fix ptes" under the PTL; PROTECT "replaces R, W, X of every valid leaf entry" and leaves at least one of them."""
    entry = _locked_leaf(state, space, vpn, address, "PTE_PROTECT")
    if (new ^ entry) & ~PTE_RIGHTS:
        raise NotAllowed(f"PTE_PROTECT of {address:#x} changes {entry:#x} to {new:#x}: more than R, W, X")
    if not is_leaf(new) or new & (PTE_R | PTE_W) == PTE_W:
        raise NotAllowed(f"PTE_PROTECT of {address:#x} writes {new:#x}: no valid leaf")
    _write_leaf(state, address, entry, new)


def invalidate(state: State, space: int, first: int, pages: int) -> None:
    """IOTINVAL.VMA (K2 "flush", F3): no walk that began before may be trusted by a fault of these pages (C2)."""
    state.invalidated = state.now
    for fault in state.faults:
        if fault.phase in _WALKED and space in (EVERY_SPACE, fault.space) and (pages == 0 or first <= fault.vpn < first + pages):
            fault.invalidated = True


_RUNNING = frozenset((*map(Phase, range(Phase.R1, Phase.R18 + 1)), Phase.FAILED))
_WALKED = frozenset(Phase(number) for number in range(Phase.R7, Phase.R18 + 1))


def fence(state: State, waited: bool) -> None:
    """IOFENCE.C "with PR completes when every fault attempt and walk that was running when it started has ended" (U5, K3).

    Commands run in order, so it started after the command unit's step before; no attempt may have outlived it from before that.
    """
    if not waited:
        return
    for fault in state.faults:
        if fault.phase in _RUNNING and fault.began < state.command_step:
            raise NotAllowed(f"FENCE completed while the attempt of context {fault.agent}, which began before it, is running")
    if state.update is not None and state.update.began < state.command_step:
        raise NotAllowed(f"FENCE completed while the A/D update of {state.update.address:#x}, which began before it, is running")


def space_table(state: State, space: int, satp: int, features: int) -> None:
    """`SPACE.TABLE`; `features`: bits ADUE, PBMTE, NAPOT from bit 0 on."""
    state.memory.write(features_key(space), features, state.now)
    key = table_key(space)
    old = state.memory.read(key)
    state.memory.write(key, satp, state.now)
    state.tables.set_root(space, old, satp)


def space_vmas(state: State, space: int, pointer: int) -> None:
    """U1 "unlink from index", and every other publication of a tree."""
    state.memory.write(vmas_key(space), pointer, state.now)


def software_write(state: State, address: int, value: int) -> None:
    """W2 and software's own page-table work.

    "Software may write a leaf entry of a VMA directly only between MM.LOCK .. SEQ.BEGIN id, IOFENCE.C(PR) and SEQ.END id, or where no
    record covers it." [contract, PTE locks]
    """
    old = state.memory.read(address)
    place = state.tables.place(address) if old != value else None
    if place is not None:
        space, level, vpn = place
        if level == 0 or is_leaf(old) or is_leaf(value):
            record = covering_record(state.memory, space, vpn)
            if record is not None and not (space in state.mm_writers and state.sequences.writers(record.id)):
                raise NotAllowed(f"software writes the leaf entry of page {vpn:#x} outside a section of VMA {record.id}, which covers it")
    state.memory.write(address, value, state.now)
    if old != value:
        state.frames.unmap(address)  # also in a table that was unlinked before software cleared it
    if place is not None:
        state.tables.entry_written(address, old, value)


def software_frames(state: State, frames: list[int]) -> None:
    """Frames offered in the free ring: not offered already, not taken, not mapped by the engine in a table that is in use (I4)."""
    for frame in frames:
        home = state.frames.home.get(frame)
        if home is not None:
            if state.tables.place(home) is not None:
                raise NotAllowed(f"software offers frame {frame:#x}, which the entry at {home:#x} maps")
            state.frames.unmap(home)
        if frame in state.frames.free or frame in state.frames.taken or frame == state.zero_frame:
            raise NotAllowed(f"software offers frame {frame:#x}, which is in use")
        state.frames.free.add(frame)
