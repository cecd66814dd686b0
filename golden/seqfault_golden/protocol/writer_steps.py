"""The writer's steps on what readers check: mm lock, sequence, leaf entries under their lock, fence. [protocol.md 0.3; contract]

The functions follow the rules of `find_steps`. In the terms of protocol.md: W1 is `seq_begin`, W3 `pte_lock .. pte_protect or pte_clear ..
pte_unlock` (U2, F2, K4 alike), W4 `seq_end`. What software writes itself (W2, U1, U4) is a change of memory, which every world makes its own way.
"""

from ..layout import PTE_EXCLUSIVE, PTE_R, PTE_RIGHTS, PTE_W, is_leaf
from .world import NotAllowed, NotYet, Safeguard, World, keeps

__all__ = ["fence", "mm_lock", "mm_unlock", "pte_clear", "pte_lock", "pte_protect", "pte_unlock", "seq_begin", "seq_end"]


def mm_lock(world: World, space: int) -> None:
    """ "`MM.LOCK` stops new readers, waits for the running ones and takes it": one writer, no readers."""
    if world.mm_writer(space):
        raise NotYet(f"MM_LOCK of space {space}, which is locked already")
    if readers := world.mm_readers(space):
        raise NotYet(f"MM_LOCK of space {space} while contexts {sorted(readers)} hold it as readers")
    world.set_mm_writer(space, True)


def mm_unlock(world: World, space: int) -> None:
    """Release of what MM_LOCK took."""
    if not world.mm_writer(space):
        raise NotAllowed(f"MM_UNLOCK of space {space}, which is not locked")
    world.set_mm_writer(space, False)


def _under_mm_lock(world: World, space: int, step: str) -> None:
    if not world.mm_writer(space) and keeps(world, Safeguard.EXCLUSIVE_WRITER):
        raise NotAllowed(f"{step} without the mm lock of space {space}")


def seq_begin(world: World, space: int, vma_id: int) -> int:
    """W1 `seq++` (odd), under the mm lock; under policy vma-lock not while a reader holds the VMA. Returns the sequence."""
    _under_mm_lock(world, space, "SEQ_BEGIN")
    if holders := world.vma_holders(vma_id):
        raise NotYet(f"SEQ_BEGIN of VMA {vma_id}, which context {holders[0]} holds as a reader")
    world.begin_section(vma_id)
    return world.sequence(vma_id)


def seq_end(world: World, space: int, vma_id: int) -> int:
    """W4 `seq++` (even), under the mm lock, after a BEGIN. Returns the sequence."""
    _under_mm_lock(world, space, "SEQ_END")
    if not world.active_writers(vma_id):
        raise NotAllowed(f"SEQ_END of VMA {vma_id} without SEQ_BEGIN")
    world.end_section(vma_id)
    return world.sequence(vma_id)


def pte_lock(world: World, table: int, agent: int) -> None:
    """ "lock PTL": nobody else holds the lock of this leaf table."""
    holder = world.lock_holder(table)
    if holder is not None:
        raise NotYet(f"PTE_LOCK of table {table:#x}, which agent {holder} holds")
    world.take_lock(table, agent)


def pte_unlock(world: World, table: int, agent: int) -> None:
    """ "unlock": the entries written under this lock are visible."""
    if world.lock_holder(table) != agent:
        raise NotAllowed(f"PTE_UNLOCK of table {table:#x}, which agent {agent} has not locked")
    world.drop_lock(table)


def _locked_leaf(world: World, address: int, agent: int, step: str) -> int:
    """The valid leaf at `address`, whose table the agent has locked."""
    if world.lock_holder(world.table_of(address)) != agent and keeps(world, Safeguard.ZAP_LOCK):
        raise NotAllowed(f"{step} of {address:#x} without the lock of its table")
    entry = world.read_entry(address)
    if not is_leaf(entry):
        raise NotAllowed(f"{step} of {address:#x}, which holds {entry:#x}: no valid leaf")
    return entry


def pte_clear(world: World, address: int, agent: int) -> int:
    """U2: "clear ptes" under the PTL; ZAP "writes 0 to every valid leaf entry of the range" and releases the removed entry, which it returns."""
    entry = _locked_leaf(world, address, agent, "PTE_CLEAR")
    world.write_entry(address, 0)
    world.unmap_frame(address)
    return entry


def pte_protect(world: World, address: int, new: int, agent: int) -> None:
    """W3: "fix ptes" under the PTL; PROTECT "replaces R, W, X of every valid leaf entry [..] and with SHARE clears EXCLUSIVE"; one right stays.

    Whether it had SHARE, the step does not say: EXCLUSIVE may be cleared, and is never set.
    """
    entry = _locked_leaf(world, address, agent, "PTE_PROTECT")
    if (new ^ entry) & ~(PTE_RIGHTS | entry & PTE_EXCLUSIVE):
        raise NotAllowed(f"PTE_PROTECT of {address:#x} changes {entry:#x} to {new:#x}: more than R, W, X")
    if not is_leaf(new) or new & (PTE_R | PTE_W) == PTE_W:
        raise NotAllowed(f"PTE_PROTECT of {address:#x} writes {new:#x}: no valid leaf")
    world.write_entry(address, new)


def fence(world: World) -> None:
    """IOFENCE.C "with PR completes when every fault attempt [..] that was running when it started has ended" (U5, K3)."""
    if running := world.unfenced():
        raise NotYet(f"FENCE completed while the attempt of context {running[0]}, which began before it, is running")
