"""The parts of a world that are plain data by number: fault contexts, sequences, locks. The checker's world and the replay's are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..layout import EVERY_SPACE, PAGE_BITS, Outcome
from .plan import Plan
from .world import Phase

__all__ = ["RUNNING", "PlainFault", "PlainWorld", "Sequences"]

_WALKED = frozenset(map(Phase, (*range(Phase.R7, Phase.R18 + 1), *range(Phase.PAGE, Phase.TABLE + 1))))
"""An INVALIDATE of the page is to be noticed by C2."""
RUNNING = _WALKED | frozenset((*map(Phase, range(Phase.R1, Phase.R7)), Phase.FAILED))
"""An attempt is being made."""


@dataclass(slots=True)
class PlainFault:
    """[Fault]. `invalidated`: an INVALIDATE hit the page since the walk began. `slot`: address of the page's slot in the page cache.

    `start`, `end` : the VMA's pages, from the snapshot.
    """

    agent: int
    phase: int = Phase.IDLE
    space: int = 0
    vpn: int = 0
    access: int = 0
    flags: int = 0
    attempt: int = 0
    classic: bool = False
    holds_read_lock: bool = False
    holds_vma: bool = False
    pinned: bool = False
    invalidated: bool = False
    record: int = 0
    id: int = 0
    seq: int = 0
    vma_flags: int = 0
    page_prot: int = 0
    entry_address: int = 0
    entry: int = 0
    plan: int = Plan.ZERO
    source: int = 0
    slot: int = 0
    start: int = 0
    end: int = 0
    frame: int = 0
    owned: bool = False
    locked: int = 0
    pte: int = 0
    reason: int = Outcome.OK

    def is_of(self, space: int, first: int, pages: int) -> bool:
        """The fault's page is among these; `pages` 0: all."""
        return space in (EVERY_SPACE, self.space) and (pages == 0 or first <= self.vpn < first + pages)


class Sequences:
    """The sequence table: id to a 32-bit sequence, modulo its size. [contract, Sequence counters]"""

    __slots__ = ("_changed", "_generations", "_writers", "entries")

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self._generations: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        self._changed: dict[int, int] = {}

    def value(self, vma_id: int) -> int:
        """`generation << 1 | (writers != 0)`"""
        index = vma_id % self.entries
        return self._generations.get(index, 0) << 1 | (self._writers.get(index, 0) != 0)

    def writers(self, vma_id: int) -> int:
        """Active writers of the entry."""
        return self._writers.get(vma_id % self.entries, 0)

    def changed_at(self, vma_id: int) -> int:
        """Tick of the last BEGIN or END of the entry."""
        return self._changed.get(vma_id % self.entries, 0)

    def begin(self, vma_id: int, now: int) -> None:
        """`SEQ.BEGIN`: "generation + 1, writers + 1"."""
        index = vma_id % self.entries
        self._generations[index] = self._generations.get(index, 0) + 1 & 0x7FFFFFFF
        self._writers[index] = self._writers.get(index, 0) + 1
        self._changed[index] = now

    def end(self, vma_id: int, now: int) -> None:
        """`SEQ.END`: "writers - 1"."""
        index = vma_id % self.entries
        self._writers[index] -= 1
        self._changed[index] = now

    def open_entries(self) -> list[int]:
        """Entries with active writers."""
        return [index for index, writers in self._writers.items() if writers]


class PlainWorld:
    """Sequences, PTE locks, mm locks, and the reach of an invalidation. [World]

    Attributes
    ----------
    unzeroed : as in World. now : tick of the step in execution; a world without time leaves it at 0.
    faults : the contexts, by agent. sequences : the counters.
    pte_locks : table address to the agent that holds its lock. mm_writers : spaces under MM_LOCK.
    """

    unzeroed = False
    now = 0

    def __init__(self, faults: Sequence[PlainFault], sequence_entries: int) -> None:
        self._faults = faults
        self.sequences = Sequences(sequence_entries)
        self.pte_locks: dict[int, int] = {}
        self.mm_writers: set[int] = set()
        self._mm_readers: dict[int, set[int]] = {}

    def sequence(self, vma_id: int) -> int:
        return self.sequences.value(vma_id)

    def is_linked(self, vma_id: int) -> bool:
        return True

    def begin_section(self, vma_id: int) -> None:
        self.sequences.begin(vma_id, self.now)

    def end_section(self, vma_id: int) -> None:
        self.sequences.end(vma_id, self.now)

    def active_writers(self, vma_id: int) -> int:
        return self.sequences.writers(vma_id)

    def vma_holders(self, vma_id: int) -> list[int]:
        entries = self.sequences.entries
        return [fault.agent for fault in self._faults if fault.holds_vma and fault.id % entries == vma_id % entries]

    def invalidate(self, space: int, first: int, pages: int) -> None:
        """IOTINVAL.VMA (K2 "flush", F3): no walk that began before may be trusted by a fault of these pages (C2); `pages` 0: all."""
        for fault in self._faults:
            if fault.phase in _WALKED and fault.is_of(space, first, pages):
                fault.invalidated = True

    def parent_is_same(self, agent: int) -> bool:
        """Decided by the INVALIDATEs since the walk began. [contract, PTE locks: "with the IOTINVAL.VMA before the SEQ.END"]"""
        return not self._faults[agent].invalidated

    def table_of(self, address: int) -> int:
        return address >> PAGE_BITS << PAGE_BITS

    def lock_holder(self, table: int) -> int | None:
        return self.pte_locks.get(table)

    def take_lock(self, table: int, agent: int) -> None:
        self.pte_locks[table] = agent

    def drop_lock(self, table: int) -> None:
        del self.pte_locks[table]

    def flush_page(self, agent: int) -> None:
        """FLUSH "counts" as an INVALIDATE of the page. [contract, Steps and outcomes]"""
        fault = self._faults[agent]
        self.invalidate(fault.space, fault.vpn, 1)

    def mm_writer(self, space: int) -> bool:
        return space in self.mm_writers

    def mm_readers(self, space: int) -> set[int]:
        return self._mm_readers.setdefault(space, set())

    def set_mm_writer(self, space: int, held: bool) -> None:
        if held:
            self.mm_writers.add(space)
        else:
            self.mm_writers.remove(space)

    def set_mm_reader(self, space: int, agent: int, held: bool) -> None:
        readers = self.mm_readers(space)
        if held:
            readers.add(agent)
        else:
            readers.remove(agent)
