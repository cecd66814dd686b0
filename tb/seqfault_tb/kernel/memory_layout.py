"""Physical memory of the testbench kernel: who owns which bytes, what may be reused when, and the two rings of frames.

Nodes, records, tables, frames and VMA ids that the engine may still be looking at go through `retire`: they are free again when an
IOFENCE.C(PR) posted later has completed. Memory is expected to read 0 where nothing was ever written. Nobody writes data into frames, so a
reused one is a zeroed one; one that was a table is, because a table is given back empty.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..machine import Machine
from .constants import CACHE_NODE_BYTES, NODE_BYTES, RECORD_BYTES, TABLE_BYTES, Register

__all__ = [
    "COMMAND_LOG2",
    "FREE_LOG2",
    "PAGE_REQUEST_LOG2",
    "RELEASED_LOG2",
    "FreeRing",
    "MemoryMap",
    "OutOfMemory",
    "Pool",
    "Quarantine",
    "ReleasedRing",
]

FREE_LOG2, RELEASED_LOG2, COMMAND_LOG2, PAGE_REQUEST_LOG2 = 9, 9, 9, 9
"""Sizes of the rings."""


class OutOfMemory(RuntimeError):
    """A region of the testbench's memory is used up."""


class Pool:
    """Items of one kind: freed ones are used first, oldest first; else `make` gives a new one."""

    def __init__(self, make: Callable[[], int]) -> None:
        self._make = make
        self._free: deque[int] = deque()

    def take(self) -> int:
        return self._free.popleft() if self._free else self._make()

    @property
    def has_free(self) -> bool:
        """One that was used before is free."""
        return bool(self._free)

    def give(self, item: int) -> None:
        """The item is free at once: nobody else has ever seen it, or its fence has completed."""
        self._free.append(item)


class Quarantine:
    """Items that become free with the completion of a fence that is posted after they were retired."""

    def __init__(self) -> None:
        self._fresh: list[tuple[Pool, int]] = []
        self._fenced: deque[tuple[int, list[tuple[Pool, int]]]] = deque()

    def retire(self, pool: Pool, item: int) -> None:
        self._fresh.append((pool, item))

    @property
    def waits_for_a_fence(self) -> int:
        """Items retired since the last fence was posted."""
        return len(self._fresh)

    def fence_posted(self, number: int) -> None:
        """An IOFENCE.C(PR) is in the queue."""
        if self._fresh:
            self._fenced.append((number, self._fresh))
            self._fresh = []

    def fence_completed(self, number: int) -> None:
        """The fence `number`, and those before it, have completed."""
        while self._fenced and self._fenced[0][0] <= number:
            for pool, item in self._fenced.popleft()[1]:
                pool.give(item)


@dataclass(kw_only=True)
class MemoryMap:
    """Where things are, in bytes: at `base` the kernel's structures, at `frames_base` the page frames. The engine makes tables of frames, so both
    are memory.

    Attributes
    ----------
    tables, nodes, records, cache_nodes, frames, ids : pools of addresses (frames: PPNs; ids: VMA ids, never 0).
    """

    base: int = 0x8000_0000
    size: int = 0x2000_0000
    frames_base: int = 0xA000_0000
    frames_size: int = 0x8_0000_0000

    def __post_init__(self) -> None:
        self._next, self._next_frame, self._next_id = self.base, self.frames_base >> 12, 1
        self._small: dict[int, int] = {}
        self.tables = Pool(lambda: self.region(TABLE_BYTES))
        self.nodes = Pool(lambda: self._carve(NODE_BYTES))
        self.records = Pool(lambda: self._carve(RECORD_BYTES))
        self.cache_nodes = Pool(lambda: self._carve(CACHE_NODE_BYTES))
        self.frames = Pool(self._frame)
        self.ids = Pool(self._id)
        self.quarantine = Quarantine()

    def region(self, size: int) -> int:
        """The address of `size` new bytes, aligned to `size` (a power of two)."""
        address = -(-self._next // size) * size
        if address + size > self.base + self.size:
            raise OutOfMemory(f"the kernel's {self.size >> 20} MiB for tables and VMA trees are used up")
        self._next = address + size
        return address

    def retire_table(self, address: int) -> None:
        """A page table, empty again: it goes where it came from, if the engine made it to the frames."""
        if address >= self.frames_base:
            self.quarantine.retire(self.frames, address >> 12)
        else:
            self.quarantine.retire(self.tables, address)

    def _carve(self, size: int) -> int:
        """A small object, from a page of objects of its size."""
        at = self._small.get(size, 0)
        if at % TABLE_BYTES == 0:
            at = self.region(TABLE_BYTES)
        self._small[size] = at + size
        return at

    def _frame(self) -> int:
        if self._next_frame << 12 >= self.frames_base + self.frames_size:
            raise OutOfMemory(f"the {self.frames_size >> 20} MiB of page frames are used up")
        self._next_frame += 1
        return self._next_frame - 1

    def _id(self) -> int:
        if self._next_id > 0xFFFF:
            raise OutOfMemory("more than 65535 VMAs")
        self._next_id += 1
        return self._next_id - 1


def _write_base(machine: Machine, register: Register, address: int, log2: int) -> None:
    base = log2 - 1 | (address >> 12) << 10
    machine.write_register(register, base & 0xFFFFFFFF)
    machine.write_register(register + 4, base >> 32)


class FreeRing:
    """The ring of zeroed frames for the engine; `fill` keeps it full."""

    def __init__(self, machine: Machine, base: int, log2: int = FREE_LOG2) -> None:
        self._machine, self._base, self._mask, self._log2 = machine, base, (1 << log2) - 1, log2
        self._tail = 0
        self._low = 0

    @property
    def addresses(self) -> range:
        """Byte addresses of the ring."""
        return range(self._base, self._base + 8 * (self._mask + 1))

    def offered(self, head: int) -> int:
        """Frames in it, when the engine's head is at index `head`."""
        return self._tail - head & self._mask

    def start(self) -> None:
        _write_base(self._machine, Register.FFB, self._base, self._log2)
        self._machine.write_register(Register.FFCSR, 1)

    def fill(self, head: int, frames: Pool) -> None:
        """The engine's head is at index `head`: put frames after the tail if an eighth of the ring is free."""
        room = self._mask - (self._tail - head & self._mask)
        if room <= self._mask >> 3:
            return
        write = self._machine.write64
        for _ in range(room):
            write(self._base + 8 * self._tail, frames.take())
            self._tail = self._tail + 1 & self._mask
        self._machine.write_register(Register.FFT, self._tail)


class ReleasedRing:
    """The ring of entries that ZAP removed; `drain` reads what is new."""

    def __init__(self, machine: Machine, base: int, log2: int = RELEASED_LOG2) -> None:
        self._machine, self._base, self._mask, self._log2 = machine, base, (1 << log2) - 1, log2
        self._head = 0

    def start(self) -> None:
        _write_base(self._machine, Register.RFB, self._base, self._log2)
        self._machine.write_register(Register.RFCSR, 1)

    def drain(self, tail: int) -> list[tuple[int, int, int]]:
        """Entries up to index `tail`: (PTE, VPN, space)."""
        if tail == self._head:
            return []
        read, entries = self._machine.read64, []
        while self._head != tail:
            address = self._base + 16 * self._head
            where = read(address + 8)
            entries.append((read(address), where & (1 << 48) - 1, where >> 48))
            self._head = self._head + 1 & self._mask
        self._machine.write_register(Register.RFH, tail)
        return entries
