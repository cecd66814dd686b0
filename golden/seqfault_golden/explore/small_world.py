"""The world of an exploration: a few VMAs, tables, frames and CPUs, and every rule whose breach is a violation. [protocol.md 0.1, 0.4]

Numbers: a page is a small number; `entries` consecutive pages share a leaf table, which the slot (pmd entry) `page // entries` points to. Tables
count from 1, an entry's address is `table * entries + index`; frames count from 1, 0 is the shared zero frame. Agents count from 0.
"""

from ..layout import PTE_V, Outcome, pte_ppn
from ..protocol.world import Safeguard, keeps
from .cells import CellWorld
from .parts import (
    DIRECTORY,
    FREE,
    HUGE,
    HUGE_PTE,
    MAPPED,
    RELEASED,
    SHARED,
    SLOT_AT,
    TABLE_FRAMES,
    Cached,
    Cpu,
    Entry,
    FaultCells,
    Frame,
    Mm,
    Slot,
    Table,
    Violation,
    Vma,
)  # fmt: skip

__all__ = ["SmallWorld"]


class SmallWorld(CellWorld):
    """The state and the rules; implements `protocol.World`.

    Parameters
    ----------
    removed : safeguards that this world does without. policy, max_retries : as the engine's.
    vmas, slots, tables, frames, entries, cached : how many there are; `entries` per table; `cached` slots of the page cache, one for each page.
    """

    zero_frame = 0
    unzeroed = False
    counts_tables = False
    """At the end every table is in use or in the pool: its scenario frees what it unlinks."""

    def __init__(
        self, *, removed: frozenset[Safeguard] = frozenset(), policy: str = "spec", max_retries: int = 1, vmas: int = 1, slots: int = 1,
        tables: int = 1, frames: int = 1, entries: int = 1, cached: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.removed = removed
        self.policy = policy
        self.max_retries = max_retries
        self.entries = entries
        self.mm = Mm(self, "mm")
        self.vmas = [Vma(self, f"vma {number}") for number in range(vmas)]
        self.slots = [Slot(self, f"pmd {number}") for number in range(slots)]
        self.tables = [Table(self, f"table {number}") for number in range(1, tables + 1)]
        self.ptes = [Entry(self, f"pte {address}") for address in range(entries, entries * (tables + 1))]
        self.frames = [Frame(self, f"frame {number}") for number in range(1, frames + 1)]
        self.cache = [Cached(self, f"page {page} of the file") for page in range(cached)]
        self.cpus: list[Cpu] = []
        self.faults: list[FaultCells] = []
        self.mm.upper = self.mm.directory = 1
        for table in self.tables:
            table.alive = 1

    # --- VMAs -------------------------------------------------------------------------------------------------------

    def vma(self, vma_id: int) -> Vma:
        """The VMA, whose memory must not have been reused (I8)."""
        vma = self.vmas[vma_id]
        if not vma.alive:
            raise Violation("I8", f"the memory of VMA {vma_id} is read after it was freed")
        return vma

    def find(self, page: int) -> Vma | None:
        """What a lookup in the index gives; a VMA that is held exclusively is not handed out."""
        for vma in self.vmas:
            if vma.indexed and not vma.exclusive and vma.start <= page < vma.end:
                return vma
        return None

    def sequence(self, vma_id: int) -> int:
        return self.vma(vma_id).seq

    def is_linked(self, vma_id: int) -> bool:
        return bool(self.vma(vma_id).linked)

    def begin_section(self, vma_id: int) -> None:
        self.vmas[vma_id].seq += 1

    def end_section(self, vma_id: int) -> None:
        self.vmas[vma_id].seq += 1

    def active_writers(self, vma_id: int) -> int:
        return int(bool(self.vmas[vma_id].seq & 1) == keeps(self, Safeguard.PARITY))

    def vma_holders(self, vma_id: int) -> list[int]:
        return [fault.agent for fault in self.faults if fault.holds_vma and fault.id == vma_id]

    def page_prot_now(self, vma_id: int) -> int:
        return self.vma(vma_id).prot

    # --- page tables ------------------------------------------------------------------------------------------------

    def slot(self, page: int) -> Slot:
        """The pmd entry of a page, whose own page must be in use (I1)."""
        self._directory(f"the pmd entry of page {page} is read")
        return self.slots[page // self.entries]

    def _directory(self, what: str) -> Mm:
        if not self.mm.directory:
            raise Violation("I1", f"{what} after the page of pmd entries was freed")
        return self.mm

    def table(self, number: int, what: str) -> Table:
        """A leaf table that must be in use (I1)."""
        table = self.tables[number - 1]
        if not table.alive:
            raise Violation("I1", f"{what} of table {number} after the table was freed")
        return table

    def parent_is_same(self, agent: int) -> bool:
        fault = self.faults[agent]
        return self.slot(fault.page).value == fault.parent

    def table_of(self, address: int) -> int:
        return DIRECTORY if address >= SLOT_AT else address // self.entries

    def read_entry(self, address: int) -> int:
        if address >= SLOT_AT:
            self._directory(f"pmd entry {address - SLOT_AT} is read")
            value = self.slots[address - SLOT_AT].value
            return HUGE_PTE if value == HUGE else (TABLE_FRAMES + value) << 10 | PTE_V if value else 0
        self.table(address // self.entries, f"entry {address} is read")
        return self.ptes[address - self.entries].pte

    def write_entry(self, address: int, pte: int) -> None:
        if address >= SLOT_AT:
            self._directory(f"pmd entry {address - SLOT_AT} is written")
            self.slots[address - SLOT_AT].value = pte_ppn(pte) - TABLE_FRAMES
            return
        self.table(address // self.entries, f"entry {address} is written")
        self.ptes[address - self.entries].pte = pte

    def lock_holder(self, table: int) -> int | None:
        holder = self._lockable(table, "the lock is looked at").lock
        return holder - 1 if holder else None

    def is_locked(self, table: int) -> bool:
        """Somebody holds the lock; no step of anybody's."""
        return bool((self.mm if table == DIRECTORY else self.tables[table - 1]).lock)

    def take_lock(self, table: int, agent: int) -> None:
        self._lockable(table, "the lock is taken").lock = agent + 1

    def drop_lock(self, table: int) -> None:
        self._lockable(table, "the lock is dropped").lock = 0

    def _lockable(self, table: int, what: str) -> Table | Mm:
        return self._directory(what) if table == DIRECTORY else self.table(table, what)

    def flush_page(self, agent: int) -> None:
        self.flush()

    def flush(self, page: int | None = None) -> None:
        """No CPU has a translation of the page (None: of any page) any more."""
        for cpu in self.cpus:
            if page is None or cpu.page == page:
                cpu.tlb = 0

    # --- frames -----------------------------------------------------------------------------------------------------

    def free_frame(self) -> int | None:
        """A frame of the pool."""
        for number, frame in enumerate(self.frames, 1):
            if frame.place == FREE:
                return number
        return None

    def free_table(self) -> int | None:
        """A frame of the pool that can become a table."""
        for number, table in enumerate(self.tables, 1):
            if table.spare == 1:
                return TABLE_FRAMES + number
        return None

    def cached(self, page: int) -> tuple[Outcome, int]:
        """What a lookup in the page cache gives."""
        return (Outcome.OK, self.cache[page].word) if page < len(self.cache) else (Outcome.NOT_CACHED, 0)

    def take_frame(self, frame: int, agent: int) -> None:
        if frame > TABLE_FRAMES:
            self.tables[frame - TABLE_FRAMES - 1].spare = 2
        else:
            self.frames[frame - 1].place = agent + 1

    def return_frame(self, frame: int, *, used: bool) -> None:
        if frame > TABLE_FRAMES:
            self.tables[frame - TABLE_FRAMES - 1].spare = 1
        else:
            self.frames[frame - 1].place = FREE

    def map_frame(self, frame: int, address: int) -> None:
        if frame > TABLE_FRAMES:
            table = self.tables[frame - TABLE_FRAMES - 1]
            table.alive, table.spare = 1, 0
        else:
            self.frames[frame - 1].place = MAPPED + address

    def unmap_frame(self, address: int) -> None:
        """The entry's frame waits for `recycle`, unless another space maps it too."""
        for frame in self.frames:
            if frame.place == MAPPED + address:
                frame.place = SHARED if frame.sharers else RELEASED

    def recycle(self, number: int) -> None:
        """A released frame goes back to the pool, from where anybody may get it: no TLB and no device uses it any more."""
        frame = self.frames[number - 1]
        if frame.place != RELEASED:
            return
        for cpu in self.cpus:
            if cpu.tlb and pte_ppn(cpu.tlb) == number:
                raise Violation("no stale TLB entry", f"frame {number} is recycled while {cpu.name} still translates to it")
        if frame.pins:
            raise Violation("a pinned frame is never recycled", f"frame {number} is recycled while a device has it pinned")
        frame.place = FREE

    def can_release(self) -> bool:
        return True

    def release(self, agent: int, entry: int) -> None:
        """`unmap_frame` has done it."""

    def copy_page(self, source: int, frame: int) -> None:
        self.frames[frame - 1].content = self.frames[source - 1].content

    def zero_page(self, frame: int) -> None:
        self.frames[frame - 1].content = 0

    # --- mm lock and fence ------------------------------------------------------------------------------------------

    def mm_writer(self, space: int) -> bool:
        return self.mm.writer != 0

    def mm_readers(self, space: int) -> set[int]:
        readers = self.mm.readers
        return {agent for agent in range(readers.bit_length()) if readers >> agent & 1}

    def set_mm_writer(self, space: int, held: bool) -> None:
        self.mm.writer = int(held)

    def set_mm_reader(self, space: int, agent: int, held: bool) -> None:
        self.mm.readers = self.mm.readers | 1 << agent if held else self.mm.readers & ~(1 << agent)

    def unfenced(self) -> list[int]:
        return [agent for agent in range(len(self.faults)) if self.mm.fence >> agent & 1]
