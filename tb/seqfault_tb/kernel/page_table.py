"""The page table of an address space in memory (Sv48), as software keeps it: which tables exist, and where a leaf entry is.

What the leaf entries hold is read from memory, because the engine writes them too. `touched` is a superset of the pages that have an entry:
every page that was asked for through a request, or that software has installed.
"""

from collections.abc import Container, Iterator

from ..machine import Machine
from .constants import PTE_PPN_SHIFT, PTE_V, Mode
from .memory_layout import MemoryMap

__all__ = ["PageTable"]

LEVEL_BITS, ENTRY_MASK = 9, 511
LEVELS = 4


class PageTable:
    """Tables by level and VPN prefix; level 0 are the leaf tables (2 MiB each)."""

    def __init__(self, machine: Machine, memory: MemoryMap) -> None:
        self._machine, self._memory = machine, memory
        self._root = memory.tables.take()
        self._tables: list[dict[int, int]] = [{} for _ in range(LEVELS - 1)]
        self.touched: dict[int, set[int]] = {}

    @property
    def satp(self) -> int:
        """The word of SPACE.TABLE."""
        return Mode.SV48 << 60 | self._root >> 12

    def entry(self, vpn: int) -> int:
        """Address of the leaf entry; 0 if there is no table for it."""
        table = self._tables[0].get(vpn >> LEVEL_BITS)
        return table + 8 * (vpn & ENTRY_MASK) if table else 0

    def read(self, vpn: int) -> int:
        """The leaf entry now; 0 if there is no table."""
        address = self.entry(vpn)
        return self._machine.read64(address) if address else 0

    def touch(self, vpn: int) -> None:
        """This page may get an entry."""
        pages = self.touched.get(vpn >> LEVEL_BITS)
        if pages is None:
            self.touched[vpn >> LEVEL_BITS] = {vpn}
        else:
            pages.add(vpn)

    def ensure(self, vpn: int) -> int:
        """Address of the leaf entry; makes the tables that are missing (none -> table is allowed at any time)."""
        return self._table(0, vpn >> LEVEL_BITS) + 8 * (vpn & ENTRY_MASK)

    def write(self, vpn: int, value: int) -> None:
        """Write the leaf entry. Only where the contract lets software do it."""
        self.touch(vpn)
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
        """Ranges (first page, count) of [start, end) that hold all its touched pages: one per leaf table, joined where tables adjoin."""
        runs: list[tuple[int, int]] = []
        for index in self._indices(start, end):
            low, high = index << LEVEL_BITS, index + 1 << LEVEL_BITS
            pages = self.touched[index]
            if start > low or end < high:
                pages = {vpn for vpn in pages if start <= vpn < end}
            if not pages or index not in self._tables[0]:
                continue
            first, last = min(pages), max(pages) + 1
            if runs and sum(runs[-1]) - 1 >> LEVEL_BITS == index - 1:
                runs[-1] = runs[-1][0], last - runs[-1][0]
            else:
                runs.append((first, last - first))
        return runs

    def tables_inside(self, start: int, end: int) -> list[int]:
        """Prefixes of the leaf tables that lie wholly in [start, end)."""
        low, high = -(-start >> LEVEL_BITS), end >> LEVEL_BITS
        return sorted(self._keys(self._tables[0], low, high))

    def unlink(self, prefix: int) -> None:
        """Take a leaf table, whose entries are all 0, out of the tree and retire it. Only within a section; IOTINVAL and a fence follow."""
        table = self._tables[0].pop(prefix)
        upper = self._tables[1][prefix >> LEVEL_BITS]
        self._machine.write64(upper + 8 * (prefix & ENTRY_MASK), 0)
        self._memory.quarantine.retire(self._memory.tables, table)
        self.touched.pop(prefix, None)

    def forget(self, start: int, end: int, but: Container[int]) -> None:
        """The pages of [start, end) have no entries and get none, except those in `but`."""
        for index in self._indices(start, end):
            kept = {vpn for vpn in self.touched[index] if not start <= vpn < end or vpn in but}
            if kept:
                self.touched[index] = kept
            else:
                del self.touched[index]

    def destroy(self) -> None:
        """Retire all tables, cleared; nobody walks them any more and the leaf entries are 0."""
        write, retire = self._machine.write64, self._memory.quarantine.retire
        for level in range(LEVELS - 1):
            for prefix, table in self._tables[level].items():
                upper = self._tables[level + 1].get(prefix >> LEVEL_BITS) if level + 1 < LEVELS - 1 else self._root
                if upper:
                    write(upper + 8 * (prefix & ENTRY_MASK), 0)
                retire(self._memory.tables, table)
        retire(self._memory.tables, self._root)
        self._tables = [{} for _ in range(LEVELS - 1)]
        self.touched = {}

    def _table(self, level: int, prefix: int) -> int:
        table = self._tables[level].get(prefix) if level < LEVELS - 1 else self._root
        if table is None:
            table = self._tables[level][prefix] = self._memory.tables.take()
            upper = self._table(level + 1, prefix >> LEVEL_BITS)
            self._machine.write64(upper + 8 * (prefix & ENTRY_MASK), table >> 12 << PTE_PPN_SHIFT | PTE_V)
        return table

    def _indices(self, start: int, end: int) -> list[int]:
        return sorted(self._keys(self.touched, start >> LEVEL_BITS, -(-end >> LEVEL_BITS)))

    @staticmethod
    def _keys(table: dict, low: int, high: int) -> Iterator[int]:
        """Keys in [low, high), whichever way is shorter."""
        if high - low <= len(table):
            return (key for key in range(low, high) if key in table)
        return (key for key in table if low <= key < high)
