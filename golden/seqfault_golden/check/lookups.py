"""Lookups in golden's memory: the page walk and the descent of the VMA tree, now or at any time in a window."""

from ..layout import (
    NODE_ENTRIES,
    PAGE_BITS,
    PTE_BRANCH_MASK,
    PTE_V,
    TREE_DEPTH,
    Outcome,
    Record,
    address_of,
    branch_table,
    is_branch,
    node_entry,
    pointer_kind,
    record_words,
    satp_levels,
    satp_root,
)  # fmt: skip
from .history import Memory, table_key, vmas_key

__all__ = [
    "NO_TABLE_LEVEL", "covering_record", "find_vma", "find_vma_since", "read_record", "table_of", "walk", "walk_ends_at",
]  # fmt: skip

NO_TABLE_LEVEL = -1
"""Level of a walk in a space without a table."""


def walk(memory: Memory, space: int, vpn: int) -> tuple[int, int, int]:
    """Where a walk ends now: (entry address, entry, level); level -1: the space has no table."""
    words = memory.words
    satp = words.get(table_key(space), 0)
    level = satp_levels(satp) - 1
    if level < 0:
        return 0, 0, NO_TABLE_LEVEL
    table = satp_root(satp)
    while True:
        address = table + (vpn >> 9 * level & 511) * 8
        pte = words.get(address, 0)
        if level == 0 or pte & PTE_BRANCH_MASK != PTE_V:
            return address, pte, level
        table = branch_table(pte)
        level -= 1


def walk_ends_at(memory: Memory, space: int, vpn: int, since: int, address: int, pte: int) -> int | None:
    """The level at which a walk that ran in the window may have ended at `address` with `pte`; None: it cannot have."""
    now_address, now_pte, level = walk(memory, space, vpn)
    if now_address == address and now_pte == pte:
        return level
    missing = None
    for satp in memory.values(table_key(space), since):
        top = satp_levels(satp) - 1
        if top < 0:
            missing = NO_TABLE_LEVEL
            continue
        found = _descend(memory, satp_root(satp), top, vpn, since, address, pte)
        if found is not None:
            return found
    return missing


def _descend(memory: Memory, table: int, level: int, vpn: int, since: int, address: int, pte: int) -> int | None:
    """`walk_ends_at` from one table on."""
    here = table + (vpn >> 9 * level & 511) * 8
    for value in memory.values(here, since):
        if level > 0 and is_branch(value):
            found = _descend(memory, branch_table(value), level - 1, vpn, since, address, pte)
            if found is not None:
                return found
        elif here == address and value == pte:
            return level
    return None


def find_vma(memory: Memory, root: int, vpn: int) -> tuple[Outcome, int, int]:
    """Descend the tree of pointer word `root`: (OK, record address, id), or NO_VMA or BAD_TREE with zeros.

    "A lookup takes the last entry whose start VPN is <= the VPN, at most 8 levels deep (deeper is BAD_TREE)." [contract, VMA tree]
    """
    words = memory.words
    pointer = root
    if pointer_kind(pointer) == 0:
        return Outcome.NO_VMA, 0, 0
    for _ in range(TREE_DEPTH):
        if pointer_kind(pointer) != 1:
            break
        node = address_of(pointer)
        pointer = 0
        vma_id = 0
        for entry in range(node, node + NODE_ENTRIES * 16, 16):
            word = words.get(entry + 8, 0)
            if word & 3 == 0:
                break
            start, entry_id = node_entry(words.get(entry, 0))
            if start > vpn:
                break
            pointer, vma_id = word, entry_id
        if pointer == 0:
            return Outcome.NO_VMA, 0, 0
        if pointer_kind(pointer) == 2:
            return Outcome.OK, address_of(pointer), vma_id
    return Outcome.BAD_TREE, 0, 0


def find_vma_since(memory: Memory, space: int, vpn: int, since: int) -> list[tuple[Outcome, int, int]]:
    """What a lookup may have found in the window: one result per root published in it (reachable nodes never change)."""
    return [find_vma(memory, root, vpn) for root in memory.values(vmas_key(space), since)]


def read_record(memory: Memory, address: int) -> Record:
    """The record's words as of now."""
    words = memory.words
    return record_words(*(words.get(address + 8 * i, 0) for i in range(4)))


def covering_record(memory: Memory, space: int, vpn: int) -> Record | None:
    """The record that covers a page now, if any; its id is the tree's."""
    outcome, address, vma_id = find_vma(memory, memory.words.get(vmas_key(space), 0), vpn)
    if outcome is not Outcome.OK:
        return None
    record = read_record(memory, address)
    return record._replace(id=vma_id) if record.start <= vpn < record.end else None


def table_of(address: int) -> int:
    """Byte address of the table that holds an entry."""
    return address >> PAGE_BITS << PAGE_BITS
