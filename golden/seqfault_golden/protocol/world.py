"""What the steps of the protocol work on: a world and a fault, by their attributes and methods alone.

Three worlds implement this: the one that follows the engine's events (`check.State`), the small one whose interleavings are all explored
(`explore.SmallWorld`), and the one that replays programs (`replay.ReplayWorld`). A step never asks which of them it has.
"""

from enum import IntEnum
from typing import Protocol

from ..layout import Outcome, RequestFlag
from .safeguards import Safeguard

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
    """What a fault context does next; below 32 it is the number of the Step."""

    R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18 = range(1, 19)
    PAGE, FILL, CLEAR, FLUSH, AROUND, TABLE = range(24, 30)
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
    plan: int
    """How the fault is served: a `Plan`, from R7 on."""
    source: int
    """The frame that is mapped as it is, or copied: the zero frame, the entry's, the slot's."""
    frame: int
    """The frame that the entry is to map, from R9 on."""
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
    unzeroed: bool
    """Frames of the pool are not zeroed: the engine does it."""

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
        """An entry as it is now."""

    def write_entry(self, address: int, pte: int) -> None:
        """Write an entry of a table that must be in use (I1); visible at the latest when its lock is dropped."""

    def lock_holder(self, table: int) -> int | None:
        """The agent that holds the table's PTE lock."""

    def take_lock(self, table: int, agent: int) -> None:
        """The table's PTE lock, which is free, is the agent's."""

    def drop_lock(self, table: int) -> None:
        """The table's PTE lock is free, and what was written under it is visible."""

    def take_frame(self, frame: int, agent: int) -> None:
        """A free frame leaves the pool."""

    def return_frame(self, frame: int, *, used: bool) -> None:
        """A taken frame is back in the pool; `used`: a page may have been copied into it, so it is no frame of zeros any more."""

    def map_frame(self, frame: int, address: int) -> None:
        """A taken frame is mapped by the entry at `address`."""

    def unmap_frame(self, address: int) -> None:
        """The entry at `address` maps nothing any more."""

    def can_release(self) -> bool:
        """There is a place in the released ring."""

    def release(self, agent: int, entry: int) -> None:
        """The frame that `entry` mapped, which the agent's fault has removed, goes to the released ring."""

    def copy_page(self, source: int, frame: int) -> None:
        """Copy a frame into a taken frame."""

    def zero_page(self, frame: int) -> None:
        """Zero a taken frame."""

    def flush_page(self, agent: int) -> None:
        """No TLB holds a translation of the page of the agent's fault."""

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
