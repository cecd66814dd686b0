"""Memory of which chosen accesses answer with errors, and a small address space in it: anonymous memory, a private and a shared file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cocotb.triggers import Timer

from .axi_memory import FailingRegion

__all__ = ["ANON", "FILE", "HEIGHT", "HOLES", "LEVELS", "NODE", "POOL", "PRIVATE", "ROOT_NODE", "SHARED", "TABLES", "Fault", "FaultyMemory", "World"]

LEVELS, INDEX_BITS, PAGE_BYTES, WORD_BYTES = 4, 9, 4096, 8
ANON, PRIVATE, SHARED = 0x1000_0000, 0x1004_0000, 0x1008_0000
"""First VPN of each VMA, of `PAGES`; a GiB apart. There is a leaf table for the first `MADE` of each, and the cache has as many pages."""
PAGES, MADE = 4096, 512
HOLES = range(ANON + MADE, ANON + PAGES, MADE)
"""First VPNs of leaf tables that are missing."""
TABLES, ROOT_NODE, RECORDS, NODE = 0x8010_0000, 0x8020_0000, 0x8020_1000, 0x8021_0000
FILE, POOL = 0x9_0000, 0xA_0000
"""First PPN of the file's frames, and of those that software puts into the free ring."""
RECORD, KIND_NODE, KIND_RECORD = 64, 1, 2
VRWXU = 0x1F
RIGHTS, FLAG_SHARED, FLAG_ANON = 7, 8, 16
SLOTS, HEIGHT, SLOT_BITS = 64, 2, 0xB
VALID, PPN_SHIFT = 1, 10


@dataclass(kw_only=True)
class Fault:
    """Accesses of this kind ("read" or "write") from `start` to before `end` fail, after the first `after`; `met` counts those that did."""

    kind: str
    start: int
    end: int
    after: int = 0
    met: int = 0

    def fails(self, kind: str, address: int) -> bool:
        """Ask for each access, once."""
        if kind != self.kind or not self.start <= address < self.end:
            return False
        if self.after:
            self.after -= 1
            return False
        self.met += 1
        return True


class FaultyMemory(FailingRegion):
    """`faults` say which accesses fail. `lost` : (address, data) of every write that failed and left memory as it was. `delay` : ns for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.lost: list[tuple[int, int]] = []
        self.delay = 0

    def fail(self, kind: str, address: int, size: int = WORD_BYTES, *, after: int = 0) -> Fault:
        """From now on these accesses fail."""
        fault = Fault(kind=kind, start=address, end=address + size, after=after)
        self.faults.append(fault)
        return fault

    def repair(self) -> None:
        """From now on none does."""
        self.faults.clear()

    async def _take_time(self) -> None:
        if self.delay:
            await Timer(self.delay, "ns")

    async def _read(self, address: int, length: int, **kwargs: Any) -> bytes:
        await self._take_time()
        if any([fault.fails("read", address) for fault in self.faults]):
            raise OSError(f"planned bus error of the read at {address:#x}")
        return await super()._read(address, length, **kwargs)

    async def _write(self, address: int, data: bytes, **kwargs: Any) -> None:
        await self._take_time()
        if any([fault.fails("write", address) for fault in self.faults]):
            self.lost.append((address, int.from_bytes(data, "little")))
            raise OSError(f"planned bus error of the write at {address:#x}")
        await super()._write(address, data, **kwargs)


class World:
    """Page tables, VMA tree and page cache, written through `write` and known by address.

    Parameters
    ----------
    first_id : of the three VMAs; `ids` has them by their first VPN.
    """

    def __init__(self, read: Callable[[int], int], write: Callable[[int, int], None], first_id: int = 1) -> None:
        self._read, self._write = read, write
        self.ids = {first: first_id + index for index, first in enumerate((ANON, PRIVATE, SHARED))}
        self._tables: dict[int, int] = {}
        self._entries: dict[tuple[int, int], int] = {}
        for first in (ANON, PRIVATE, SHARED):
            self._make(first)
        for index, (first, flags) in enumerate(((ANON, FLAG_ANON), (PRIVATE, 0), (SHARED, FLAG_SHARED))):
            self._record(index, first, RIGHTS | flags)
        self._cache()

    def entry(self, vpn: int, level: int = 0) -> int:
        """Address of the entry of this level."""
        return self._entries[vpn >> INDEX_BITS * (level + 1), level] + WORD_BYTES * (vpn >> INDEX_BITS * level & 511)

    def leaf(self, vpn: int) -> int:  # type: ignore[return]
        """The leaf entry as memory has it; 0: there is no table."""
        table = TABLES
        for level in reversed(range(LEVELS)):
            word = self._read(table + WORD_BYTES * (vpn >> INDEX_BITS * level & 511))
            if not word or not level:
                return word
            table = word >> PPN_SHIFT << 12

    def record(self, vpn: int) -> int:
        """Address of the record of the page's VMA."""
        return RECORDS + RECORD * ((vpn - ANON) // (PRIVATE - ANON))

    def inner(self, vpn: int) -> int:
        """Address of the inner word of the page cache for a page of a file."""
        return NODE + WORD_BYTES * (vpn % PAGES // SLOTS)

    def slot(self, vpn: int) -> int:
        """Address of its slot."""
        return NODE + SLOTS * WORD_BYTES * (1 + vpn % PAGES // SLOTS) + WORD_BYTES * (vpn % SLOTS)

    def _make(self, vpn: int) -> None:
        table = TABLES
        for level in reversed(range(LEVELS)):
            self._entries[vpn >> INDEX_BITS * (level + 1), level] = table
            if level:
                covered = vpn >> INDEX_BITS * level << 3 | level
                below = self._tables.setdefault(covered, TABLES + PAGE_BYTES * (1 + len(self._tables)))
                self._write(self.entry(vpn, level), below >> 12 << PPN_SHIFT | VALID)
                table = below

    def _record(self, index: int, first: int, flags: int) -> None:
        number, at = self.ids[first], RECORDS + RECORD * index
        backing = 0 if flags & FLAG_ANON else HEIGHT | NODE
        for word, value in enumerate((first | number << 48, first + PAGES, flags, VRWXU, 0, backing, 0, 0)):
            self._write(at + WORD_BYTES * word, value)
        self._write(ROOT_NODE + 16 * index, first | number << 48)
        self._write(ROOT_NODE + 16 * index + WORD_BYTES, at | KIND_RECORD)

    def _cache(self) -> None:
        for node in range(MADE // SLOTS):
            below = NODE + SLOTS * WORD_BYTES * (1 + node)
            self._write(NODE + WORD_BYTES * node, below | VALID)
        for page in range(MADE):
            self._write(self.slot(page), FILE + page << PPN_SHIFT | SLOT_BITS)
