"""Lookups in memory as it is now: the page walk and the descent of the VMA tree, through a function that reads a word."""

from collections.abc import Callable

from .layout import (
    NODE_ENTRIES,
    PTE_BRANCH_MASK,
    PTE_V,
    TREE_DEPTH,
    Outcome,
    Record,
    address_of,
    branch_table,
    node_entry,
    pointer_kind,
    record_words,
    satp_levels,
    satp_root,
)  # fmt: skip

__all__ = ["NO_TABLE_LEVEL", "Read", "find_vma", "read_record", "walk"]

NO_TABLE_LEVEL = -1
"""Level of a walk in a space without a table."""
Read = Callable[[int], int]
"""The 64-bit word at a byte address."""


def walk(read: Read, satp: int, vpn: int) -> tuple[int, int, int]:
    """Where a walk ends: (entry address, entry, level); level -1: the satp word names no table."""
    level = satp_levels(satp) - 1
    if level < 0:
        return 0, 0, NO_TABLE_LEVEL
    table = satp_root(satp)
    while True:
        address = table + (vpn >> 9 * level & 511) * 8
        pte = read(address)
        if level == 0 or pte & PTE_BRANCH_MASK != PTE_V:
            return address, pte, level
        table = branch_table(pte)
        level -= 1


def find_vma(read: Read, root: int, vpn: int) -> tuple[Outcome, int, int]:
    """Descend the tree of pointer word `root`: (OK, record address, id), or NO_VMA or BAD_TREE with zeros.

    "A lookup takes the last entry whose start VPN is <= the VPN, at most 8 levels deep (deeper is BAD_TREE)." [contract, VMA tree]
    """
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
            word = read(entry + 8)
            if word & 3 == 0:
                break
            start, entry_id = node_entry(read(entry))
            if start > vpn:
                break
            pointer, vma_id = word, entry_id
        if pointer == 0:
            return Outcome.NO_VMA, 0, 0
        if pointer_kind(pointer) == 2:
            return Outcome.OK, address_of(pointer), vma_id
    return Outcome.BAD_TREE, 0, 0


def read_record(read: Read, address: int) -> Record:
    """The words that a lookup reads."""
    return record_words(*(read(address + 8 * i) for i in range(6)))
