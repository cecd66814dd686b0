"""What the steps of the protocol work on: a world and a fault, by their attributes and methods alone.

Three worlds implement this: the one that follows the engine's events (`check.State`), the small one whose interleavings are all explored
(`explore.SmallWorld`), and the one that replays programs (`replay.ReplayWorld`). A step never asks which of them it has.
"""

from enum import IntEnum, StrEnum
from typing import Protocol

from ..layout import Outcome, RequestFlag

__all__ = [
    "LAST_ATTEMPT", "POLICIES", "RETRIED", "Fault", "NotAllowed", "NotYet", "Phase", "Safeguard", "World", "classic_from", "expect_phase", "fail",
    "is_final", "keeps", "may_be_handed_over",
]  # fmt: skip

POLICIES = ("spec", "vma-lock", "mm-lock")
LAST_ATTEMPT = 7
"""The attempt number has 3 bits: after this attempt any failure goes to software. [contract, R0]"""

RETRIED = frozenset((Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.PTL_BUSY, Outcome.CHANGED_C3, Outcome.RACED))
"""Outcomes after which another attempt is made. [contract, "Retried (a new attempt)"]"""


class NotAllowed(Exception):
    """The protocol does not allow this step now; the text says which rule forbids it."""


class NotYet(NotAllowed):
    """The step has to wait for what another agent holds."""


class Phase(IntEnum):
    """What a fault context does next; below 19 it is the number of the Step."""

    R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18 = range(1, 19)
    IDLE = 32
    """begin a fault"""
    FAILED = 33
    """UNDO"""
    UNDONE = 34
    """release the mm lock, then another attempt or HANDOVER"""
    REFUSED = 35
    """HANDOVER: the mm lock was not to be had"""
    HANDED = 36
    """ANSWER: the page request is written"""
    MAPPED = 37
    """release the mm lock, then ANSWER: the page was there"""
    COMMITTED = 38
    """release the mm lock: the fault is done"""


class Safeguard(StrEnum):
    """What keeps the protocol safe; an exploration takes one or more away, the engine never does. Each is looked at in one place.

    The first group belongs to the reader's steps, the second to the writer's steps and to the programs made of them.
    """

    EVEN_SEQUENCE = "even-sequence"
    """R2 accepts even sequences only."""
    EARLY_RECHECK = "early-recheck"
    """R8."""
    WALKER_PIN = "walker-pin"
    """R10 to R15: whoever frees a table waits for the pinned walkers."""
    WALK_PIN = "walk-pin"
    """R7 walks pinned."""
    VMA_PIN = "vma-pin"
    """R1 pins the VMA: its memory is not reused before R18."""
    C1 = "c1"
    C2 = "c2"
    TRYLOCK = "trylock"
    """R13 never spins with the walker pinned."""
    C3 = "c3"
    C4 = "c4"
    SNAPSHOT = "snapshot"
    """R17 writes what R4 read."""
    UNDO = "undo"
    """An abort returns what R9 took."""
    COW_FLUSH = "cow-flush"
    """R17 of a copy on write flushes the page before it maps the copy."""
    MAX_RETRIES = "max-retries"
    """After so many speculative attempts the mm lock is taken."""

    GRACE_PERIOD = "grace-period"
    """The memory of an unlinked VMA is reused after a grace period."""
    UNLINK_FIRST = "unlink-first"
    """A VMA is unlinked before its pages are unmapped."""
    WAIT_FOR_WALKERS = "wait-for-walkers"
    """A table is freed, or emptied, after all pinned walkers have unpinned."""
    SEQUENCE = "sequence"
    """The change is bracketed by the VMA's sequence."""
    PARITY = "parity"
    """A sequence is even outside sections, and odd within."""
    EARLY_C2 = "early-c2"
    """C2 is decided at R12; without it, under the PTE lock, as pte_offset_map_lock does today."""
    DESTINATION_ODD = "destination-odd"
    """mremap links the destination VMA with its sequence already odd (M1)."""
    SECTION_COVERS_MOVE = "section-covers-move"
    """mremap closes its sections after the entries have moved (M4)."""
    EXCLUSIVE_REFERENCE = "exclusive-reference"
    """A whole table moves only while nobody else has a reference to the VMA."""
    INSERT_ODD = "insert-odd"
    """mmap links a VMA that is not final yet with its sequence odd."""
    FLUSH_IN_SECTION = "flush-in-section"
    """fork closes its section after the parent's TLBs are flushed (F4 after F3)."""
    PENDING_FLUSH = "pending-flush"
    """A copy on write flushes first when somebody has put off a flush of the page."""
    FLUSH_UNDER_LOCK = "flush-under-lock"
    """mremap flushes the old address before it drops the PTE locks."""
    FLUSH_BEFORE_FREE = "flush-before-free"
    """A page is freed after all CPUs have flushed it."""
    FLUSH_BEFORE_RMAP = "flush-before-rmap"
    """munmap flushes before it takes the VMA out of the reverse map."""
    RECHECK_PMD = "recheck-pmd"
    """Who moves a whole table looks at the pmd entry again under its lock."""
    RELEASE = "release"
    """The fields of a VMA are visible before its sequence is even."""
    PREDICATES_AFTER_SNAPSHOT = "predicates-after-snapshot"
    """The VMA's fields are read after its sequence (acquire)."""
    ERRORS_TO_SLOW_PATH = "errors-to-slow-path"
    """No error is delivered from data that was not validated."""
    FILL_BY_WALK = "fill-by-walk"
    """After R18 the CPU loads its TLB by a walk of its own, not from what was committed."""
    FENCE = "fence"
    """The engine's software waits for an IOFENCE.C with PR before it frees what it has unlinked."""
    EXCLUSIVE_WRITER = "exclusive-writer"
    """Sections are opened under the mm lock as a writer."""
    ZAP_LOCK = "zap-lock"
    """Leaf entries are removed under the PTE lock of their table."""

    SRCU_FIRST_SCAN = "srcu-first-scan"
    """A grace period waits for the bank that is not active, before the flip."""
    SRCU_FLIP = "srcu-flip"
    """A grace period sends new readers to the other bank."""
    SRCU_SECOND_SCAN = "srcu-second-scan"
    """A grace period waits for the bank that was active."""
    SRCU_UNLOCKS_FIRST = "srcu-unlocks-first"
    """A scan sums unlocks before locks."""
    SRCU_BANK_FROM_IDX = "srcu-bank-from-idx"
    """The second scan takes its bank from the index; without it, it remembers the bank: no safeguard by itself."""
    SRCU_BATCH = "srcu-batch"
    """A grace period runs only the callbacks that it began with."""
    SRCU_SAME_BANK = "srcu-same-bank"
    """A reader counts its unlock in the bank in which it counted its lock."""

    GUP_TRY_GET = "gup-try-get"
    """GUP-fast takes no reference to a page that has none."""
    GUP_PMD_RECHECK = "gup-pmd-recheck"
    """GUP-fast looks at the pmd entry again after it has its reference."""
    GUP_PTE_RECHECK = "gup-pte-recheck"
    """GUP-fast looks at the pte again after it has its reference."""
    WRITE_PROTECT_SEQ = "write-protect-seq"
    """fork protects pages between two changes of write_protect_seq."""
    FORK_COPIES_PINNED = "fork-copies-pinned"
    """fork copies a pinned page for the child instead of sharing it."""
    FORK_CHECKS_PIN_FIRST = "fork-checks-pin-first"
    """fork looks for pins before it protects the entry; without it, after: no safeguard by itself."""
    COLLAPSE_REFERENCES = "collapse-references"
    """A collapse leaves pages alone to which others have references."""
    PIN_REFERENCE = "pin-reference"
    """A pin is a reference: the page is freed after the last."""
    WRITE_BACK_KEEPS_PINNED = "write-back-keeps-pinned"
    """Write-back leaves a pinned page dirty."""
    WRITE_BACK_CHECKS_LAST = "write-back-checks-last"
    """Write-back looks for pins after the pte is clean and flushed."""

    ENQUEUE_FIRST = "enqueue-first"
    """A userfault is in the queue before it looks whether the page is there."""
    STATE_FIRST = "state-first"
    """A userfault marks itself as sleeping before it looks whether the page is there."""
    QUEUE_LOCK = "queue-lock"
    """A userfault enters the queue and marks itself as sleeping in one step, under the queue's lock."""
    KEEP_ALLOW_RETRY = "keep-allow-retry"
    """A fault that is tried again may be tried again once more."""
    REFUSE_WITHOUT_RETRY = "refuse-without-retry"
    """A userfault that may not drop the mm lock is refused: it must not wait with it."""
    NOWAIT_KEEPS_LOCK = "nowait-keeps-lock"
    """A fault that must not wait returns at once, with the mm lock."""
    REGISTER_DRAIN = "register-drain"
    """Userfault registration passes through the PTE lock of each table of its range, after the flags are written."""
    RELEASE_FIRST = "release-first"
    """A fault drops the mm lock before it becomes a page request."""

    EXPANSION_WRITE_LOCK = "expansion-write-lock"
    """Whoever changes the index, a stack expansion too, holds the mm lock as a writer."""
    NODE_GRACE = "node-grace"
    """A node that was replaced is freed after a grace period."""
    COUNT_NOT_ZERO = "count-not-zero"
    """A reader takes no reference to a VMA that is detached (vm_refcnt 0)."""
    VMA_MM = "vma-mm"
    """A reader with a reference looks whether the VMA is of its mm."""
    PIN_FOREIGN_MM = "pin-foreign-mm"
    """A reader that has got another mm's VMA pins that mm before it drops its reference."""
    VMA_LOCK_SEQ = "vma-lock-seq"
    """A reader with a reference looks whether the VMA is write-locked."""
    VMA_BOUNDS = "vma-bounds"
    """A reader with a reference looks whether the VMA has its address."""
    ATTACH_LAST = "attach-last"
    """A VMA's fields are written before readers may take references."""


class Fault(Protocol):
    """A fault context: the vm_fault of protocol.md 0.1."""

    agent: int
    phase: int
    access: int
    flags: int
    attempt: int
    classic: bool
    """This attempt is made under the mm lock."""
    holds_read_lock: bool
    holds_vma: bool
    """The VMA is read-locked (policy vma-lock)."""
    pinned: bool
    """The walker is pinned (interrupts off): no table that it may reach is freed."""
    record: int
    id: int
    seq: int
    vma_flags: int
    page_prot: int
    entry_address: int
    entry: int
    frame: int
    owned: bool
    """`frame` was taken from the pool and is to be committed or returned."""
    locked: int
    """The leaf table whose lock is held; 0: none."""
    pte: int
    reason: int


class World(Protocol):
    """The state that all agents share. Tables, entries and frames are named by whatever numbers the world uses."""

    removed: frozenset[Safeguard]
    """Safeguards that this world does without."""
    policy: str
    max_retries: int
    zero_frame: int
    copies_on_write: bool
    """A store to a page that is mapped read-only in a writable VMA is resolved; otherwise it is software's (PRESENT)."""

    def sequence(self, vma_id: int) -> int:
        """The VMA's sequence: odd while a writer is active."""

    def is_linked(self, vma_id: int) -> bool:
        """The VMA is in the index; always true where an unlinking is always bracketed by the sequence."""

    def begin_section(self, vma_id: int) -> None:
        """`seq++` to odd."""

    def end_section(self, vma_id: int) -> None:
        """`seq++` to even."""

    def active_writers(self, vma_id: int) -> int:
        """Open sections."""

    def vma_holders(self, vma_id: int) -> list[int]:
        """Agents that hold the VMA as readers (policy vma-lock)."""

    def page_prot_now(self, vma_id: int) -> int:
        """The field as it is now, for a world without `SNAPSHOT`."""

    def parent_is_same(self, agent: int) -> bool:
        """`*pmd == orig_pmd`: the table that the agent's walk reached is still where it was."""

    def table_of(self, address: int) -> int:
        """The table that holds an entry."""

    def read_entry(self, address: int) -> int:
        """A leaf entry as it is now."""

    def write_entry(self, address: int, pte: int) -> None:
        """Write a leaf entry of a table that must be in use (I1); visible at the latest when its lock is dropped."""

    def lock_holder(self, table: int) -> int | None:
        """The agent that holds the table's PTE lock."""

    def take_lock(self, table: int, agent: int) -> None:
        """The table's PTE lock, which is free, is the agent's."""

    def drop_lock(self, table: int) -> None:
        """The table's PTE lock is free, and what was written under it is visible."""

    def take_frame(self, frame: int, agent: int) -> None:
        """A free frame leaves the pool."""

    def return_frame(self, frame: int) -> None:
        """A taken frame is back in the pool."""

    def map_frame(self, frame: int, address: int) -> None:
        """A taken frame is mapped by the entry at `address`."""

    def unmap_frame(self, address: int) -> None:
        """The entry at `address` maps nothing any more."""

    def copy_page(self, pte: int, frame: int) -> None:
        """Copy the page that `pte` maps into a taken frame."""

    def flush_page(self, address: int) -> None:
        """No TLB holds the translation that the entry at `address` gave."""

    def mm_writer(self, space: int) -> bool:
        """The mm lock is held by a writer."""

    def mm_readers(self, space: int) -> set[int]:
        """Agents that hold the mm lock as readers."""

    def set_mm_writer(self, space: int, held: bool) -> None:
        """A writer took or released the mm lock."""

    def set_mm_reader(self, space: int, agent: int, held: bool) -> None:
        """A reader took or released the mm lock."""

    def unfenced(self) -> list[int]:
        """Agents whose attempt began before the fence that is being waited for, and runs."""


def keeps(world: World, safeguard: Safeguard) -> bool:
    """The world has this safeguard."""
    return safeguard not in world.removed


def classic_from(world: World) -> int:
    """The first attempt (from 0) that is made under the mm lock."""
    return 0 if world.policy == "mm-lock" else world.max_retries


def may_be_handed_over(fault: Fault) -> bool:
    """Its requester comes back after software's work, and can wait for that: else the fault is refused. [contract, Flags of a request]"""
    return bool(fault.flags & RequestFlag.ALLOW_RETRY) and not fault.flags & RequestFlag.ATOMIC


def is_final(world: World, fault: Fault) -> bool:
    """Another attempt cannot help, or there are no more: ATOMIC has the speculative ones only, as it must not wait for the mm lock."""
    if fault.reason not in RETRIED or fault.attempt >= LAST_ATTEMPT:
        return True
    return bool(fault.flags & RequestFlag.ATOMIC) and fault.attempt + 1 >= classic_from(world)


def expect_phase(fault: Fault, phase: Phase) -> None:
    """The step is the next of this context."""
    if fault.phase != phase:
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")


def fail(fault: Fault, reason: Outcome) -> Outcome:
    """The attempt ends here; UNDO follows."""
    fault.phase = Phase.FAILED
    fault.reason = reason
    return reason
