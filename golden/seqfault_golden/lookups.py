"""Lookups in memory as it is now: the page walk and the descent of the VMA tree, through a function that reads a word."""

from collections.abc import Callable, Iterator

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

__all__ = ["NO_TABLE_LEVEL", "Read", "find_vma", "node_entries", "read_record", "tree_entries", "walk"]

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


def node_entries(read: Read, node: int) -> Iterator[tuple[int, int, int]]:
    """The entries of a node of the VMA tree, "the first entry with kind 0 ends the node": (pointer word, start VPN, VMA id)."""
    for entry in range(node, node + NODE_ENTRIES * 16, 16):
        below = read(entry + 8)
        if pointer_kind(below) == 0:
            return
        yield below, *node_entry(read(entry))


def tree_entries(read: Read, root: int) -> Iterator[tuple[int, int, int]]:
    """All pointer words of a VMA tree in order, from the root on, as `node_entries` gives them (the root's VPN and id are 0)."""
    return _tree_entries(read, (root, 0, 0), TREE_DEPTH)


def _tree_entries(read: Read, entry: tuple[int, int, int], depth: int) -> Iterator[tuple[int, int, int]]:
    yield entry
    if pointer_kind(entry[0]) == 1 and depth:
        for below in node_entries(read, address_of(entry[0])):
            yield from _tree_entries(read, below, depth - 1)


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
        node, pointer, vma_id = address_of(pointer), 0, 0
        for below, start, entry_id in node_entries(read, node):
            if start > vpn:
                break
            pointer, vma_id = below, entry_id
        if pointer == 0:
            return Outcome.NO_VMA, 0, 0
        if pointer_kind(pointer) == 2:
            return Outcome.OK, address_of(pointer), vma_id
    return Outcome.BAD_TREE, 0, 0


def read_record(read: Read, address: int) -> Record:
    """The words that a lookup reads."""
    return record_words(*(read(address + 8 * i) for i in range(6)))
