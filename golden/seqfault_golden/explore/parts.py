"""What a small world is made of: mm, VMAs, tables, frames, TLBs, fault contexts; and the breach of a rule. [protocol.md 0.1]

How pages, tables, entries and frames are numbered says `small_world.py`.
"""

from ..layout import RequestFlag, VmaFlag, pte_ppn
from ..protocol.world import Phase
from .cells import CellWorld, Part

__all__ = [
    "CACHED", "DIRECTORY", "FLAGS_RO", "FLAGS_RW", "FREE", "HUGE", "HUGE_PTE", "MAPPED", "PROT_RO", "PROT_RW", "RELEASED", "SHARED", "SLOT_AT",
    "TABLE_FRAMES", "Cached", "Cpu", "Entry", "FaultCells", "Frame", "Mm", "Slot", "Table", "Violation", "Vma",
]  # fmt: skip

FREE, CACHED, SHARED, RELEASED, MAPPED = 0, 60, 61, 62, 64
"""Where a frame is: in the pool; in the page cache; mapped by another space only; unmapped, not yet recycled; mapped at (MAPPED + address). Taken by
agent n: n + 1."""
SLOT_AT, DIRECTORY = 0x4000, 0x4000
"""Address of the first pmd entry, and the number of their page as a table."""
TABLE_FRAMES = 32
"""A frame of the pool with this number + t can become table t."""
HUGE = 0x100
"""A slot that maps a huge page."""
HUGE_PTE = 0xD7
"""What a walk finds there: V R W U A D."""
FLAGS_RW = VmaFlag.READ | VmaFlag.WRITE | VmaFlag.ANON
FLAGS_RO = VmaFlag.READ | VmaFlag.ANON
PROT_RW, PROT_RO = 0x17, 0x13
"""V R W U, and without W."""


_RIGHTS = "VRWXUGAD"
_WORDS = {FREE: "free", CACHED: "in the page cache", SHARED: "another space's", RELEASED: "released"}


def _pte_words(pte: int) -> str:
    """ "frame 1 VRWUAD"."""
    return f"frame {pte_ppn(pte)} " + "".join(name for bit, name in enumerate(_RIGHTS) if pte >> bit & 1) if pte else "none"


class Violation(Exception):
    """Something happened that must not: `invariant` names the rule."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(text)
        self.invariant = invariant


class Mm(Part):
    """The mm: `writer` is 1 while one holds the lock; `readers` and `fence` are masks of agents; `pending`: somebody has put off a flush.

    `upper`: the entry of the level above points to the page of pmd entries; `directory`: that page is in use; `lock`: of that page, an agent + 1.
    """

    writer: int
    readers: int
    fence: int
    pending: int
    upper: int
    directory: int
    lock: int


class Vma(Part):
    """A VMA. `indexed`: a lookup finds it; `linked`: C1 and C3 see it linked; `alive`: its memory is its own; `exclusive`: ref is -1;
    `rmap`: it is in its file's reverse map."""

    indexed: int
    linked: int
    alive: int
    exclusive: int
    seq: int
    flags: int
    prot: int
    rmap: int
    start: int
    end: int

    def show(self, name: str, value: int) -> str:
        if name == "flags":
            return ("VM_READ|VM_WRITE" if value & VmaFlag.WRITE else "VM_READ") + ("|VM_UFFD_MISSING" if value & VmaFlag.UFFD else "")
        return "".join(right for bit, right in enumerate(_RIGHTS) if value >> bit & 1) if name == "prot" else str(value)


class Slot(Part):
    """A pmd entry: 0 none, a table's number, or HUGE."""

    value: int

    def show(self, name: str, value: int) -> str:
        return "none" if value == 0 else "huge page" if value == HUGE else f"table {value}"


class Table(Part):
    """A leaf table; `lock` is an agent + 1. `spare`: 1 it is a frame of the pool, 2 a fault has taken it. Its entries follow."""

    alive: int
    lock: int
    spare: int

    def show(self, name: str, value: int) -> str:
        if name == "lock":
            return f"agent {value - 1}" if value else "free"
        if name == "spare":
            return ("no", "in the pool", "taken")[value]
        return "in use" if value else "freed"


class Cached(Part):
    """A page's slot in the page cache."""

    word: int

    def show(self, name: str, value: int) -> str:
        return f"frame {pte_ppn(value)}" if value else "none"


class Entry(Part):
    """A leaf entry, encoded as a PTE."""

    pte: int

    def show(self, name: str, value: int) -> str:
        return _pte_words(value)


class Frame(Part):
    """A page frame; `content` says which write was the last, `pins` how many devices use it, `sharers` how many other spaces map it."""

    place: int
    content: int
    pins: int
    sharers: int

    def show(self, name: str, value: int) -> str:
        if name != "place" or value in _WORDS:
            return _WORDS[value] if name == "place" else str(value)
        return f"mapped at {value - MAPPED}" if value >= MAPPED else f"taken by agent {value - 1}"


class Cpu(Part):
    """What the TLB of one CPU has for one page: a pte, or 0."""

    tlb: int

    def show(self, name: str, value: int) -> str:
        return _pte_words(value)

    def __init__(self, world: CellWorld, name: str, page: int) -> None:
        super().__init__(world, name)
        self.page = page


class FaultCells(Part):
    """A fault context. [protocol.Fault]

    `walked`: levels that R7 has read; `parent`: the pmd entry that it found (orig_pmd); `pinned_vma`: R1 has pinned the VMA's memory;
    `ended`: 0 runs, 1 resolved, 2 handed to software.
    """

    hidden = frozenset({"phase", "walked", "record", "id", "entry_address", "classic", "reason", "locked", "owned", "plan", "source", "ended"})
    forgotten = frozenset({"attempt", "seq", "vma_flags", "page_prot", "parent", "entry", "frame", "pte", "pinned_vma"})

    phase: int
    attempt: int
    classic: bool
    holds_read_lock: bool
    holds_vma: bool
    pinned: bool
    record: int
    id: int
    seq: int
    vma_flags: int
    page_prot: int
    walked: int
    parent: int
    entry_address: int
    entry: int
    plan: int
    source: int
    frame: int
    owned: bool
    locked: int
    pte: int
    reason: int
    pinned_vma: bool
    ended: int

    def __init__(self, world: CellWorld, agent: int, page: int, access: int) -> None:
        super().__init__(world, f"fault {agent}")
        self.agent, self.page, self.access = agent, page, access
        self.flags: int = RequestFlag.ALLOW_RETRY
        self.phase = Phase.IDLE

    def show(self, name: str, value: int) -> str:
        if name in ("entry", "pte"):
            return _pte_words(value)
        if name == "vma_flags":
            return "VM_READ|VM_WRITE" if value & VmaFlag.WRITE else "VM_READ" if value else "-"
        return "".join(right for bit, right in enumerate(_RIGHTS) if value >> bit & 1) or "-" if name == "page_prot" else str(value)
