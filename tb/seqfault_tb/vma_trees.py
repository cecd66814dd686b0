"""Builds VMA trees in a `WordMemory`, as docs/software-contract.md describes them; shares nothing with the RTL's layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .memory_ports import WordMemory

__all__ = ["TreeBuilder", "Vma"]

KIND_NODE, KIND_RECORD = 1, 2
NODE_BYTES, NODE_ENTRIES, ENTRY_BYTES = 128, 8, 16
RECORD_BYTES, RECORD_WORDS = 64, 8


@dataclass(frozen=True, kw_only=True)
class Vma:
    """A mapping of pages `start` to `end` - 1; `record` is the address of its record."""

    id: int
    start: int
    end: int
    flags: int
    page_prot: int
    record: int
    pgoff: int = 0
    backing: int = 0


class TreeBuilder:
    """Allocates nodes and records from a memory; never reuses an address."""

    def __init__(self, memory: WordMemory, rng: Random, base: int = 0x4_0000_0000) -> None:
        self._memory, self._rng, self._next = memory, rng, base

    def allocate(self, size: int) -> int:
        """An address aligned to `size`, here and there with a gap before it."""
        self._next = -(-self._next // size) * size + size * self._rng.choice((0, 0, 1, 5))
        self._next += size
        return self._next - size

    def new_record(self) -> int:
        """The address of a new record, its words 0."""
        address = self.allocate(RECORD_BYTES)
        for word in range(RECORD_WORDS):
            self._memory[address + 8 * word] = 0
        return address

    def write_record(self, vma: Vma) -> None:
        """Store the words of the record."""
        for word, value in enumerate((vma.start | vma.id << 48, vma.end, vma.flags, vma.page_prot, vma.pgoff, vma.backing)):
            self._memory[vma.record + 8 * word] = value

    def node(self, entries: Sequence[tuple[int, int, int]]) -> int:
        """A node of (start VPN, id, pointer word); returns its pointer word. What follows the last entry is garbage after a kind 0."""
        assert len(entries) <= NODE_ENTRIES
        address = self.allocate(NODE_BYTES)
        for index in range(NODE_ENTRIES):
            start, vma_id, pointer = (0, 0, 0)
            if index < len(entries):
                start, vma_id, pointer = entries[index]
            elif index > len(entries):
                pointer = self._rng.choice((0, KIND_RECORD | 0x1240))
            self._memory[address + ENTRY_BYTES * index] = start | vma_id << 48
            self._memory[address + ENTRY_BYTES * index + 8] = pointer
        return address | KIND_NODE

    def tree(self, vmas: Sequence[Vma]) -> int:
        """A tree over these VMAs (sorted by start), nodes filled at random; returns the root's pointer word (0: empty)."""
        level = [(vma.start, vma.id, vma.record | KIND_RECORD) for vma in vmas]
        while level and (len(level) > 1 or level[0][2] & 3 != KIND_NODE):
            nodes, position = [], 0
            while position < len(level):
                size = self._rng.randint(2, NODE_ENTRIES)
                group = level[position : position + size]
                nodes.append((group[0][0], 0, self.node(group)))
                position += size
            level = nodes
        return level[0][2] if level else 0
