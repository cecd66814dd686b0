"""What must hold at quiescence: nothing is running or locked, memory is as golden says, and the invariants of protocol.md 0.4."""

from collections.abc import Callable

from ..layout import (
    PAGE_BITS,
    PTE_EXCLUSIVE,
    PTE_R,
    PTE_W,
    PTE_X,
    Record,
    VmaFlag,
    address_of,
    is_leaf,
    pointer_kind,
    pte_ppn,
)  # fmt: skip
from ..lookups import tree_entries
from ..page_cache import SLOT_PRESENT, SLOT_UPTODATE, SLOT_WRITABLE, slot_ppn
from ..protocol.world import NotAllowed, Phase
from .answers import Answers
from .history import vmas_key
from .lookups import covering_record
from .state import State

__all__ = ["check_quiescence"]


def check_quiescence(state: State, answers: Answers, read_word: Callable[[int], int]) -> None:
    """Raise `NotAllowed` with the first thing that is not as it must be when all is done."""
    _nothing_left(state, answers)
    _same_memory(state, read_word)
    _sound_entries(state)
    _agree_with_page_cache(state)


def _nothing_left(state: State, answers: Answers) -> None:
    """I4, I6: no request, fault, lock, section or frame is left over."""
    if answers.outstanding():
        raise NotAllowed("requests without an answer (port, tag): " + ", ".join(map(str, answers.outstanding()[:8])))
    for fault in state.faults:
        if fault.phase != Phase.IDLE or fault.holds_read_lock:
            raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    for table, agent in state.pte_locks.items():
        raise NotAllowed(f"agent {agent} holds the lock of table {table:#x}")
    if state.mm_claimed is not None:
        raise NotAllowed(f"MM_BUSY although nobody held the mm lock of space {state.mm_claimed}, and no MM_LOCK came")
    for space in state.mm_writers:
        raise NotAllowed(f"the mm lock of space {space} is held by a writer")
    for entry in state.sequences.open_entries():
        raise NotAllowed(f"a section of sequence entry {entry} is open")
    for frame, agent in state.frames.taken.items():
        raise NotAllowed(f"frame {frame:#x} is taken by context {agent}, neither mapped nor returned (I4)")


def _same_memory(state: State, read_word: Callable[[int], int]) -> None:
    """Every word that golden knows in page tables and in reachable VMA nodes and records."""
    tables = state.tables.ever
    tree: set[int] = set()  # 64-byte lines
    for space in range(state.spaces):
        for pointer, _, _ in tree_entries(state.memory.read, state.memory.read(vmas_key(space))):
            line = address_of(pointer) >> 6
            tree.update(range(line, line + {1: 2, 2: 1}.get(pointer_kind(pointer), 0)))  # of a node, of a record
    for address, value in state.memory.words.items():
        if address < 0 or (address >> PAGE_BITS not in tables and address >> 6 not in tree):
            continue
        found = read_word(address)
        if found != value and not (address in state.memory.unsettled and state.memory.held(address, found, state.now)):
            place = state.tables.place(address)
            what = "" if place is None else " (space {}, level {}, page {:#x})".format(*place)
            raise NotAllowed(f"memory holds {found:#x} at {address:#x}{what}, golden {value:#x}")


def _sound_entries(state: State) -> None:
    """I2, I3, I4 for all that is mapped in tables in use."""
    committed = state.frames.mapped
    mapped_at: dict[int, int] = {}
    leaves = state.tables.leaves()
    for address, space, level, vpn, pte in leaves:
        frame = pte_ppn(pte)
        if level == 0 and frame in state.frames.free:
            raise NotAllowed(f"page {vpn:#x} of space {space} maps frame {frame:#x}, which is free (I4)")
        zero = level == 0 and frame == state.zero_frame
        if zero and pte & PTE_W:
            raise NotAllowed(f"page {vpn:#x} of space {space} maps the shared zero frame writable (I3)")
        record = covering_record(state.memory, space, vpn)
        if record is None and (address in committed or address in state.frames.slots or zero):
            raise NotAllowed(f"page {vpn:#x} of space {space} is mapped ({pte:#x}), and no VMA covers it (I2)")
        if address in committed or zero:
            if not zero and frame in mapped_at:
                raise NotAllowed(f"frame {frame:#x} is mapped at {mapped_at[frame]:#x} and at {address:#x} (I4)")
            mapped_at[frame] = address
        if record is not None:
            _within_rights(space, vpn, pte, record)
    _exclusive(leaves)
    for frame in state.frames.free:
        if state.tables.is_table(frame):
            raise NotAllowed(f"frame {frame:#x} is free, and a page table (I4)")


def _exclusive(leaves: list[tuple[int, int, int, int, int]]) -> None:
    """ "EXCLUSIVE: no other entry maps the frame"."""
    first: dict[int, tuple[int, int]] = {}
    for address, _, level, _, pte in leaves:
        if level:
            continue
        frame = pte_ppn(pte)
        before, other = first.setdefault(frame, (address, pte))
        if before != address and (pte | other) & PTE_EXCLUSIVE:
            raise NotAllowed(f"frame {frame:#x} is EXCLUSIVE, and mapped at {before:#x} ({other:#x}) and at {address:#x} ({pte:#x})")
        first[frame] = address, pte | other


def _agree_with_page_cache(state: State) -> None:
    """Software "takes a page out, exchanges it, or takes WRITABLE or UPTODATE away only [..] with a ZAP of the page"."""
    for address, slot in state.frames.slots.items():
        place, pte, word = state.tables.place(address), state.memory.read(address), state.memory.read(slot)
        if place is None or not is_leaf(pte) or address in state.unknown:
            continue
        where = f"page {place[2]:#x} of space {place[0]} ({pte:#x})"
        if not word & SLOT_PRESENT or slot_ppn(word) != pte_ppn(pte):
            raise NotAllowed(f"{where} maps a frame that the page cache has given up: its slot at {slot:#x} holds {word:#x}")
        if not word & SLOT_UPTODATE or (pte & PTE_W and not word & SLOT_WRITABLE):
            raise NotAllowed(f"{where} has what its slot at {slot:#x} does not allow any more ({word:#x})")


def _within_rights(space: int, vpn: int, pte: int, record: Record) -> None:
    """ "no writable pte in a read-only VMA" (I3); an entry may have less than its VMA gives (COW, an upgrade that is not yet faulted)."""
    if pte & PTE_W and not record.flags & VmaFlag.WRITE:
        raise NotAllowed(f"page {vpn:#x} of space {space} is writable ({pte:#x}) in VMA {record.id}, which is not (I3)")
    excess = pte & ~record.page_prot & (PTE_R | PTE_W | PTE_X)
    if excess:
        raise NotAllowed(f"page {vpn:#x} of space {space} has rights ({pte:#x}) beyond page_prot {record.page_prot:#x} of VMA {record.id} (I3)")
