"""Walks of page tables and VMA trees in memory, straight from docs/software-contract.md; nothing is shared with the testbench kernel."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Leaf", "Record", "find_vma", "leaves", "records", "tree_lines", "walk"]

Read = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a walk ended: `level` 0 at the leaf table; `address` of the entry, and the entry."""

    level: int
    address: int
    entry: int


@dataclass(frozen=True, slots=True)
class Record:
    """A VMA record in memory."""

    address: int
    start: int
    id: int
    end: int
    flags: int
    page_prot: int

    @classmethod
    def read(cls, read: Read, address: int) -> "Record":
        first = read(address)
        return cls(address, first & (1 << 48) - 1, first >> 48, read(address + 8) & (1 << 48) - 1, read(address + 16), read(address + 24))


def walk(read: Read, satp: int, vpn: int) -> Leaf:
    """Walk Sv48 tables down to a 4 KiB entry or to where there is none."""
    table = (satp & (1 << 44) - 1) << 12
    for level in (3, 2, 1, 0):
        address = table + 8 * (vpn >> 9 * level & 511)
        entry = read(address)
        if level == 0 or not entry & 1 or entry & 0xE:
            return Leaf(level, address, entry)
        table = (entry >> 10 & (1 << 44) - 1) << 12
    raise AssertionError


def leaves(read: Read, satp: int) -> Iterator[tuple[int, int]]:
    """All valid 4 KiB entries: (VPN, entry)."""
    level_tables = [((satp & (1 << 44) - 1) << 12, 0)]
    for _ in range(3):
        below = []
        for table, prefix in level_tables:
            for index in range(512):
                entry = read(table + 8 * index)
                if entry & 1:
                    below.append(((entry >> 10 & (1 << 44) - 1) << 12, prefix << 9 | index))
        level_tables = below
    for table, prefix in level_tables:
        for index in range(512):
            entry = read(table + 8 * index)
            if entry & 1:
                yield prefix << 9 | index, entry


def _entries(read: Read, node: int) -> Iterator[tuple[int, int, int]]:
    """(start VPN, id, pointer word) of a node."""
    for address in range(node, node + 128, 16):
        pointer = read(address + 8)
        if pointer & 3 == 0:
            return
        first = read(address)
        yield first & (1 << 48) - 1, first >> 48, pointer


def find_vma(read: Read, pointer: int, vpn: int) -> Record | None:
    """The record that a lookup ends at; None: no such entry. Raises `ValueError` for a bad tree."""
    for _ in range(9):
        if pointer & 3 == 0:
            return None
        if pointer & 3 == 2:
            return Record.read(read, pointer & ~63)
        if pointer & 3 != 1 or pointer & 127 & ~1:
            raise ValueError(f"a bad pointer word {pointer:#x}")
        found = None
        for start, _, below in _entries(read, pointer & ~127):
            if start > vpn:
                break
            found = below
        if found is None:
            return None
        pointer = found
    raise ValueError("the VMA tree is deeper than 8 levels")


def records(read: Read, pointer: int) -> Iterator[tuple[int, int, Record]]:
    """All leaf entries in order: (start VPN and id in the node, record)."""
    if pointer & 3 == 1:
        for start, vma_id, below in _entries(read, pointer & ~127):
            if below & 3 == 2:
                yield start, vma_id, Record.read(read, below & ~63)
            else:
                yield from records(read, below)


def tree_lines(read: Read, pointer: int) -> Iterator[tuple[int, int | None]]:
    """64-byte lines of the tree: nodes with None, records with their id."""
    if pointer & 3 == 1:
        node = pointer & ~127
        yield node, None
        yield node + 64, None
        for _, vma_id, below in _entries(read, node):
            if below & 3 == 2:
                yield below & ~63, vma_id
            else:
                yield from tree_lines(read, below)
