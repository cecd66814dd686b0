"""The page table of an address space in memory, which software and the engine both build: where a leaf entry is, and which tables there are.

The engine makes tables, and entries, so both are read from memory. Only software removes tables: what was found once is remembered.
`touched` is a superset of the pages that have an entry or may get one from a fault under way: every page that was asked for through a request, with
those that fault-around may map beside it, and every page that software has installed.
"""

from collections.abc import Container, Iterator

from ..machine import Machine
from .constants import PTE_PPN_SHIFT, PTE_V, Mode
from .memory_layout import MemoryMap

__all__ = ["AROUND_BITS", "PageTable"]

LEVEL_BITS, ENTRY_MASK = 9, 511
PAGE_BITS = 12
AROUND_BITS = 4
"""Fault-around maps pages of the naturally aligned 64 KiB of the faulting one."""


class PageTable:
    """Tables by level and VPN prefix; level 0 are the leaf tables (2 MiB each).

    Attributes
    ----------
    mode, levels : of the table. touched : pages by the prefix of their leaf table.
    """

    def __init__(self, machine: Machine, memory: MemoryMap, mode: Mode = Mode.SV48) -> None:
        self._machine, self._memory = machine, memory
        self.mode, self.levels = mode, mode.levels
        self._root = memory.tables.take()
        self._tables: list[dict[int, int]] = [{} for _ in range(self.levels - 1)]
        self.touched: dict[int, set[int]] = {}

    @property
    def satp(self) -> int:
        """The word of SPACE.TABLE."""
        return self.mode << 60 | self._root >> PAGE_BITS

    def entry(self, vpn: int) -> int:
        """Address of the leaf entry; 0 if there is no table for it."""
        table = self._find(0, vpn >> LEVEL_BITS)
        return table + 8 * (vpn & ENTRY_MASK) if table else 0

    def read(self, vpn: int) -> int:
        """The leaf entry now; 0 if there is no table."""
        address = self.entry(vpn)
        return self._machine.read64(address) if address else 0

    def touch(self, vpn: int) -> None:
        """A fault may give this page an entry, and those around it."""
        first = vpn >> AROUND_BITS << AROUND_BITS
        self.touched.setdefault(vpn >> LEVEL_BITS, set()).update(range(first, first + (1 << AROUND_BITS)))

    def is_touched(self, vpn: int) -> bool:
        return vpn in self.touched.get(vpn >> LEVEL_BITS, ())

    def ensure(self, vpn: int) -> int:
        """Address of the leaf entry; makes the tables that are missing. Only where `missing` lets software do it."""
        return self._make(0, vpn >> LEVEL_BITS) + 8 * (vpn & ENTRY_MASK)

    def missing(self, vpn: int) -> tuple[int, int] | None:
        """Pages [start, end) whose translation changes when the tables for this page are made; None: they are there."""
        for level in range(self.levels - 2, -1, -1):
            shift = LEVEL_BITS * (level + 1)
            if not self._find(level, vpn >> shift):
                return vpn >> shift << shift, (vpn >> shift) + 1 << shift
        return None

    def write(self, vpn: int, value: int) -> None:
        """Write the leaf entry. Only where the contract lets software do it."""
        self.touched.setdefault(vpn >> LEVEL_BITS, set()).add(vpn)
        self._machine.write64(self.ensure(vpn), value)

    def pages(self, start: int, end: int) -> Iterator[int]:
        """Touched pages of [start, end), ascending."""
        for index in self._indices(start, end):
            pages = self.touched[index]
            if start <= index << LEVEL_BITS and index + 1 << LEVEL_BITS <= end:
                yield from sorted(pages)
            else:
                yield from sorted(vpn for vpn in pages if start <= vpn < end)

    def runs(self, start: int, end: int) -> list[tuple[int, int]]:
        """Ranges (first page, count) of [start, end) that hold all its touched pages: one per leaf table, joined where tables adjoin.

        Whether there is a table does not matter: a fault under way may be about to make it.
        """
        runs: list[tuple[int, int]] = []
        for index in self._indices(start, end):
            low, high = index << LEVEL_BITS, index + 1 << LEVEL_BITS
            pages = self.touched[index]
            if start > low or end < high:
                pages = {vpn for vpn in pages if start <= vpn < end}
            if not pages:
                continue
            first, last = min(pages), max(pages) + 1
            if runs and sum(runs[-1]) - 1 >> LEVEL_BITS == index - 1:
                runs[-1] = runs[-1][0], last - runs[-1][0]
            else:
                runs.append((first, last - first))
        return runs

    def may_have_tables(self, start: int, end: int) -> bool:
        """A leaf table lies wholly in [start, end), or a fault under way may make one there."""
        low, high = -(-start >> LEVEL_BITS), end >> LEVEL_BITS
        return low < high and (any(True for _ in self._keys(self.touched, low, high)) or bool(self.tables_inside(start, end)))

    def tables_inside(self, start: int, end: int) -> list[int]:
        """Prefixes of the leaf tables that lie wholly in [start, end)."""
        return list(self._below(self.levels - 1, 0, -(-start >> LEVEL_BITS), end >> LEVEL_BITS))

    def unlink(self, prefix: int) -> None:
        """Take a leaf table, whose entries are all 0, out of the tree and retire it. Only within a section; IOTINVAL and a fence follow."""
        self._memory.retire_table(self.detach(prefix))

    def detach(self, prefix: int, level: int = 0) -> int:
        """Take a table out of the tree, as it is and with those below it; returns its address. Only within a section; IOTINVAL and a fence follow."""
        table, upper = self._find(level, prefix), self._find(level + 1, prefix >> LEVEL_BITS)
        for below in range(level + 1):
            shift = LEVEL_BITS * (level - below)
            for key in [key for key in self._tables[below] if key >> shift == prefix]:
                del self._tables[below][key]
        self._machine.write64(upper + 8 * (prefix & ENTRY_MASK), 0)
        return table

    def attach(self, prefix: int, word: int) -> None:
        """Write the entry above a leaf table, which is 0 now: for a table or a huge page, or 0 in place of that. Only within a section."""
        self._machine.write64(self._make(1, prefix >> LEVEL_BITS) + 8 * (prefix & ENTRY_MASK), word)

    def forget(self, start: int, end: int, but: Container[int]) -> None:
        """The pages of [start, end) have no entries and get none, except those whose 64 KiB are in `but`."""
        for index in self._indices(start, end):
            kept = {vpn for vpn in self.touched[index] if not start <= vpn < end or vpn >> AROUND_BITS in but}
            if kept:
                self.touched[index] = kept
            else:
                del self.touched[index]

    def destroy(self) -> list[int]:
        """Retire all tables, cleared; nobody walks them any more. Returns the leaf entries that were there."""
        entries = self._clear(self.levels - 1, self._root)
        self._tables = [{} for _ in range(self.levels - 1)]
        self.touched = {}
        return entries

    def _clear(self, level: int, table: int) -> list[int]:
        read, write = self._machine.read64, self._machine.write64
        entries: list[int] = []
        for address in range(table, table + 8 * (ENTRY_MASK + 1), 8):
            if word := read(address):
                entries += self._clear(level - 1, _table_of(word)) if level else [word]
                write(address, 0)
        self._memory.retire_table(table)
        return entries

    def _find(self, level: int, prefix: int) -> int:
        """The table at this level; 0: there is none now."""
        if level == self.levels - 1:
            return self._root
        table = self._tables[level].get(prefix, 0)
        if not table and (upper := self._find(level + 1, prefix >> LEVEL_BITS)):
            word = self._machine.read64(upper + 8 * (prefix & ENTRY_MASK))
            if word & PTE_V:
                table = self._tables[level][prefix] = _table_of(word)
        return table

    def _make(self, level: int, prefix: int) -> int:
        """The table at this level; makes it, and what is missing above it, from above: each is empty when it can be seen."""
        table = self._find(level, prefix)
        if not table:
            table = self._tables[level][prefix] = self._memory.tables.take()
            upper = self._make(level + 1, prefix >> LEVEL_BITS)
            self._machine.write64(upper + 8 * (prefix & ENTRY_MASK), table >> PAGE_BITS << PTE_PPN_SHIFT | PTE_V)
        return table

    def _below(self, level: int, prefix: int, low: int, high: int) -> Iterator[int]:
        """Prefixes in [low, high) of the leaf tables below a table."""
        if not level:
            yield prefix
        elif self._find(level, prefix):
            shift = LEVEL_BITS * (level - 1)
            first, last = max(prefix << LEVEL_BITS, low >> shift), min(prefix + 1 << LEVEL_BITS, -(-high >> shift))
            for child in range(first, last):
                if self._find(level - 1, child):
                    yield from self._below(level - 1, child, low, high)

    def _indices(self, start: int, end: int) -> list[int]:
        return sorted(self._keys(self.touched, start >> LEVEL_BITS, -(-end >> LEVEL_BITS)))

    @staticmethod
    def _keys(table: dict, low: int, high: int) -> Iterator[int]:
        """Keys in [low, high), whichever way is shorter."""
        if high - low <= len(table):
            return (key for key in range(low, high) if key in table)
        return (key for key in table if low <= key < high)


def _table_of(word: int) -> int:
    return (word >> PTE_PPN_SHIFT & (1 << 44) - 1) << PAGE_BITS
